"""The common model: what every dialect translates from and to.

It has the shape of OpenAI's chat completions, the format nearly every client speaks. Rules kept here:

- `None` means "not said". A zero is a zero that somebody said.
- A value that arrived in some dialect remembers its bytes (`RequestSource`, `ChatResponse.wire`, `ChatChunk.wire`), so a
  request between two sides of one dialect passes through unchanged.

Nothing in this module does I/O or knows a vendor.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct, field

from caxton_llm.attempts import Attempt, Skip
from caxton_llm.discreet import Discreet
from caxton_llm.usage import Billing, CompletionTokensDetails, PromptTokensDetails, Usage

__all__ = [
    "AudioInput",
    "Billing",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "ChatStream",
    "Choice",
    "ChunkChoice",
    "CompletionTokensDetails",
    "ContentPart",
    "ContextReport",
    "Delta",
    "Discreet",
    "FileInput",
    "FinishReason",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "ImageUrl",
    "Json",
    "JsonSchemaFormat",
    "Message",
    "ParameterReport",
    "PromptTokensDetails",
    "RequestSource",
    "ResponseFormat",
    "Role",
    "StreamOptions",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
]

Json = Any
"""A JSON value whose shape belongs to somebody else: a tool's schema, a vendor's own field."""

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]


class ImageUrl(Discreet, Struct, omit_defaults=True):
    """An image by https URL or data URL."""

    url: str
    detail: str | None = None


class AudioInput(Discreet, Struct, omit_defaults=True):
    """Base64 audio without a `data:` prefix; `format` is `wav` or `mp3`."""

    data: str
    format: str


class FileInput(Discreet, Struct, omit_defaults=True):
    """A document: either `file_id`, or `file_data` (a data URL) with `filename`."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class ContentPart(Discreet, Struct, omit_defaults=True, kw_only=True):
    """One part of a message: `type` says which of the other fields is set.

    A `type` unknown to this class is kept as a name only; its content travels in the request's source bytes, and a dialect
    that would have to translate it refuses with `UnsupportedFeature`.
    """

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: AudioInput | None = None
    file: FileInput | None = None
    refusal: str | None = None
    cache_control: Json = None
    """Prompt cache hint in Anthropic's form, e.g. `{"type": "ephemeral", "ttl": "1h"}`; other vendors never see it."""


class FunctionCall(Discreet, Struct):
    """`arguments` is JSON text as the model wrote it; it may be invalid."""

    name: str
    arguments: str = ""


class ToolCall(Discreet, Struct, omit_defaults=True, kw_only=True):
    """One call that the model asks for; `id` is unique in the conversation."""

    id: str
    # A factory, because `omit_defaults` would leave a plain default out and `type` is required on the wire.
    type: str = field(default_factory=lambda: "function")
    function: FunctionCall | None = None
    custom: Json = None


class Message(Discreet, Struct, omit_defaults=True, kw_only=True):
    """One turn. `content` is text, a list of parts, or `None` (an assistant turn that only calls tools)."""

    role: Role
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """The model's visible reasoning. An extension: it is never sent to a vendor that does not know it."""
    thinking_blocks: list[Json] | None = None
    """Anthropic's `thinking` and `redacted_thinking` blocks, verbatim with their signatures; only Anthropic gets them."""
    function_call: FunctionCall | None = None
    """The deprecated ancestor of `tool_calls`."""
    annotations: Json = None
    audio: Json = None
    cache_control: Json = None
    """Prompt cache hint for the whole message, as some clients write it (see `ContentPart.cache_control`)."""


