"""What a server answers, as text and JSON that models can read, cut where it is too long."""

import contextlib

import msgspec
from mcp.types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ReadResourceResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from caxton_llm.tool_specs import ToolOutcome
from caxton_llm.types import Json

__all__ = ["cut", "outcome_of", "resource_value"]

_Block = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource


def outcome_of(result: CallToolResult, largest: int, seconds: float) -> ToolOutcome:
    """The result of a call. Its text has at most `largest` bytes and a mark that says so; a larger structured result is left
    out, and marked as well."""
    text = "\n".join(_text(block) for block in result.content)
    structured = result.structured_content
    marks = []
    if structured is not None:
        encoded = msgspec.json.encode(structured)
        if not text.strip():
            text = encoded.decode()
        if len(encoded) > largest:
            structured = None
            marks.append(f"[the structured result of {len(encoded):,} bytes is left out]")
    text, was_cut = cut(text, largest)
    return ToolOutcome(
        text="\n".join([text, *marks]),
        is_error=result.is_error,
        truncated=was_cut or bool(marks),
        seconds=seconds,
        structured=structured,
    )


def resource_value(result: ReadResourceResult, largest: int) -> tuple[Json, bool] | None:
    """The contents of a resource, as JSON where the server says that it is some, and whether they were cut. `None`: they are
    not text."""
    texts = [contents for contents in result.contents if isinstance(contents, TextResourceContents)]
    if not texts:
        return None
    if sum(len(contents.text.encode("utf-8", "replace")) for contents in texts) > largest:
        return cut("\n".join(contents.text for contents in texts), largest)
    values = [_parsed(contents) for contents in texts]
    return (values[0] if len(values) == 1 else values), False


def cut(text: str, largest: int) -> tuple[str, bool]:
    """At most `largest` bytes of a text, with a mark behind them where that is not all."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= largest:
        return encoded.decode(), False
    kept = encoded[:largest].decode("utf-8", "ignore")
    return f"{kept}\n[cut: {largest:,} of {len(encoded):,} bytes are shown]", True


def _parsed(contents: TextResourceContents) -> Json:
    kind = (contents.mime_type or "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(contents.text)
    return contents.text


def _text(block: _Block) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type}, {block.mime_type}, {_bytes(block.data):,} bytes: not shown]"
        case ResourceLink():
            return f"[resource {block.name}: {block.uri}]"
        case EmbeddedResource():
            resource = block.resource
            if isinstance(resource, TextResourceContents):
                return resource.text
            return f"[resource {resource.uri}, {_bytes(resource.blob):,} bytes: not shown]"


def _bytes(base64: str) -> int:
    return len(base64) * 3 // 4 - base64.count("=", -2)
