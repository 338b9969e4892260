"""Anthropic, and every server that speaks its Messages API.

`anthropic-version` is 2023-06-01 unless configured: it still accepts everything that the newer 2026-10-21 accepts, and the
sampling parameters and citations that the newer one refuses. With the newer one configured they are dropped and reported.
"""

from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import MalformedResponse
from caxton_llm.model_info import Capabilities, ModelInfo, ParameterRules
from caxton_llm.protocols import Quirks, WireRequest
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers, sent_model
from caxton_llm.providers.credentials import StaticCredentials
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["AnthropicAdapter", "adapter", "credentials"]

_DEFAULT_URL = "https://api.anthropic.com"
_VERSION = "2023-06-01"
_WITHOUT_SAMPLING = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_BETA = "anthropic-beta"


class _Supported(Struct):
    supported: bool | None = None


class _ThinkingTypes(Struct):
    enabled: _Supported | None = None
    adaptive: _Supported | None = None
    disabled: _Supported | None = None
    between_tools: _Supported | None = None


class _Thinking(Struct):
    supported: bool | None = None
    types: _ThinkingTypes | None = None


class _Efforts(Struct):
    supported: bool | None = None
    low: _Supported | None = None
    medium: _Supported | None = None
    high: _Supported | None = None
    xhigh: _Supported | None = None
    max: _Supported | None = None


class _Capabilities(Struct):
    image_input: _Supported | None = None
    pdf_input: _Supported | None = None
    structured_outputs: _Supported | None = None
    thinking: _Thinking | None = None
    effort: _Efforts | None = None


class _Model(Struct):
    """`GET /v1/models/{id}`. Compatible servers tell less of it."""

    max_input_tokens: int | None = None
    max_tokens: int | None = None
    lifecycle: str | None = None
    retires_at: str | None = None
    capabilities: _Capabilities | None = None


class _Count(Struct):
    input_tokens: int


_model_decoder = msgspec.json.Decoder(_Model)
_count_decoder = msgspec.json.Decoder(_Count)


def adapter(settings: ProviderSettings) -> "AnthropicAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for a `base_url` that is none."""
    return AnthropicAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> StaticCredentials:  # noqa: ARG001
    """The key in `x-api-key`; servers of one's own may need none."""
    return StaticCredentials((("x-api-key", api_key),) if api_key else ())


class AnthropicAdapter:
    """The `ProviderAdapter` of one entry."""

    kind = "anthropic"
    dialect = anthropic_messages.name
    inline_images = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.entry_name
        self._settings = settings
        self._origin, self._prefix = parse_base_url(settings.base_url or _DEFAULT_URL, default_path="")
        version = settings.anthropic_version or _VERSION
        headers = entry_headers(settings, ("anthropic-version", version))
        self._headers = tuple((name, value) for name, value in headers if name != _BETA)
        written = next((value for name, value in headers if name == _BETA), "")
        self._betas = list(dict.fromkeys((*settings.anthropic_beta, *_listed(written))))
        quirks = settings.quirks or Quirks()
        if version >= _WITHOUT_SAMPLING:  # ISO dates order as text
            quirks = replace(quirks, drop=(*quirks.drop, *_SAMPLING))
        self._options = ChatOptions(settings, quirks)

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> ChatExchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = anthropic_messages.encode_chat(request, options, stream=stream)
        wire = self._post("/v1/messages", encoded.body, encoded.headers)
        return ChatExchange(anthropic_messages, wire, encoded)

    def probe(self) -> WireRequest:
        """`GET /v1/models?limit=1`: free, and needs a good key."""
        return self._get("/v1/models?limit=1")

    def model_info_request(self, model: str) -> WireRequest:
        """`GET /v1/models/{id}`."""
        return self._get(f"/v1/models/{quote(model, safe='')}")

    def decode_model_info(self, model: str, body: bytes) -> ModelInfo:
        """Window, limits, capabilities, accepted kinds of thinking and efforts, and the end of its life."""
        try:
            told = _model_decoder.decode(body)
        except UNREADABLE:
            raise MalformedResponse(
                "the answer of /v1/models is not what Anthropic's API promises; check base_url"
            ) from None
        capabilities, rules = _described(told.capabilities)
        return ModelInfo(
            id=model,
            provider=self.kind,
            context_window=told.max_input_tokens,
            max_input_tokens=told.max_input_tokens,
            max_output_tokens=told.max_tokens,
            capabilities=capabilities,
            parameters=rules,
            lifecycle=told.lifecycle,
            retires_on=told.retires_at[:10] if told.retires_at else None,
        )

    def count_request(self, request: ChatRequest, info: ModelInfo) -> WireRequest:
        """`POST /v1/messages/count_tokens`: free, and an estimate. Raises like `open`."""
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = anthropic_messages.encode_count(request, options)
        return self._post("/v1/messages/count_tokens", encoded.body, encoded.headers)

    def decode_count(self, body: bytes) -> int:
        """Raises `MalformedResponse`."""
        try:
            return _count_decoder.decode(body).input_tokens
        except UNREADABLE:
            raise MalformedResponse("the answer of /v1/messages/count_tokens has no input_tokens") from None

    def _post(self, path: str, body: bytes, forwarded: tuple[tuple[str, str], ...]) -> WireRequest:
        headers = JSON_BODY + self._headers
        betas = self._betas
        for name, value in forwarded:
            if name == _BETA:
                betas = list(dict.fromkeys((*betas, *_listed(value))))
        if betas:
            headers = (*headers, (_BETA, ",".join(betas)))
        return WireRequest(method="POST", origin=self._origin, path=self._prefix + path, headers=headers, body=body)

    def _get(self, path: str) -> WireRequest:
        return WireRequest(method="GET", origin=self._origin, path=self._prefix + path, headers=self._headers)


def _listed(value: str) -> list[str]:
    return [each.strip() for each in value.split(",") if each.strip()]


def _described(told: _Capabilities | None) -> tuple[Capabilities, ParameterRules]:
    if told is None:
        return Capabilities(), ParameterRules()
    thinking = told.thinking
    capabilities = Capabilities(
        vision=_is(told.image_input),
        pdf=_is(told.pdf_input),
        json_schema=_is(told.structured_outputs),
        reasoning=thinking.supported if thinking is not None else None,
    )
    rules = ParameterRules(
        thinking=_accepted(thinking.types) if thinking is not None and thinking.types is not None else None,
        efforts=_efforts(told.effort),
    )
    return capabilities, rules


def _is(told: _Supported | None) -> bool | None:
    return told.supported if told is not None else None


def _efforts(told: _Efforts | None) -> list[str] | None:
    if told is None:
        return None
    return [] if told.supported is False else _accepted(told)


def _accepted(told: _Efforts | _ThinkingTypes) -> list[str] | None:
    """`None` where nothing is told of any: an empty list would say that none is accepted."""
    said = {name: _is(each) for name in told.__struct_fields__ if isinstance(each := getattr(told, name), _Supported)}
    if all(accepted is None for accepted in said.values()):
        return None
    return [name for name, accepted in said.items() if accepted]
