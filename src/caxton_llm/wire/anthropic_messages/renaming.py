"""Names of tools in the bytes of a request and of its answer: only where a name is replaced are bytes written anew."""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from caxton_llm.types import Json

__all__ = ["renamed_answer", "renamed_event", "renamed_fields"]

_NULL = Raw(b"null")

_encode = msgspec.json.Encoder().encode
_fields_decoder = msgspec.json.Decoder(dict[str, Raw])
_list_decoder = msgspec.json.Decoder(list[Raw])


def renamed_fields(fields: dict[str, Raw], names: dict[str, str]) -> dict[str, Json]:
    """The fields of a client's request in which tools are named, with the names of the wire."""
    renamed: dict[str, Json] = {"messages": _each(fields["messages"], _in_message, names)}
    if "tools" in fields:
        renamed["tools"] = _each(fields["tools"], _in_tool, names)
    if "tool_choice" in fields:
        renamed["tool_choice"] = _named(fields["tool_choice"], names, ("tool",))
    return renamed


def renamed_answer(body: bytes, names: dict[str, str]) -> bytes:
    """A whole answer that has been read, with the caller's names."""
    fields = _fields_decoder.decode(body)
    content = _each(fields["content"], _in_block, names)
    return body if content is fields["content"] else _encode({**fields, "content": content})


def renamed_event(payload: bytes, names: dict[str, str]) -> bytes:
    """An event of a stream that has been read, with the caller's names."""
    if b'"tool_use"' not in payload:
        return payload
    fields = _fields_decoder.decode(payload)
    block = fields.get("content_block", _NULL)
    renamed = _in_block(block, names)
    return payload if renamed is block else _encode({**fields, "content_block": renamed})


def _each(raw: Raw, change: Callable[[Raw, dict[str, str]], Raw], names: dict[str, str]) -> Raw:
    """A list, its items changed; the same value where it is none or where nothing changes."""
    if not bytes(raw).startswith(b"["):
        return raw
    items = _list_decoder.decode(raw)
    changed = [change(item, names) for item in items]
    return raw if all(new is old for new, old in zip(changed, items, strict=True)) else Raw(_encode(changed))


def _in_message(message: Raw, names: dict[str, str]) -> Raw:
    fields = _fields_decoder.decode(message)
    content = fields.get("content", _NULL)
    changed = _each(content, _in_block, names)
    return message if changed is content else Raw(_encode({**fields, "content": changed}))


def _in_block(block: Raw, names: dict[str, str]) -> Raw:
    return _named(block, names, ("tool_use",))


def _in_tool(tool: Raw, names: dict[str, str]) -> Raw:
    return _named(tool, names, (None, "custom"))  # any other type is Anthropic's own


def _named(raw: Raw, names: dict[str, str], kinds: tuple[str | None, ...]) -> Raw:
    """An object of one of the `kinds` with its name replaced; the same value where there is nothing to replace."""
    if not bytes(raw).startswith(b"{"):
        return raw
    fields = _fields_decoder.decode(raw)
    kind, name = (msgspec.json.decode(fields.get(key, _NULL)) for key in ("type", "name"))
    if kind not in kinds or not isinstance(name, str) or name not in names:
        return raw
    return Raw(_encode({**fields, "name": names[name]}))
