"""What a request says that only Anthropic's API understands, reported where it goes to another.

The common model has no place for most of it, so it is read from the fields that the client sent.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from caxton_llm.types import ChatRequest, Json, RequestSource
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["ONLY_ANTHROPIC", "note_anthropics_own"]

ONLY_ANTHROPIC = "only Anthropic's API takes it"

_TRANSLATED = {
    "metadata": frozenset({"user_id"}),
    "output_config": frozenset({"effort", "format"}),
    "tools[]": frozenset({"cache_control", "description", "input_schema", "name", "strict", "type"}),
}
_EFFORT_FIELDS = ("thinking", "output_config")
_BLOCK_HINTS = ("cache_control", "citations")

_fields_decoder = msgspec.json.Decoder(dict[str, Raw] | None)
_tools_decoder = msgspec.json.Decoder(list[dict[str, Json]] | None)


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
        _note_rest(name, _fields_decoder.decode(source.fields.get(name, Raw(b"null"))), notes)
    for tool in _tools_decoder.decode(source.fields.get("tools", Raw(b"null"))) or ():
        _note_rest("tools[]", tool, notes)
    for hint in _BLOCK_HINTS:
        if _stands_in_a_block(hint, source):
            notes.strip(hint, ONLY_ANTHROPIC)
    return _settled_extras(request, notes)


def _note_rest(name: str, fields: dict[str, Json] | None, notes: ParameterNotes) -> None:
    for key, value in (fields or {}).items():
        if key not in _TRANSLATED[name] and value not in (None, Raw(b"null")):
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


def _stands_in_a_block(key: str, source: RequestSource) -> bool:
    raw = source.fields.get("messages", Raw(b"[]"))
    if f'"{key}"'.encode() not in bytes(raw):  # nearly always
        return False
    return any(block.get(key) for block in _blocks(msgspec.json.decode(raw)))


def _blocks(messages: list[dict[str, Json]]) -> Iterator[dict[str, Json]]:
    for message in messages:
        for block in message["content"] if isinstance(message["content"], list) else ():
            yield block
            if isinstance(block.get("content"), list):
                yield from block["content"]
