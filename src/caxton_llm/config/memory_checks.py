"""What the keys of the `memory` block mean together, and which of them hold secrets."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from caxton_llm.config.addresses import address_fault
from caxton_llm.config.memory_configuration import MemoryConfiguration
from caxton_llm.config.memory_schema import EmbedderBlock, MemoryBlock, MemorySearchBlock
from caxton_llm.config.problems import Problems, nearest
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secret_keys import Secret, check_reference, check_secrets, replace_secrets
from caxton_llm.providers.settings import SecretReference

__all__ = ["EMBEDDER_PATH", "MEMORY_PATH", "check_memory", "replace_memory_secrets"]

MEMORY_PATH = "memory"
EMBEDDER_PATH = "memory.embedder"

_FOLDER = ("path",)
_HTTP = ("provider", "base_url", "api_key", "model", "dimensions", "batch_size", "timeout_seconds")
_KEYS: dict[str, tuple[str, ...]] = {
    "static": (),
    "model2vec": _FOLDER,
    "sentence_transformers": _FOLDER,
    "openai": _HTTP,
    "ollama": _HTTP,
}
_NEEDED = {"model2vec": "path", "sentence_transformers": "path", "openai": "model", "ollama": "model"}
_ENTRIES = {"openai": ("openai", "vllm"), "ollama": ("ollama",)}
"""The kinds of entries whose server an embedder of a type can ask."""
_SCHEMES = ("postgresql://", "postgres://")
_DEFAULTS = EmbedderBlock()


def check_memory(memory: MemoryBlock, entries: Sequence[ProviderEntry], problems: Problems) -> None:
    """The whole block. `entries` are those under `llm`."""
    if not problems.reported(f"{MEMORY_PATH}.store"):
        _check_store(memory, problems)
    if not problems.reported(f"{EMBEDDER_PATH}.type"):
        _check_embedder(memory.embedder, entries, problems)
    _check_search(memory.search, problems)


def replace_memory_secrets(
    memory: MemoryConfiguration, read: Callable[[Secret, str], Secret | None]
) -> MemoryConfiguration:
    """The memory with its own secrets replaced by what `read(secret, path)` makes of them; not those of an entry whose server
    its embedder asks."""
    url = None if memory.url is None else read(memory.url, f"{MEMORY_PATH}.url")
    embedder = memory.embedder
    if embedder.server is not None and embedder.provider is None:
        embedder = replace(embedder, server=replace_secrets(embedder.server, EMBEDDER_PATH, read))
    return replace(memory, url=url, embedder=embedder)


def _check_store(memory: MemoryBlock, problems: Problems) -> None:
    if memory.store == "sqlite" and memory.url:
        problems.add("'url' is read with 'store: postgres' only", path=f"{MEMORY_PATH}.url", hint="remove one of them")
    if memory.store != "postgres":
        return
    if memory.path:
        problems.add("'path' is read with 'store: sqlite' only", path=f"{MEMORY_PATH}.path", hint="remove one of them")
    if not memory.url:
        problems.add_missing(f"{MEMORY_PATH}.url", "the store postgres needs it: postgresql://user:password@host/name")
    elif isinstance(memory.url, SecretReference):
        check_reference(memory.url, f"{MEMORY_PATH}.url", problems)
    elif not memory.url.strip().startswith(_SCHEMES):
        message = "is no address of a PostgreSQL database (it is not shown)"
        problems.add(message, path=f"{MEMORY_PATH}.url", hint="write postgresql://user:password@host/name")


def _check_embedder(embedder: EmbedderBlock, entries: Sequence[ProviderEntry], problems: Problems) -> None:
    kind = embedder.type
    for key in embedder.__struct_fields__:
        if key != "type" and key not in _KEYS[kind] and getattr(embedder, key) != getattr(_DEFAULTS, key):
            readers = [f"'type: {other}'" for other, keys in _KEYS.items() if key in keys]
            message = f"{key!r} is not read by an embedder of the type {kind}"
            problems.add(message, path=f"{EMBEDDER_PATH}.{key}", hint=f"it goes with {' or '.join(readers)}")
    needed = _NEEDED.get(kind)
    if needed is not None and not getattr(embedder, needed) and EMBEDDER_PATH not in problems.misspelt:
        problems.add_missing(f"{EMBEDDER_PATH}.{needed}", f"an embedder of the type {kind} needs it")
    if kind in _ENTRIES:
        _check_server(embedder, entries, problems)


def _check_server(embedder: EmbedderBlock, entries: Sequence[ProviderEntry], problems: Problems) -> None:
    if embedder.base_url:
        message, hint = address_fault(embedder.base_url)
        if message:
            problems.add(message, path=f"{EMBEDDER_PATH}.base_url", hint=hint)
    if embedder.api_key is not None:
        # The same rules as for an entry's key.
        check_secrets(ProviderEntry(provider="", api_key=embedder.api_key), EMBEDDER_PATH, problems)
    if embedder.provider is None:
        return
    for key in ("base_url", "api_key"):
        if getattr(embedder, key) is not None:
            message = f"'provider' and {key!r} exclude each other: the entry has its own"
            problems.add(message, path=f"{EMBEDDER_PATH}.{key}", hint="remove one of them")
    _check_entry(embedder, {entry.entry_name: entry for entry in entries}, problems)


def _check_entry(embedder: EmbedderBlock, entries: dict[str, ProviderEntry], problems: Problems) -> None:
    path, kinds = f"{EMBEDDER_PATH}.provider", _ENTRIES[embedder.type]
    entry = entries.get(embedder.provider or "")
    if entry is None:
        if not problems.reported(path):
            hint = nearest(embedder.provider or "", list(entries))
            problems.add(f"no entry under 'llm' is called {embedder.provider!r}", path=path, hint=hint)
    elif entry.provider and entry.provider not in kinds:
        message = f"an embedder of the type {embedder.type} cannot ask an entry of the provider {entry.provider}"
        problems.add(message, path=path, hint=f"name one of {' or '.join(kinds)}, or write 'base_url'")


def _check_search(search: MemorySearchBlock, problems: Problems) -> None:
    here = f"{MEMORY_PATH}.search"
    if search.candidates is not None and search.candidates < search.max_results and not problems.reported(here):
        message = f"must not be less than max_results ({search.max_results}), found {search.candidates}"
        problems.add(message, path=f"{here}.candidates")
    weights = search.weights
    if weights.lexical == weights.dense == weights.late == 0:
        message = "'lexical', 'dense' and 'late' are all 0, so nothing is compared with the query"
        problems.add(message, path=f"{here}.weights", hint="give one of them a weight")
