"""Every seam of the system on one page.

Each protocol has at least two implementations. What they exchange is plain data from `types`, or the wire values below.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from caxton_llm.errors import LlmError
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Discreet, Json, ParameterReport

__all__ = [
    "BlockingCredentials",
    "ClientDialect",
    "Clock",
    "Credentials",
    "Defaults",
    "EncodeOptions",
    "EncodedChat",
    "Exchange",
    "LlmProvider",
    "Origin",
    "ProviderAdapter",
    "ProviderDialect",
    "Quirks",
    "Restore",
    "SecretSource",
    "StreamDecoder",
    "StreamEncoder",
    "TokenCounter",
    "Transport",
    "TransportResponse",
    "VersionedAdapter",
    "WireRequest",
    "WireResponse",
]


# -- what callers see ---------------------------------------------------------------------------------------------------


@runtime_checkable
class LlmProvider(Protocol):
    """A model that answers: the interface of the specification ("Provider Abstraction Layer").

    `stream_chat` returns at once; whatever goes wrong is raised from the first iteration. Errors are `LlmError`s.
    """

    async def complete_chat(self, request: ChatRequest) -> ChatResponse: ...
    def stream_chat(self, request: ChatRequest) -> ChatStream: ...
    async def get_model_info(self) -> ModelInfo: ...
    def supports_function_calling(self) -> bool: ...
    def supports_streaming(self) -> bool: ...


# -- bytes to and from a provider ---------------------------------------------------------------------------------------


class Origin(Struct, frozen=True, cache_hash=True):
    """Where a connection goes. `scheme` is `http` or `https`; connections are pooled by this value."""

    scheme: str
    host: str
    port: int
    address: str | None = None
    """The IP address to connect to. Without it `host` is resolved; `Host` and the certificate's name are `host`'s anyway."""

    @property
    def authority(self) -> str:
        """The value of the `Host` header: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class WireRequest(Discreet, Struct, frozen=True, kw_only=True):
    """An HTTP request ready to be sent, without credentials until `with_headers` adds them.

    `path` starts with `/` and includes the query. Header names are lower case. `host`, `content-length` and `connection`
    belong to the transport and are not in `headers`.
    """

    method: str
    origin: Origin
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_headers(self, *more: tuple[str, str]) -> "WireRequest":
        return WireRequest(
            method=self.method, origin=self.origin, path=self.path, headers=self.headers + more, body=self.body
        )

    def __repr__(self) -> str:  # headers carry credentials, the query may, and the body is a prompt
        return f"WireRequest({self.method} {self.origin}{self.path.partition('?')[0]}, {len(self.body)} bytes)"


class WireResponse(Discreet, Struct, frozen=True, kw_only=True):
    """A whole HTTP response. Header names are lower case; repeated headers are joined with `, `."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"WireResponse({self.status}, {len(self.body)} bytes)"


class TransportResponse(Protocol):
    """A response whose headers have arrived."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The whole body. Raises `StreamInterrupted` when it is cut, `IdleTimeout` when it stalls."""

    async def read_some(self) -> bytes:
        """All bytes that are there, at least one; `b""` at the end. Raises like `read`."""

    def release(self) -> None:
        """The caller has what it needs: keep the connection if the rest of the body ends shortly, else close it."""

    def abort(self) -> None:
        """Close the connection now unless the body is complete. Safe to call twice."""


class Transport(Protocol):
    """HTTP to providers. Raises `ConnectFailed`, `ConnectTimeout`, `StreamInterrupted`, `IdleTimeout`; never anything of its
    HTTP library. A cancelled caller closes the socket at once. Redirects are not followed."""

    async def send(
        self, request: WireRequest, *, connect_timeout_s: float, idle_timeout_s: float | None
    ) -> TransportResponse:
        """Send, and return when the headers are there. `idle_timeout_s` limits each silence inside the body only; how long
        to wait for the headers is the caller's decision (it cancels)."""
        ...

    async def aclose(self) -> None: ...


# -- one request in a provider's dialect --------------------------------------------------------------------------------


