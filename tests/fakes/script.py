"""What a fake provider answers: scripted, or made from the request when nothing is scripted.

Vendor-neutral: the words here are those of the common model, each vendor's module writes them in its own dialect. Everything
is deterministic; a token is a word.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder, dumps
from typing import Self

from fakes.http_server import Delivery, Json

__all__ = [
    "Answer",
    "Asked",
    "Part",
    "Reasoning",
    "Redacted",
    "Refused",
    "Reply",
    "Text",
    "ToolCall",
    "Usage",
    "default_answer",
    "example",
    "fragments",
    "text_of",
    "words",
]


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Reasoning:
    """Thinking; `signature` is Anthropic's, `None` lets the server sign it."""

    text: str
    signature: str | None = None


@dataclass(frozen=True)
class Redacted:
    """Anthropic's redacted thinking."""

    data: str


@dataclass(frozen=True)
class Refused:
    """A safety refusal: OpenAI's `message.refusal`, Anthropic's `stop_reason: refusal`."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """`arguments` as text is sent as it stands, which may be invalid JSON; `id` `None` lets the server name the call."""

    name: str
    arguments: Mapping[str, Json] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def arguments_text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return dumps(self.arguments, separators=(",", ":"), ensure_ascii=False)


Part = Text | Reasoning | Redacted | Refused | ToolCall


@dataclass(frozen=True)
class Usage:
    """Tokens in the sense of the common model: `prompt` includes `cached` and `cache_write`, `completion` includes
    `reasoning`."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0
    """The part of `cache_write` that is kept for an hour."""
    web_searches: int = 0
    region: str = "global"
    speed: str = "standard"


@dataclass(frozen=True)
class Answer:
    """One answer. `finish` is `stop`, `length`, `tool_calls`, `content_filter`, or any word of the vendor's own."""

    parts: tuple[Part, ...]
    finish: str
    usage: Usage
    stop_sequence: str | None = None
    model: str | None = None
    """Name of the model that claims to have answered."""

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]

    @property
    def reasoning(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))

    @property
    def refusal(self) -> str | None:
        return next((part.text for part in self.parts if isinstance(part, Refused)), None)


@dataclass(eq=False)
class Reply(Delivery):
    """One scripted answer in the queue. Without `answer` and `status` it answers from the request and only changes the
    delivery."""

    path: str | None = None
    """Which endpoint it is for; `None` is the chat endpoint."""
    times: int | None = 1
    """How many requests it answers; `None` is all of them."""
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    finish: str | None = None
    usage: Usage | None = None
    model: str | None = None
    chunks: int | None = None
    inserted: list[tuple[int, bytes | None]] = field(default_factory=list)
    errors_at: tuple[int, str, str | None] | None = None
    loses_end: bool = False
    has_crlf: bool = False

    def insert(self, position: int, event: bytes) -> Self:
        """Put raw bytes before the event at `position`: a comment, an unknown event, a ping."""
        self.inserted.append((position, event))
        return self

    def garbage_after(self, events: int, garbage: bytes | None = None) -> Self:
        """An event that is not what the vendor's protocol allows; the stream goes on after it."""
        self.inserted.append((events, garbage))
        return self

    def error_after(self, events: int, name: str = "overloaded", message: str | None = None) -> Self:
        """After so many events the vendor's own in-stream error, named as in `FakeProvider.fail`; then the stream ends."""
        self.errors_at = (events, name, message)
        return self

    def without_end_marker(self) -> Self:
        """Leave the last event out: `[DONE]`, `message_stop`, the line with `done`."""
        self.loses_end = True
        return self

    def crlf(self) -> Self:
        """Lines of a stream end with CR LF."""
        self.has_crlf = True
        return self


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asks for: what the default answer is made from."""

    user_text: str = ""
    prompt_text: str = ""
    """All text of the conversation; its words are the prompt's tokens."""
    tool_results: tuple[str, ...] = ()
    """The results that the conversation ends with."""
    images: tuple[str, ...] = ()
    """Of the last user message, each described: `image/png of 68 bytes`."""
    tools: Mapping[str, Json] = field(default_factory=dict)
    """Schemas of the tools that may be called, by name."""
    forced: bool = False
    parallel: bool = True
    schema: Json = None
    """The answer must be JSON of this schema; `True`: any JSON."""
    stop: Sequence[str] = ()
    limit: int | None = None
    reasons: bool = False


