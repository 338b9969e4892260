"""A process that changes the embedder of a memory, for tests that kill it or start several.

python embedder_changes.py NAME FOLDER        changes the memory to the embedder NAME and prints what serves
python embedder_changes.py NAME URL SCHEMA    the same, of a memory in PostgreSQL
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.memory.embedder_store import MemoryPlace
from caxton_llm.memory.embedding import Embedder
from caxton_llm.reembedding import EmbeddedMemory, open_memory
from caxton_llm.stores.postgres_memory import PostgresPlace
from caxton_llm.stores.sqlite_memory import SqlitePlace
from hashing_embedder import HashingEmbedder

__all__ = ["changed_to", "command"]

_LIMIT_S = 60.0


def _opened(settings: EmbedderSettings, _known: Mapping[str, int]) -> Embedder:
    """Embedders of one size, so that nothing but their names tells their vectors apart."""
    return HashingEmbedder(16, Path(settings.path or "none").name)


def changed_to(place: MemoryPlace, name: str, *, background: bool = False) -> EmbeddedMemory:
    """The memory, on its way to the embedder of that name."""
    settings = EmbedderSettings(type="model2vec", path=f"/{name}")
    return open_memory(place, settings, opener=_opened, background=background)


def command(place: MemoryPlace, name: str) -> list[str]:
    """What starts the process."""
    where = [str(place.folder)] if isinstance(place, SqlitePlace) else []
    if isinstance(place, PostgresPlace):
        where = [place.url, place.schema]
    return [sys.executable, __file__, name, *where]


def _place(where: list[str]) -> MemoryPlace:
    return SqlitePlace(Path(where[0])) if len(where) == 1 else PostgresPlace(*where)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with changed_to(_place(sys.argv[2:]), sys.argv[1], background=True) as opened:
        _say("open")
        _say(opened.status.serving if opened.wait(_LIMIT_S) else f"not done: {opened.status}")
