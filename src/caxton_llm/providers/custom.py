"""A text API of one's own (`provider: custom`): the `provider_config` block turned into an address, a signature and paths."""

from collections.abc import Iterator
from typing import NoReturn, cast, get_args
from urllib.parse import quote

from caxton_llm.errors import ConfigurationError, ConfigurationProblem, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Credentials, EncodedChat, Quirks, WireRequest, WireResponse
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.blocks import within
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers, sent_model
from caxton_llm.providers.credentials import OAuth2ClientCredentials, StaticCredentials, bearer
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.settings import CustomApi, ProviderSettings, SecretReference
from caxton_llm.types import ChatRequest, ChatResponse, FinishReason, Message
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.answer import TextAnswers
from caxton_llm.wire.text.paths import collisions, has_gap
from caxton_llm.wire.text.stream import TextStreamShape

__all__ = ["CustomAdapter", "adapter", "credentials"]

_BLOCK = "provider_config"
_REQUEST_FIELDS = (
    "system_field",
    "prompt_field",
    "max_tokens_field",
    "temperature_field",
    "stop_field",
    "model_field",
    "stream_flag_field",
)
"""In the order in which a request is filled."""
_ANSWER_FIELDS = (
    "response_field",
    "error_field",
    "finish_field",
    "prompt_tokens_field",
    "completion_tokens_field",
    "stream_field",
    "stream_end_field",
)
_NEVER_EMPTY = ("prompt_field", "response_field", "stream_field")
"""Elsewhere an empty path says that the API has no such field."""
_FINISH_REASONS: tuple[str, ...] = get_args(FinishReason)


def adapter(settings: ProviderSettings) -> "CustomAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for a block that cannot work."""
    return CustomAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> Credentials:
    """What `auth_type` says; `api_key` is the fetched secret, where the configuration has a reference to one. Raises
    `ConfigurationError` that lists every missing key."""
    api = _block(settings)
    if api.auth_type == "none":
        return StaticCredentials(())
    if api.auth_type == "oauth2":
        token_url, client_id, secret = _required(
            ("token_url", api.token_url),
            ("client_id", api.client_id),
            ("client_secret", _secret(api.client_secret, api_key)),
        )
        with within(_BLOCK):
            return OAuth2ClientCredentials(
                token_url=token_url,
                client_id=client_id,
                client_secret=secret,
                scope=api.scope,
                params=api.token_params,
                client_auth=api.client_auth,
            )
    (given,) = _required(("auth_token", _secret(api.auth_token, api_key)))
    if api.auth_type == "bearer":
        return bearer(given, f"{_BLOCK}.auth_token")
    return StaticCredentials(((api.auth_header, given),), f"{_BLOCK}.auth_token", name_path=f"{_BLOCK}.auth_header")


