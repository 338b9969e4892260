"""From the `memory` block to what the program uses: defaults, names of files, the server of an embedder."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from caxton_llm.config.addresses import uses_plain_http
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.extras import is_installed
from caxton_llm.config.memory_checks import EMBEDDER_PATH, replace_memory_secrets
from caxton_llm.config.memory_configuration import EmbedderSettings, MemoryConfiguration
from caxton_llm.config.memory_schema import EmbedderBlock, MemoryBlock, MemoryWeightsBlock
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secret_keys import Secret
from caxton_llm.errors import ConfigurationProblem

__all__ = ["memory_gaps", "memory_warnings", "resolve_memory"]

_FOLDER = "./caxton-memory"
_CANDIDATES = 64
_IN_FOLDERS = ("model2vec", "sentence_transformers")
_OVER_HTTP = ("openai", "ollama")
_DAY_S = 86_400.0


def resolve_memory(
    block: MemoryBlock | None,
    entries: Sequence[Entry],
    *,
    file: Callable[[str], str],
    located: Callable[[Secret, str], Secret],
) -> MemoryConfiguration | None:
    """The memory, unless there is none. `file` makes a path count from the current folder, `located` that of a secret."""
    if block is None or not block.enabled:
        return None
    search, retention = block.search, block.retention
    memory = MemoryConfiguration(
        store=block.store,
        folder=file(block.path or _FOLDER),
        url=block.url,
        embedder=_embedder(block.embedder, entries, file=file),
        max_results=search.max_results,
        min_similarity=search.min_similarity,
        candidates=search.candidates or max(_CANDIDATES, search.max_results),
        weights=_weights(search.weights),
        max_age_s=None if retention.max_age_days is None else retention.max_age_days * _DAY_S,
        max_records=retention.max_records,
    )
    return replace_memory_secrets(memory, located)


def _embedder(block: EmbedderBlock, entries: Sequence[Entry], *, file: Callable[[str], str]) -> EmbedderSettings:
    default = EmbedderSettings()
    server = None
    if block.type in _OVER_HTTP:
        server = next((entry.settings for entry in entries if entry.name == block.provider), None)
        server = server or ProviderEntry(provider=block.type, base_url=block.base_url, api_key=block.api_key)
    return EmbedderSettings(
        type=block.type,
        path=file(block.path) if block.path and block.type in _IN_FOLDERS else None,
        provider=block.provider,
        server=server,
        model=block.model or "",
        dimensions=block.dimensions,
        batch_size=block.batch_size or default.batch_size,
        timeout_s=block.timeout_seconds or default.timeout_s,
    )


def _weights(block: MemoryWeightsBlock) -> dict[str, float | tuple[float, ...]]:
    weights: dict[str, float | tuple[float, ...]] = {
        name: value for name, value in msgspec.structs.asdict(block).items() if value is not None
    }
    weights.pop("recency_half_life_days", None)
    half_life = block.recency_half_life_days
    return weights if half_life is None else weights | {"recency_half_life_s": half_life * _DAY_S}


def memory_gaps(configuration: Configuration, problems: Problems) -> Iterator[ConfigurationProblem]:
    """What keeps the memory from being opened, although the file can be read."""
    memory = configuration.memory
    if memory is None:
        return
    embedder = memory.embedder
    if embedder.path and not Path(embedder.path).is_dir():
        yield problems.at(f"there is no such folder: {embedder.path}", path=f"{EMBEDDER_PATH}.path")
    if embedder.type == "sentence_transformers" and not is_installed("sentence_transformers"):
        message, hint = "needs the package sentence-transformers", "pip install 'caxton-llm[transformers]'"
        yield problems.at(message, path=f"{EMBEDDER_PATH}.type", hint=hint)
    wanted = configuration.compliance.data_residency
    serving = [entry for entry in configuration.entries if entry.name == embedder.provider]
    if embedder.server is not None and wanted and not any(map(configuration.permits, serving)):
        yield problems.at(
            f"the embedder is not known to be in {wanted}, the data_residency",
            path=EMBEDDER_PATH,
            hint="name an entry that has this 'region' with 'provider'",
        )


def memory_warnings(configuration: Configuration, problems: Problems) -> Iterator[ConfigurationProblem]:
    """What an operator should know. An entry of its own under `llm` has its own warnings."""
    memory = configuration.memory
    if memory is None or memory.embedder.server is None or memory.embedder.provider is not None:
        return
    address = memory.embedder.server.base_url
    if address and uses_plain_http(address):
        message = "plain http: all texts of the memory, and the key, can be read on the way"
        yield problems.at(message, path=f"{EMBEDDER_PATH}.base_url", hint="use https")
