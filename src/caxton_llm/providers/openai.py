"""OpenAI, and every server that speaks its chat completions: such a server needs a `base_url` and perhaps a few quirks."""

from typing import NoReturn
from urllib.parse import quote

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Quirks, WireRequest
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers, sent_model
from caxton_llm.providers.credentials import StaticCredentials, bearer
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.model_listing import decode_listed_model
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest
from caxton_llm.wire import openai_chat

__all__ = ["OpenAIAdapter", "adapter", "credentials"]

_DEFAULT_URL = "https://api.openai.com/v1"


def adapter(settings: ProviderSettings) -> "OpenAIAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for a `base_url` that is none."""
    return OpenAIAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> StaticCredentials:  # noqa: ARG001
    """A bearer token when there is a key; servers of one's own often need none."""
    return bearer(api_key) if api_key else StaticCredentials(())


class OpenAIAdapter:
    """The `ProviderAdapter` of one entry."""

    kind = "openai"
    dialect = openai_chat.name
    inline_images = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.entry_name
        self._settings = settings
        self._origin, self._prefix = parse_base_url(settings.base_url or _DEFAULT_URL, default_path="/v1")
        self._headers = entry_headers(
            settings, ("openai-organization", settings.organization), ("openai-project", settings.project)
        )
        self._options = ChatOptions(settings, settings.quirks or Quirks())

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> ChatExchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = openai_chat.encode_chat(request, options, stream=stream)
        wire = WireRequest(
            method="POST",
            origin=self._origin,
            path=f"{self._prefix}/chat/completions",
            headers=JSON_BODY + self._headers + encoded.headers,
            body=encoded.body,
        )
        return ChatExchange(openai_chat, wire, encoded)

    def probe(self) -> WireRequest:
        """`GET /models`: free, and needs a good key."""
        return self._get("/models")

    def model_info_request(self, model: str) -> WireRequest:
        """`GET /models/{id}`."""
        return self._get(f"/models/{quote(model, safe=':')}")

    def decode_model_info(self, model: str, body: bytes) -> ModelInfo:
        """The retirement date (OpenAI) and the window (compatible servers), where they are told."""
        return decode_listed_model(self.kind, model, body)

    def count_request(self, request: ChatRequest, info: ModelInfo) -> None:  # noqa: ARG002
        """The chat API counts no tokens in advance."""
        return

    def decode_count(self, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `count_request` is `None`."""
        raise UnsupportedFeature("OpenAI's chat API counts no tokens in advance")

    def _get(self, path: str) -> WireRequest:
        return WireRequest(method="GET", origin=self._origin, path=self._prefix + path, headers=self._headers)