class FunctionDefinition(Discreet, Struct, omit_defaults=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON Schema object."""

    name: str
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None


class Tool(Discreet, Struct, omit_defaults=True, kw_only=True):
    """A tool. `type` is `function`, `custom`, or a vendor's built-in."""

    type: str
    function: FunctionDefinition | None = None
    custom: Json = None
    cache_control: Json = None


class JsonSchemaFormat(Discreet, Struct, omit_defaults=True, kw_only=True):
    """The schema that an answer must satisfy."""

    name: str = "response"
    description: str | None = None
    schema: dict[str, Json] | None = None
    strict: bool | None = None


class ResponseFormat(Discreet, Struct, omit_defaults=True, kw_only=True):
    """`type` is `text`, `json_object` or `json_schema`."""

    type: str
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(Struct, omit_defaults=True, kw_only=True):
    """What a client wants to see in its stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class RequestSource(Discreet, Struct, frozen=True):
    """The request as the client sent it: its dialect, its top-level fields as bytes, and the headers that may travel on."""

    dialect: str
    fields: dict[str, Raw]
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"RequestSource(dialect={self.dialect!r}, fields={sorted(self.fields)})"


class ChatRequest(Discreet, Struct, omit_defaults=True, kw_only=True):
    """A chat request in the common model.

    `temperature` is 0..2, `top_p` 0..1, penalties -2..2, `top_logprobs` 0..20. `max_completion_tokens` is the canonical
    limit of the output and wins over its older name `max_tokens`. A request is never changed once built: every step that
    needs another value makes a copy.
    """

    model: str = "default"
    messages: list[Message]
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Json] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDefinition] | None = None
    function_call: str | dict[str, Json] | None = None
    response_format: ResponseFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Json] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # The two fields below belong to this process, not to the wire: no API has a field whose name begins so.
    extra: dict[str, Json] = field(default_factory=dict, name="#extra")
    """Top-level fields outside the common model (`top_k`, `thinking`, vLLM's parameters): values or `msgspec.Raw`."""
    source: RequestSource | None = field(default=None, name="#source")

    @property
    def output_limit(self) -> int | None:
        """The limit of the output in tokens, whichever name it was given under; `None` when it was not given."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def extra_value(self, name: str) -> Json:
        """A field outside the common model as a plain value; `None` when it is absent or null."""
        value = self.extra.get(name)
        return msgspec.json.decode(value) if isinstance(value, Raw) else value

    def _told(self) -> Iterator[tuple[str, str]]:
        yield "model", repr(self.model)
        yield "messages", str(len(self.messages))
        yield "tools", str(len(self.tools or ()))


class Choice(Discreet, Struct, kw_only=True):
    """One answer. `stop_sequence` is the matched stop string where the provider tells it."""

    index: int
    message: Message
    finish_reason: FinishReason | None = None
    logprobs: Json = None
    stop_sequence: str | None = None


class ParameterReport(Struct):
    """What became of the caller's parameters: `mapped` name -> what it became, `dropped` name -> why.

    A refused parameter raises `UnsupportedFeature` before anything is sent, so it has no place here.
    """

    mapped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)


class ContextReport(Discreet, Struct, frozen=True, kw_only=True):
    """What an agent's request was given: at most `tokens` of `budget`, from which sources; what was left out of candidates,
    and which sources failed."""

    tokens: int
    budget: int
    sources: tuple[str, ...]
    missing: tuple[str, ...] = ()
    dropped: int = 0
    conversation: str | None = None
    """The stored conversation that the request belongs to."""


class ChatResponse(Discreet, Struct, kw_only=True):
    """A whole answer.

    `model` is the provider's own name for what answered; `provider` is the configured entry. `cost_usd` is `None` when the
    price or the usage is unknown. `wire` holds the provider's bytes in `dialect`.
    """

    id: str
    model: str
    choices: list[Choice]
    created: int = 0
    usage: Usage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    provider: str = ""
    request_id: str | None = None
    attempts: int = 1
    """How often the request was sent, over all targets; the last time it was answered."""
    failed_attempts: list[Attempt] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    degraded: bool = False
    """No target could answer: the text is the configured `degraded_message`."""
    params: ParameterReport = field(default_factory=ParameterReport)
    cost_usd: float | None = None
    warnings: list[str] = field(default_factory=list)
    upstream_s: float | None = None
    """Seconds from sending to the end of the provider's answer."""
    context: ContextReport | None = None
    """For an agent's answer."""
    dialect: str = ""
    wire: bytes | None = None

    @property
    def text(self) -> str:
        """The text of the first choice; empty when there is none."""
        content = self.choices[0].message.content if self.choices else None
        if isinstance(content, str):
            return content
        return "".join(part.text or "" for part in content or ())

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the first choice."""
        return (self.choices[0].message.tool_calls or []) if self.choices else []

    def _told(self) -> Iterator[tuple[str, str]]:
        yield "id", repr(self.id)
        yield "model", repr(self.model)
        yield "provider", repr(self.provider)
        yield "choices", str(len(self.choices))
        yield "finish_reason", repr(self.choices[0].finish_reason if self.choices else None)
        yield "usage", repr(self.usage)


class FunctionCallDelta(Discreet, Struct, omit_defaults=True):
    """A fragment of a call: `name` once, `arguments` appended."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Discreet, Struct, omit_defaults=True, kw_only=True):
    """A fragment of the call number `index`; `id`, `type` and the name come once, with the first fragment."""

    index: int
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None
    custom: Json = None


class Delta(Discreet, Struct, omit_defaults=True, kw_only=True):
    """What a chunk adds to a message."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[Json] | None = None
    """Whole blocks with their signatures, each once, when the block has ended."""
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    audio: Json = None

    @property
    def has_content(self) -> bool:
        """Whether a reader would see something: a role alone is nothing."""
        return bool(
            self.content
            or self.tool_calls
            or self.reasoning_content
            or self.refusal
            or self.thinking_blocks
            or self.audio is not None
        )


class ChunkChoice(Discreet, Struct, kw_only=True):
    """The part of a chunk that belongs to the choice number `index`."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: Json = None
    stop_sequence: str | None = None


class ChatChunk(Discreet, Struct, kw_only=True):
    """One event of a stream. `wire` is the payload of the event as the provider sent it, in the stream's dialect.

    A chunk without choices and usage carries nothing for a reader, but its `wire` may matter to a client of the same
    dialect (a ping, a vendor's own event).
    """

    choices: list[ChunkChoice] = field(default_factory=list)
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None
    event: str | None = None
    """The name of the server-sent event, where the dialect names its events."""
    wire: bytes | None = None
    progress: Json = None
    """What is being done before the answer goes on, for who watches: an object of the gateway's own. Such a chunk has no
    choices and no `wire`."""

    @property
    def text(self) -> str:
        """The text that this chunk adds to the first choice; empty when it adds none."""
        return "".join(choice.delta.content or "" for choice in self.choices if choice.index == 0)

    @property
    def commits(self) -> bool:
        """Whether this chunk is the first that a reader would see: content, or the end of the answer."""
        return any(choice.finish_reason is not None or choice.delta.has_content for choice in self.choices)

    def _told(self) -> Iterator[tuple[str, str]]:
        yield "id", repr(self.id)
        yield "choices", str(len(self.choices))
        yield "usage", str(self.usage is not None)


class ChatStream:
    """An answer in the making: iterate over it for `ChatChunk`s; close it to stop the provider.

    `source` makes the generator of batches (chunks that arrived together, at least one) and fills in what it learns about
    the stream on the way. Errors of the provider are raised from the iteration. Leaving the iteration early leaves the
    provider running until `aclose()`; `async with` does both. One task at a time may iterate or close.
    """

    def __init__(
        self,
        source: "Callable[[ChatStream], AsyncGenerator[list[ChatChunk], None]]",
        *,
        dialect: str = "",
        provider: str = "",
        model: str = "",
    ) -> None:
        self.dialect = dialect
        """The dialect of the chunks' `wire`; empty when they have none."""
        self.provider = provider
        self.model = model
        self.request_id: str | None = None
        self.attempts = 1
        self.failed_attempts: list[Attempt] = []
        self.skipped: list[Skip] = []
        self.degraded = False
        self.params = ParameterReport()
        self.warnings: list[str] = []
        self.usage: Usage | None = None
        """The usage of the whole answer; known when the iteration has ended."""
        self.cost_usd: float | None = None
        self.upstream_s: float | None = None
        """Seconds from sending to the first chunk."""
        self.context: ContextReport | None = None
        """For an agent's answer."""
        self._batches = source(self)
        self._pending: list[ChatChunk] = []

    def __aiter__(self) -> "ChatStream":
        return self

    async def __anext__(self) -> ChatChunk:
        while not self._pending:
            self._pending = (await anext(self._batches))[::-1]
        return self._pending.pop()

    async def next_batch(self) -> list[ChatChunk]:
        """The chunks that are there, at least one; raises `StopAsyncIteration` at the end."""
        if self._pending:
            batch, self._pending = self._pending[::-1], []
            return batch
        return await anext(self._batches)

    def describe_as(self, other: "ChatStream") -> None:
        """Tell of this stream what another one, which it hands on, tells of who answers; usage and cost are not among it."""
        self.provider, self.model, self.request_id = other.provider, other.model, other.request_id
        self.attempts, self.failed_attempts, self.skipped = other.attempts, other.failed_attempts, other.skipped
        self.params, self.warnings, self.upstream_s = other.params, other.warnings, other.upstream_s
        self.degraded = other.degraded

    async def aclose(self) -> None:
        """Stop: the connection to the provider is closed if the answer is not complete. Safe to call twice."""
        self._pending = []
        await self._batches.aclose()

    async def __aenter__(self) -> "ChatStream":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
