"""Ollama, on one's own machine or in its cloud: always the native API, because `/v1` cannot set the context window."""

from typing import NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import MalformedResponse, UnsupportedFeature
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import Quirks, WireRequest
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers, sent_model
from caxton_llm.providers.credentials import StaticCredentials, bearer
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.resolved import resolved
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire import ollama_chat
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["OllamaAdapter", "adapter", "credentials"]

_DEFAULT_URL = "http://localhost:11434"
_MOSTLY = 0.5
"""A model with a smaller share of itself in the memory of the GPU runs mostly on the CPU."""


@resolved
class _Show(Struct):
    """`POST /api/show`. `capabilities` is missing on old servers."""

    model_info: dict[str, Json] = {}
    parameters: str = ""
    capabilities: list[str] | None = None


class _Running(Struct):
    """One model of `GET /api/ps`; sizes in bytes."""

    name: str = ""
    model: str = ""
    size: int = 0
    size_vram: int = 0


@resolved
class _Processes(Struct):
    models: list[_Running]


def adapter(settings: ProviderSettings) -> "OllamaAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for a `base_url` that is none."""
    return OllamaAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> StaticCredentials:  # noqa: ARG001
    """A bearer token when there is a key (Ollama's cloud, a proxy), else nothing."""
    return bearer(api_key) if api_key else StaticCredentials(())


class OllamaAdapter:
    """The `ProviderAdapter` of one entry. `context_window` becomes `num_ctx`, `gpu_acceleration: false` `num_gpu: 0`."""

    kind = "ollama"
    dialect = ollama_chat.name
    inline_images = True

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.entry_name
        self._origin, self._prefix = parse_base_url(settings.base_url or _DEFAULT_URL, default_path="")
        self._settings = settings
        self._headers = entry_headers(settings)
        sent = replace(settings, extra_body=_server_settings(settings) | settings.extra_body)
        self._options = ChatOptions(sent, settings.quirks or Quirks())

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> ChatExchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = ollama_chat.encode_chat(request, options, stream=stream)
        return ChatExchange(ollama_chat, self._request("POST", "/api/chat", encoded.body), encoded)

    def probe(self) -> WireRequest:
        """`GET /api/version`: answers without loading a model."""
        return self._request("GET", "/api/version")

    def model_info_request(self, model: str) -> WireRequest:
        """`POST /api/show`."""
        return self._request("POST", "/api/show", msgspec.json.encode({"model": model}))

    def decode_model_info(self, model: str, body: bytes) -> ModelInfo:
        """The model's own window, or the smaller one that its Modelfile sets, and its capabilities."""
        try:
            show = msgspec.json.decode(body, type=_Show)
        except UNREADABLE:
            raise MalformedResponse("the answer of /api/show is not what Ollama promises; check base_url") from None
        return ModelInfo(
            id=model,
            provider=self.kind,
            context_window=_window(show),
            capabilities=_capabilities(show.capabilities),
        )

    def count_request(self, request: ChatRequest, info: ModelInfo) -> None:  # noqa: ARG002
        """Ollama counts no tokens in advance."""
        return

    def decode_count(self, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `count_request` is `None`."""
        raise UnsupportedFeature("Ollama counts no tokens in advance")

    def gpu_check(self) -> WireRequest | None:
        """`GET /api/ps`, which tells where the loaded models are; `None` unless `gpu_acceleration` is true."""
        return self._request("GET", "/api/ps") if self._settings.gpu_acceleration is True else None

    def decode_gpu_use(self, body: bytes, model: str) -> str | None:
        """A warning when `model` is loaded and less than half of it is in the memory of a GPU. Raises `MalformedResponse`."""
        try:
            processes = msgspec.json.decode(body, type=_Processes)
        except UNREADABLE:
            raise MalformedResponse("the answer of /api/ps is not what Ollama promises; check base_url") from None
        wanted = _with_tag(model)
        for running in processes.models:
            if wanted not in (_with_tag(running.name), _with_tag(running.model)):
                continue
            share = running.size_vram / running.size if running.size > 0 else 1.0
            if share < _MOSTLY:
                return (
                    f"gpu_acceleration is true, but only {share:.0%} of {model} is in the memory of a GPU: it runs mostly "
                    "on the CPU; free GPU memory, lower context_window, or take a smaller model"
                )
        return None

    def _request(self, method: str, path: str, body: bytes = b"") -> WireRequest:
        headers = JSON_BODY + self._headers if body else self._headers
        return WireRequest(method=method, origin=self._origin, path=self._prefix + path, headers=headers, body=body)


def _server_settings(settings: ProviderSettings) -> dict[str, Json]:
    """The entry's settings of the server, as the fields and options of a request."""
    sent: dict[str, Json] = {}
    if settings.context_window is not None:
        sent["num_ctx"] = settings.context_window
    if settings.gpu_acceleration is False:
        sent["num_gpu"] = 0
    if settings.keep_alive is not None:
        sent["keep_alive"] = settings.keep_alive
    return sent


def _window(show: _Show) -> int | None:
    architecture = show.model_info.get("general.architecture")
    known = [show.model_info.get(f"{architecture}.context_length"), _num_ctx(show.parameters)]
    return min((size for size in known if isinstance(size, int)), default=None)


def _num_ctx(parameters: str) -> int | None:
    """`parameters` is text, one `name value` per line."""
    for line in parameters.splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "num_ctx" and value.strip().isdecimal():
            return int(value)
    return None


def _capabilities(names: list[str] | None) -> Capabilities:
    if names is None:
        return Capabilities()
    return Capabilities(tools="tools" in names, vision="vision" in names, reasoning="thinking" in names)


def _with_tag(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"
