"""What of an answered request becomes an exchange of its conversation, and whether a store will take it."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from caxton_llm.agent_loop.loop import LoopResult
from caxton_llm.agents.conversation import MAX_BYTES, MAX_EXCHANGES, Exchange, check_exchange
from caxton_llm.context_engine.engine import GatheredContext
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import Json, Message

__all__ = ["check_kept", "exchange_of", "unfinished"]

_FOR_ANSWER = 1024 * 1024
"""Bytes of an exchange that what is asked leaves to the answer, where it is cut."""
_LEAST = 1_000
"""Characters that are left of each text that is cut."""


def check_kept(gathered: GatheredContext, *, in_parts: bool = False) -> None:
    """Raises `InvalidRequest` for what a store would not take, before anybody has paid for an answer. A request that is read
    in parts is cut instead."""
    if gathered.key is None:
        return
    for place, messages in enumerate(gathered.history.fresh):
        check_exchange(Exchange(messages=messages), f"messages, exchange {place + 1}")
    asked = gathered.history.asked
    if asked:
        check_exchange(Exchange(messages=_cut(asked) if in_parts else asked), "messages")
    length = 0 if gathered.thread is None else gathered.thread.position.length
    if length + len(gathered.history.fresh) >= MAX_EXCHANGES:
        message = f"a conversation may have {MAX_EXCHANGES} exchanges; begin another one"
        raise InvalidRequest(message, param="conversation_id")


def exchange_of(gathered: GatheredContext, result: LoopResult, message: Message, *, in_parts: bool) -> Exchange:
    """The exchange with the answer. Its metadata say what is not as usual: `unfinished`, and `cut` where not all of a request
    that was read in parts is kept."""
    asked = gathered.history.asked
    metadata: dict[str, Json] = {}
    if in_parts and (shorter := _cut(asked)) != asked:
        asked, metadata["cut"] = shorter, True
    if (reason := unfinished(result)) is not None:
        metadata["unfinished"] = reason
    return Exchange(messages=(*asked, *result.steps, message), model=result.response.model, metadata=metadata)


def unfinished(result: LoopResult) -> str | None:
    """Why an answer is none to learn from: `content_filter`, `error` or `empty`."""
    choice = result.response.choices[0] if result.response.choices else None
    if choice is None:
        return "empty"
    if choice.finish_reason in ("content_filter", "error"):
        return choice.finish_reason
    said = result.response.text.strip() or choice.message.refusal or choice.message.tool_calls
    return None if said else "empty"


def _cut(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, with the ends of their longest texts left out until a store takes them; then without what is no text."""
    shorter, most = tuple(messages), MAX_BYTES
    while most > _LEAST and len(msgspec.json.encode(shorter)) > MAX_BYTES - _FOR_ANSWER:
        most //= 2
        shorter = tuple(_shortened(message, most) for message in messages)
    return shorter


def _shortened(message: Message, most: int) -> Message:
    content = message.content
    if isinstance(content, str):
        return replace(message, content=content[:most])
    if content is None:
        return message
    parts = [replace(part, text=part.text[:most]) for part in content if part.text is not None]
    return replace(message, content=parts)
