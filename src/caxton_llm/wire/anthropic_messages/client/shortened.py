"""A request of a client of Anthropic's without some of its messages: the bytes of the turns that stay are the client's own.

Messages of the common model and the client's turns are numbered differently, so what is left out of one is found in the other
here, and what remains is read again: afterwards both say the same.
"""

from collections.abc import Set
from itertools import takewhile

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.anthropic_messages.client.turns import Turn, decode_turns, turns_of_messages

__all__ = ["without_messages"]

_encode = msgspec.json.Encoder().encode
_system_decoder = msgspec.json.Decoder(str | list[Raw] | None)
_raw_turns_decoder = msgspec.json.Decoder(list[Raw])
_turns_decoder = msgspec.json.Decoder(list[Turn])


def without_messages(request: ChatRequest, left_out: Set[int]) -> ChatRequest | None:
    """`request`, which came in this dialect, without the messages of these numbers.

    System messages that would come to stand at the head of the turns move into the system prompt: a conversation cannot begin
    with one. `None` when a turn would have to be split, or when the messages are not those of the source.
    """
    source = request.source
    if source is None:
        return None
    system = _system_decoder.decode(source.fields.get("system", Raw(b"null")))
    raw = source.fields["messages"]
    turns = _turns_decoder.decode(raw)
    places = turns_of_messages(system, turns)
    if len(places) != len(request.messages):
        return None
    lost = {number for index in left_out for number in places[index]}
    kept = {number for index, place in enumerate(places) if index not in left_out for number in place}
    if lost & kept:
        return None
    numbers = [number for number in range(len(turns)) if number in kept]
    moved = list(takewhile(lambda number: turns[number].role == "system", numbers)) if lost else []
    raw_turns = _raw_turns_decoder.decode(raw)
    fields = {**source.fields, "messages": Raw(_encode([raw_turns[number] for number in numbers[len(moved) :]]))}
    if moved:
        system = [block for part in (system, *(turns[number].content for number in moved)) for block in _blocks(part)]
        fields["system"] = Raw(_encode(system))
    messages = decode_turns(system, [turns[number] for number in numbers[len(moved) :]])
    return replace(request, messages=messages, source=replace(source, fields=fields))


def _blocks(content: str | list[Raw] | None) -> list[Raw]:
    if isinstance(content, list):
        return content
    text: Json = {"type": "text", "text": content}
    return [Raw(_encode(text))] if content else []