class CustomAdapter:
    """The `ProviderAdapter` of one entry. Raises `ConfigurationError` for a block that cannot work."""

    kind = "custom"
    dialect = TextDialect.name
    inline_images = False

    def __init__(self, settings: ProviderSettings) -> None:
        api = _block(settings)
        problems = list(_mistakes(settings, api))
        if problems:
            raise ConfigurationError(problems)
        self.name = settings.entry_name
        with within(_BLOCK):
            self._origin, self._prefix = parse_base_url(api.base_url or "", default_path=None)
        self._path = api.path
        self._health_path = api.health_path
        self._settings = settings
        self._headers = entry_headers(settings)
        self._text = TextDialect(_text_api(api))
        self._options = ChatOptions(settings, settings.quirks or Quirks())
        trial = ChatRequest(model="trial", messages=[Message(role="user", content="")])
        self.open(trial, ModelInfo(id="trial", provider=self.kind), stream=False)

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> "CustomExchange":
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        model = sent_model(self._settings, info.id)
        encoded = self._text.encode_chat(request, self._options.of(info, send_model=model), stream=stream)
        path = (self._prefix + _joined(self._path)).replace("{model}", quote(model, safe=""))
        wire = WireRequest(
            method="POST", origin=self._origin, path=path or "/", headers=JSON_BODY + self._headers, body=encoded.body
        )
        return CustomExchange(self._text, wire, encoded)

    def probe(self) -> WireRequest | None:
        """`GET health_path` under `base_url`; `None` when it is not configured."""
        if self._health_path is None:
            return None
        path = self._prefix + _joined(self._health_path)
        return WireRequest(method="GET", origin=self._origin, path=path or "/", headers=self._headers)

    def model_info_request(self, model: str) -> None:  # noqa: ARG002
        """A text API tells nothing about its models."""
        return

    def decode_model_info(self, model: str, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `model_info_request` is `None`."""
        raise UnsupportedFeature("a text API tells nothing about its models")

    def count_request(self, request: ChatRequest, info: ModelInfo) -> None:  # noqa: ARG002
        """A text API counts no tokens in advance."""
        return

    def decode_count(self, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `count_request` is `None`."""
        raise UnsupportedFeature("a text API counts no tokens in advance")


class CustomExchange(ChatExchange):
    """The exchange of a text API: whether an answer is JSON or the text itself depends on its content type."""

    __slots__ = ("_text",)

    def __init__(self, text: TextDialect, request: WireRequest, encoded: EncodedChat) -> None:
        super().__init__(text, request, encoded)
        self._text = text

    def decode(self, response: WireResponse) -> ChatResponse:
        return self._text.decode_response(response, self._restore)


def _block(settings: ProviderSettings) -> CustomApi:
    if settings.provider_config is None:
        raise ConfigurationError(
            [ConfigurationProblem("is missing: it says where the API is and what it looks like", path=_BLOCK)]
        )
    return settings.provider_config


def _mistakes(settings: ProviderSettings, api: CustomApi) -> Iterator[ConfigurationProblem]:
    """Everything that would make every request fail, or be left out of every request, is told at the start."""
    for name, path in (("path", api.path), ("health_path", api.health_path or "")):
        if not all("!" <= character <= "~" for character in path):
            yield ConfigurationProblem(
                "contains a space or another character that no path has", path=f"{_BLOCK}.{name}"
            )
        elif "#" in path:
            yield ConfigurationProblem(
                "what follows '#' is never sent", path=f"{_BLOCK}.{name}", hint="remove it, or write %23"
            )
    if not api.base_url:
        yield ConfigurationProblem("is missing", path=f"{_BLOCK}.base_url", hint="the address of the API")
    yield from _field_mistakes(settings, api)
    for meaning in api.finish_map.values():
        if meaning not in _FINISH_REASONS:
            hint = f"one of {', '.join(_FINISH_REASONS)}"
            yield ConfigurationProblem(f"{meaning!r} is no finish reason", path=f"{_BLOCK}.finish_map", hint=hint)
    fields = {"max_tokens": api.max_tokens_field, "temperature": api.temperature_field}
    for name in ("max_tokens", "temperature", "top_p", "reasoning_effort"):
        if getattr(settings, name) is not None and not fields.get(name):
            yield ConfigurationProblem(
                "this API has no field for it", path=name, hint="put it into extra_body under the API's own name"
            )


def _field_mistakes(settings: ProviderSettings, api: CustomApi) -> Iterator[ConfigurationProblem]:
    """Paths that lead nowhere, and fields of the request that would overwrite each other."""
    gaps = {
        name
        for name in (*_REQUEST_FIELDS, *_ANSWER_FIELDS)
        if (path := getattr(api, name)) is not None and has_gap(path) and (path or name in _NEVER_EMPTY)
    }
    for name in sorted(gaps):
        what = "a part of the path between the dots is empty" if getattr(api, name) else "is empty: it must be a path"
        yield ConfigurationProblem(what, path=f"{_BLOCK}.{name}", hint="write it as result.text")
    sent = {name: path for name in _REQUEST_FIELDS if (path := getattr(api, name)) and name not in gaps}
    if api.stream_field is None:
        sent.pop("stream_flag_field", None)
    for name, message in collisions(sent, settings.extra_body):
        yield ConfigurationProblem(message, path=f"{_BLOCK}.{name}")


def _secret(written: str | SecretReference | None, fetched: str | None) -> str | None:
    return written if isinstance(written, str) else fetched


def _required(*fields: tuple[str, str | None]) -> list[str]:
    problems = [
        ConfigurationProblem("is missing, and auth_type needs it", path=f"{_BLOCK}.{name}")
        for name, value in fields
        if not value
    ]
    if problems:
        raise ConfigurationError(problems)
    return [value for _, value in fields if value]


def _text_api(api: CustomApi) -> TextApi:
    return TextApi(
        model=api.model_field,
        prompt=api.prompt_field,
        prompt_style=api.prompt_style,
        system=api.system_field,
        max_tokens=api.max_tokens_field,
        temperature=api.temperature_field,
        stop=api.stop_field,
        stream_flag=None if api.stream_field is None else api.stream_flag_field,
        answers=TextAnswers(
            text=api.response_field,
            error=api.error_field,
            finish=api.finish_field,
            finish_map=cast("dict[str, FinishReason]", api.finish_map),
            prompt_tokens=api.prompt_tokens_field,
            completion_tokens=api.completion_tokens_field,
        ),
        stream=None
        if api.stream_field is None
        else TextStreamShape(
            text=api.stream_field,
            format=api.stream_format,
            mode=api.stream_mode,
            end=api.stream_end,
            end_field=api.stream_end_field,
        ),
    )


def _joined(path: str) -> str:
    return path if not path or path.startswith("/") else f"/{path}"
