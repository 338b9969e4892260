"""What a request says that only Anthropic's API understands, reported where it goes to another.

The common model has no place for most of it, so it is read from the fields that the client sent.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from caxton_llm.types import ChatRequest, RequestSource
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["ONLY_ANTHROPIC", "note_anthropics_own"]

ONLY_ANTHROPIC = "only Anthropic's API takes it"

_TRANSLATED = {
    "metadata": frozenset({"user_id"}),
    "output_config": frozenset({"effort", "format"}),
    "tools[]": frozenset({"cache_control", "description", "input_schema", "name", "strict", "type"}),
}
_EFFORT_FIELDS = ("thinking", "output_config")
_NULL = Raw(b"null")
_EMPTY = (_NULL, Raw(b"[]"), Raw(b"{}"))


class _Block(Struct):
    type: str = ""
    cache_control: Raw = _NULL
    citations: Raw = _NULL
    content: Raw = _NULL


class _Turn(Struct):
    content: str | list[_Block]


_fields_decoder = msgspec.json.Decoder(dict[str, Raw] | None)
_tools_decoder = msgspec.json.Decoder(list[dict[str, Raw]] | None)
_turns_decoder = msgspec.json.Decoder(list[_Turn])
_blocks_decoder = msgspec.json.Decoder(list[_Block])


def note_anthropics_own(request: ChatRequest, notes: ParameterNotes) -> frozenset[str]:
    """Reports what gets lost; returns the names in `extra` that need no further word.

    Of those are `thinking` and `output_config` of a client of Anthropic's: the common model has them as `reasoning_effort`.
    """
    if _has_hints(request):
        notes.strip("cache_control", ONLY_ANTHROPIC)
    source = request.source
    if source is None or source.dialect != "anthropic_messages":
        return frozenset()
    for name in ("metadata", "output_config"):
        _note_rest(name, _fields_decoder.decode(source.fields.get(name, _NULL)), notes)
    for tool in _tools_decoder.decode(source.fields.get("tools", _NULL)) or ():
        _note_rest("tools[]", tool, notes)
    for hint in _hints_in_blocks(source):
        notes.strip(hint, ONLY_ANTHROPIC)
    if request.extra_value("cache_control") is not None:
        notes.strip("cache_control", ONLY_ANTHROPIC)
    return _settled_extras(request, notes) | {"cache_control"}


def _note_rest(name: str, fields: dict[str, Raw] | None, notes: ParameterNotes) -> None:
    for key, value in (fields or {}).items():
        if key not in _TRANSLATED[name] and value != _NULL:
            notes.drop(f"{name}.{key}", ONLY_ANTHROPIC)


def _settled_extras(request: ChatRequest, notes: ParameterNotes) -> frozenset[str]:
    config = request.extra_value("output_config")
    without_effort = isinstance(config, dict) and "effort" not in config
    if request.reasoning_effort is None:
        return frozenset({"output_config"}) if without_effort else frozenset()
    for name in _EFFORT_FIELDS:
        if name in request.extra and not (name == "output_config" and without_effort):
            notes.map(name, "reasoning_effort")
    return frozenset(_EFFORT_FIELDS)


def _has_hints(request: ChatRequest) -> bool:
    if any(tool.cache_control is not None for tool in request.tools or ()):
        return True
    for message in request.messages:
        if message.cache_control is not None:
            return True
        parts = message.content if isinstance(message.content, list) else ()
        if any(part.cache_control is not None for part in parts):
            return True
    return False


def _hints_in_blocks(source: RequestSource) -> list[str]:
    raw = source.fields.get("messages", _NULL)
    named = [key for key in ("cache_control", "citations") if f'"{key}"'.encode() in bytes(raw)]
    if not named:  # nearly always
        return named
    blocks = list(_blocks(_turns_decoder.decode(raw)))
    return [key for key in named if any(getattr(block, key) not in _EMPTY for block in blocks)]


def _blocks(turns: list[_Turn]) -> Iterator[_Block]:
    for turn in turns:
        for block in turn.content if isinstance(turn.content, list) else ():
            yield block
            if block.type == "tool_result" and bytes(block.content).startswith(b"["):
                yield from _blocks_decoder.decode(block.content)
