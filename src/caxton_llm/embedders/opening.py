"""From the settings of an embedder to the embedder, to its scale of similarity, and to what a store remembers of it."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from caxton_llm.config.memory_checks import EMBEDDER_PATH
from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.config.memory_schema import EmbedderType
from caxton_llm.config.parts import entry_transport
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.embedders.http import EmbeddingEndpoint, HttpEmbedder
from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.calibration import Calibration, calibrate, default_calibration
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.embedding.transformer import TransformerEmbedder
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.chat_options import JSON_BODY, entry_headers
from caxton_llm.providers.credentials import bearer
from caxton_llm.providers.settings import secret_values
from caxton_llm.resolved import resolved
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.wire.embeddings import EmbeddingDialect

__all__ = ["calibration_of", "described", "open_embedder", "recalled"]

_OPENAI_URL = "https://api.openai.com/v1"
_OLLAMA_URL = "http://localhost:11434"


def open_embedder(settings: EmbedderSettings, known_dimensions: Mapping[str, int] | None = None) -> Embedder:
    """The embedder of settings whose secrets are in place. Folders are read at once, a server is not asked before the first
    use; `known_dimensions`, by the names of embedders, spare the question for them. Raises `ConfigurationError`."""
    try:
        if settings.type == "static":
            return StaticEmbedder.default()
        if settings.type == "model2vec":
            return StaticEmbedder.from_folder(Path(settings.path or ""))
        if settings.type == "sentence_transformers":
            return TransformerEmbedder(Path(settings.path or ""))
        return _over_http(settings, known_dimensions or {})
    except ConfigurationError as error:
        raise ConfigurationError([_placed(problem) for problem in error.problems]) from None


def calibration_of(embedder: Embedder) -> Calibration:
    """The embedder's scale of similarity: of the package's own it is known, of others it is measured with 200 short texts.
    Raises what the embedder raises."""
    known = default_calibration()
    return known if known.embedder == embedder.name else calibrate(embedder)


def _placed(problem: ConfigurationProblem) -> ConfigurationProblem:
    path = f"{EMBEDDER_PATH}.{problem.path}" if problem.path else EMBEDDER_PATH
    return ConfigurationProblem(problem.message, path, problem.file, problem.line, problem.hint)


# -- over HTTP --------------------------------------------------------------------------------------------------------------


def _over_http(settings: EmbedderSettings, known_dimensions: Mapping[str, int]) -> HttpEmbedder:
    server = settings.server or ProviderEntry(provider=settings.type)
    default = Timeouts()
    endpoint = _endpoint(settings, server)
    return HttpEmbedder(
        endpoint,
        entry_transport(server),
        known_dimensions=known_dimensions.get(endpoint.name),
        batch_size=settings.batch_size,
        timeouts=Timeouts(
            connect_s=min(server.connect_timeout_seconds or default.connect_s, settings.timeout_s),
            attempt_s=settings.timeout_s,
            idle_s=settings.timeout_s,
            deadline_s=max(default.deadline_s, settings.timeout_s),
        ),
        secrets=partial(secret_values, server),
    )


def _endpoint(settings: EmbedderSettings, server: ProviderEntry) -> EmbeddingEndpoint:
    dialect: EmbeddingDialect = "ollama" if settings.type == "ollama" else "openai"
    if dialect == "ollama":
        origin, prefix = parse_base_url(server.base_url or _OLLAMA_URL, default_path="")
        path = f"{prefix}/api/embed"
    else:
        origin, prefix = parse_base_url(server.base_url or _OPENAI_URL, default_path="/v1")
        path = f"{prefix}/embeddings"
    vendor = (("openai-organization", server.organization), ("openai-project", server.project))
    signed = bearer(server.api_key).headers(0.0) if isinstance(server.api_key, str) else ()
    return EmbeddingEndpoint(
        dialect=dialect,
        origin=origin,
        path=path,
        model=settings.model,
        headers=JSON_BODY + entry_headers(server, *vendor) + signed,
        dimensions=settings.dimensions,
    )


# -- remembered with a store ------------------------------------------------------------------------------------------------


@resolved
class _Described(Struct, kw_only=True, omit_defaults=True):
    """What a store remembers of the embedder it was filled with; never a key."""

    type: EmbedderType
    path: str | None = None
    provider: str | None = None
    base_url: str | None = None
    model: str = ""
    dimensions: int | None = None


def described(settings: EmbedderSettings) -> str:
    """The settings as a store keeps them, so that `recalled` can open the embedder again. Without secrets."""
    server = settings.server
    kept = _Described(
        type=settings.type,
        path=None if settings.path is None else str(Path(settings.path).resolve()),
        provider=settings.provider,
        base_url=None if server is None else server.base_url,
        model=settings.model,
        dimensions=settings.dimensions,
    )
    return msgspec.json.encode(kept).decode()


def recalled(kept: str, wanted: EmbedderSettings, entries: Iterable[ProviderEntry]) -> EmbedderSettings:
    """The settings that `described` has kept. A server is reached, and signed to, as the configuration of today says: by the
    entry of that name, else by `wanted` or an entry with the same address, else without a key. Raises `ConfigurationError`.
    """
    try:
        old = msgspec.json.decode(kept, type=_Described)
    except msgspec.MsgspecError:
        raise ConfigurationError("what the store remembers of its embedder cannot be read") from None
    server = None
    if old.type in ("openai", "ollama"):
        known = [entry for entry in (*entries, wanted.server) if entry is not None]
        named = [entry for entry in known if old.provider is not None and entry.entry_name == old.provider]
        alike = [entry for entry in known if (entry.provider, entry.base_url) == (old.type, old.base_url)]
        server = next(iter([*named, *alike]), ProviderEntry(provider=old.type, base_url=old.base_url))
    return EmbedderSettings(
        type=old.type,
        path=old.path,
        provider=old.provider,
        server=server,
        model=old.model,
        dimensions=old.dimensions,
        batch_size=wanted.batch_size,
        timeout_s=wanted.timeout_s,
    )