def words(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def fragments(text: str, chunks: int | None) -> Iterator[str]:
    """The deltas in which a text is streamed: its words, or `chunks` pieces of about equal size; none for an empty text."""
    if chunks is None:
        yield from words(text)
        return
    size = max(1, -(-len(text) // chunks))
    for at in range(0, len(text), size):
        yield text[at : at + size]


def text_of(value: Json) -> str:
    """All strings under the `text`, `content` and `thinking` keys of a message's content, joined by newlines."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(text_of, value)))
    if isinstance(value, dict):
        return "\n".join(filter(None, (text_of(value.get(key)) for key in ("text", "content", "thinking"))))
    return ""


def default_answer(asked: Asked) -> Answer:
    """Answer from the request alone.

    In this order: tells the tool results it was given; calls the tool it is forced to, or those named by `use NAME` (with
    `use NAME {json}` as arguments); gives an example of the schema; describes images; repeats the user's text.
    """
    parts: list[Part] = []
    if asked.reasons:
        parts.append(Reasoning(f"Thinking about: {asked.user_text or 'nothing'}"))
    reasoning = len(words(parts[0].text)) if parts and isinstance(parts[0], Reasoning) else 0
    calls = [] if asked.tool_results else _calls(asked)
    if calls:
        completion = reasoning + sum(1 + len(words(call.arguments_text)) for call in calls)
        return Answer((*parts, *calls), "tool_calls", _usage(asked, completion, reasoning))
    text, finish, stopped_by = _cut(_text(asked), asked)
    return Answer((*parts, Text(text)), finish, _usage(asked, reasoning + len(words(text)), reasoning), stopped_by)


def _usage(asked: Asked, completion: int, reasoning: int) -> Usage:
    return Usage(len(words(asked.prompt_text)), completion, reasoning=reasoning)


def _text(asked: Asked) -> str:
    if asked.tool_results:
        return "The tools say: " + "; ".join(asked.tool_results)
    if asked.schema is not None:
        value = {"said": asked.user_text} if asked.schema is True else example(asked.schema)
        return dumps(value, ensure_ascii=False)
    seen = f" I see: {', '.join(asked.images)}." if asked.images else ""
    return f"You said: {asked.user_text}{seen}"


def _cut(text: str, asked: Asked) -> tuple[str, str, str | None]:
    stops = [(at, stop) for stop in asked.stop if (at := text.find(stop)) >= 0]
    if stops:
        at, stop = min(stops)
        return text[:at], "stop", stop
    pieces = words(text)
    if asked.limit is not None and len(pieces) > asked.limit:
        return "".join(pieces[: asked.limit]), "length", None
    return text, "stop", None


def _calls(asked: Asked) -> list[ToolCall]:
    found: list[tuple[int, ToolCall]] = []
    for name, schema in asked.tools.items():
        for match in re.finditer(rf"\buse {re.escape(name)}(?![\w-])\s*", asked.user_text):
            found.append((match.start(), ToolCall(name, _arguments(asked.user_text[match.end() :], schema))))
    if not found and asked.forced and asked.tools:
        name, schema = next(iter(asked.tools.items()))
        found.append((0, ToolCall(name, _arguments("", schema))))
    found.sort(key=lambda item: item[0])
    calls = [call for _, call in found]
    return calls if asked.parallel else calls[:1]


def _arguments(rest: str, schema: Json) -> Mapping[str, Json]:
    if rest.startswith("{"):
        try:
            value: Json = JSONDecoder().raw_decode(rest)[0]
        except JSONDecodeError:
            value = None
        if isinstance(value, dict):
            return value
    made = example(schema)
    return made if isinstance(made, dict) else {}


def example(schema: Json, root: Json = None, name: str = "example") -> Json:
    """A value that fits the schema; strings are named after their property."""
    root = root or schema
    if not isinstance(schema, dict):
        return name
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, name)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], root, name)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    return _typed_example(schema, root, name)


def _typed_example(schema: Json, root: Json, name: str) -> Json:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {key: example(value, root, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items"), root, name)]
    scalars: dict[str, Json] = {"integer": 7, "number": 1.5, "boolean": True, "null": None}
    return scalars.get(kind, name)


def _resolve(reference: str, root: Json) -> Json:
    target = root
    for key in reference.removeprefix("#/").split("/"):
        target = target[key]
    return target
