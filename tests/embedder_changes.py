"""A process that changes the embedder of a memory, for tests that kill it or start several.

python embedder_changes.py FOLDER NAME    changes the memory to the embedder NAME and prints what serves
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.memory.embedding import Embedder
from caxton_llm.reembedding import EmbeddedMemory, open_memory
from hashing_embedder import HashingEmbedder

__all__ = ["changed_to", "command"]

_LIMIT_S = 60.0


def _opened(settings: EmbedderSettings, _known: Mapping[str, int]) -> Embedder:
    """Embedders of one size, so that nothing but their names tells their vectors apart."""
    return HashingEmbedder(16, Path(settings.path or "none").name)


def changed_to(folder: Path, name: str, *, background: bool = False) -> EmbeddedMemory:
    """The memory, on its way to the embedder of that name."""
    settings = EmbedderSettings(type="model2vec", path=f"/{name}")
    return open_memory(folder, settings, opener=_opened, background=background)


def command(folder: Path, name: str) -> list[str]:
    """What starts the process."""
    return [sys.executable, __file__, str(folder), name]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with changed_to(Path(sys.argv[1]), sys.argv[2], background=True) as opened:
        _say("open")
        _say(opened.status.serving if opened.wait(_LIMIT_S) else f"not done: {opened.status}")