class Quirks(Struct, frozen=True, kw_only=True):
    """How a server of a known dialect deviates from it; configuration, so that a compatible endpoint needs no code."""

    output_limit_field: str | None = None
    """Name of the output limit's field; `None`: as the catalogue says for the model, else the dialect's newest name."""
    stream_usage: bool = True
    """The server accepts `stream_options: {include_usage: true}`."""
    system_role: str | None = None
    """Role under which system text is sent: `system` or `developer`; `None`: unchanged."""
    think_tags: bool = False
    """Reasoning comes inside the text between `<think>` and `</think>`."""
    content_key: bool = False
    """An assistant message that only calls tools must have the key `content`, be it null (always so on Azure)."""
    reasoning_field: str | None = None
    """Field in which the server takes the reasoning of earlier turns back (DeepSeek: `reasoning_content`); else not sent."""
    merge_turns: bool | None = None
    """Neighbouring messages of one role are sent as one, for chat templates that demand alternating roles; not said:
    for the provider `vllm` alone."""
    drop: tuple[str, ...] = ()
    """Parameters that the server does not accept; they are dropped and reported."""
    extra_parameters: bool = True
    """Fields outside the common model are sent as they are."""


class Defaults(Discreet, Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the configured entry sends when the caller is silent."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    extra: dict[str, Json] = field(default_factory=dict)


class EncodeOptions(Struct, frozen=True, kw_only=True):
    """What a dialect must know of a target to encode a request for it; made once per target and model."""

    model: ModelInfo
    send_model: str
    quirks: Quirks = Quirks()
    defaults: Defaults = Defaults()
    strict: bool = False
    """`parameters: strict`: a parameter that would be dropped is refused instead."""


class Restore(Struct, kw_only=True):
    """What decoding must undo for one request."""

    tool_names: dict[str, str] = {}
    """Name on the wire -> name the caller used."""
    unwrap_tool: str | None = None
    """This tool's arguments are the answer: the JSON schema was enforced by a forced tool."""
    think_tags: bool = False
    """Reasoning comes inside the text between `<think>` and `</think>` (`Quirks.think_tags`)."""


class EncodedChat(Discreet, Struct, kw_only=True):
    """A request in a dialect: the body, headers the dialect itself needs, the report, and what decoding must undo."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    report: ParameterReport
    restore: Restore


class ProviderDialect(Protocol):
    """What we say to a provider and what it answers. Implemented by modules, so these are functions."""

    name: str

    def encode_chat(self, request: ChatRequest, options: EncodeOptions, *, stream: bool) -> EncodedChat:
        """Raises `InvalidRequest` or `UnsupportedFeature` for what must not be sent."""

    def decode_chat(self, body: bytes, restore: Restore) -> ChatResponse:
        """A 2xx answer. Raises the error that a 200 may carry, or `MalformedResponse`."""

    def stream_decoder(self, restore: Restore) -> "StreamDecoder": ...

    def classify(self, response: WireResponse) -> LlmError:
        """An answer outside 2xx: kind, retry-after, request id. Never quotes more than the provider's own message."""


class StreamDecoder(Protocol):
    """Bytes of one response -> chunks. Made per response. `feed` and `close` do not raise: they set `failure`."""

    failure: LlmError | None
    """An error inside the stream; the chunks before it have been returned."""
    finished: bool
    """Every started choice has a finish reason; only usage and the end marker may follow."""
    done: bool
    """The end marker has been seen; whatever follows is ignored."""

    def feed(self, data: bytes) -> list[ChatChunk]: ...

    def close(self) -> list[ChatChunk]:
        """The body has ended. Without an end marker, and not `finished`, `failure` becomes `StreamInterrupted`."""


class StreamEncoder(Protocol):
    """Chunks -> bytes for one client. Made per response."""

    def encode(self, chunks: list[ChatChunk]) -> bytes: ...

    def finish(self, trailer: Mapping[str, Json]) -> bytes:
        """The end of a complete stream; `trailer` goes under `caxton` into the last usage event."""

    def fail(self, error: LlmError) -> bytes:
        """The end of a broken stream: an event that no client takes for a normal end."""


class ClientDialect(Protocol):
    """What a client says to our server, and what we answer. Implemented by modules, so these are functions."""

    name: str

    def decode_request(self, body: bytes, headers: Mapping[str, str]) -> ChatRequest:
        """Raises `InvalidRequest` with the path of the field."""

    def client_path(self, path: str, request: ChatRequest) -> str:
        """The path of a field of the common model as the client wrote it: messages may be numbered otherwise there."""

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes: ...

    def encoder(self, request: ChatRequest, *, stream_dialect: str, stream_model: str) -> StreamEncoder: ...

    def encode_error(self, error: LlmError) -> bytes: ...


class Exchange(Protocol):
    """One request to one provider, pure: what to send, and how to read what comes back. Made per request."""

    request: WireRequest
    params: ParameterReport

    def decode(self, response: WireResponse) -> ChatResponse:
        """A 2xx answer. Raises `LlmError` for an error inside a 200 and for anything that is not the provider's format."""

    def decoder(self) -> StreamDecoder: ...

    def classify(self, response: WireResponse) -> LlmError:
        """An answer outside 2xx."""


class ProviderAdapter(Protocol):
    """Who serves, without I/O: base URL, paths, headers, dialect, quirks of one configured entry."""

    name: str
    """The configured entry's name, for errors, headers and metrics."""
    kind: str
    """`openai`, `anthropic`, `azure`, `ollama`, `vllm`, `custom`: the `provider` key of the configuration."""
    dialect: str
    inline_images: bool
    """Images by URL must be fetched and inlined before `open`, because the provider takes bytes only (Ollama)."""

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> Exchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""

    def probe(self) -> WireRequest | None:
        """The provider's cheapest endpoint: answers 2xx when the provider is up and the credentials are good."""

    def model_info_request(self, model: str) -> WireRequest | None:
        """Where the provider tells about a model; `None` when it does not."""

    def decode_model_info(self, model: str, body: bytes) -> ModelInfo:
        """Only what the provider said; raises `MalformedResponse`."""

    def count_request(self, request: ChatRequest, info: ModelInfo) -> WireRequest | None:
        """Where the provider counts the prompt tokens of a request; `None` when it does not."""

    def decode_count(self, body: bytes) -> int: ...


@runtime_checkable
class VersionedAdapter(Protocol):
    """An adapter whose server tells its version, on which its API depends."""

    def version_request(self) -> WireRequest: ...

    def decode_version(self, body: bytes) -> str:
        """Raises `MalformedResponse`."""
        ...


class Credentials(Protocol):
    """Headers that sign a request."""

    refreshable: bool
    """A refused credential may be replaced by a fresh one: try `refresh` once after a 401."""

    def headers(self, now: float) -> tuple[tuple[str, str], ...] | None:
        """The headers, or `None` when a fresh token must be fetched first."""

    def refresh(self, now: float) -> Generator[WireRequest, WireResponse, None]:
        """Yields requests to the token endpoint and takes the responses; the token's life is counted from `now`, taken
        before the first of them. Afterwards `headers(now)` is not `None`. Raises `LlmError`."""

    def invalidate(self) -> None:
        """Forget the token that was just refused."""


@runtime_checkable
class BlockingCredentials(Protocol):
    """Credentials whose token comes from a library that does its own blocking I/O; called in a thread."""

    def refresh_blocking(self) -> None: ...


# -- the rest -----------------------------------------------------------------------------------------------------------


class SecretSource(Protocol):
    """Where a secret comes from (`api_key.source`). Raises `ConfigurationError` naming the reference, never the value."""

    def read(self, reference: Mapping[str, str]) -> str: ...


class TokenCounter(Protocol):
    """Counts tokens of a text."""

    def count(self, text: str) -> int: ...


Clock = Callable[[], float]
"""Seconds from an arbitrary start, monotonic: `time.monotonic`, or a fake in tests."""
