"""A request of a client of this dialect without some of its messages: the bytes of those that stay are the client's own."""

from collections.abc import Set

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from caxton_llm.types import ChatRequest

__all__ = ["without_messages"]

_RAW_LIST = msgspec.json.Decoder(list[Raw])


def without_messages(request: ChatRequest, left_out: Set[int]) -> ChatRequest | None:
    """`request`, which came in this dialect, without the messages of these numbers; `None` when its messages are not those
    of the source."""
    source = request.source
    if source is None:
        return None
    raw = _RAW_LIST.decode(source.fields["messages"])
    if len(raw) != len(request.messages):
        return None
    kept = [index for index in range(len(raw)) if index not in left_out]
    fields = {**source.fields, "messages": Raw(msgspec.json.encode([raw[index] for index in kept]))}
    messages = [request.messages[index] for index in kept]
    return replace(request, messages=messages, source=replace(source, fields=fields))
