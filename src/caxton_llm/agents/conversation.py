"""Conversations that are kept: what was said, in exchanges, and summaries of their older part; what a store accepts.

An exchange is what one request adds: usually a message of the user with all that answered it, calls of tools and their
results among it. Where the caller runs the tools, an exchange may begin with their results: it then continues the one before
it, and both are one turn.
"""

from collections.abc import Sequence
from typing import NoReturn

import msgspec
from msgspec import Struct, field

from caxton_llm.discreet import Discreet
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import Json, Message

__all__ = [
    "MAX_EXCHANGES",
    "Conversation",
    "ConversationKey",
    "Exchange",
    "Position",
    "Removed",
    "Summary",
    "Thread",
    "best_summary",
    "check_exchange",
    "check_key",
    "check_summary",
]

MAX_NAME = 500
"""Characters of a tenant, an agent, a conversation."""
MAX_MESSAGES = 1_000
"""Messages of one exchange."""
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of one exchange as JSON."""
MAX_EXCHANGES = 100_000
"""Exchanges of one conversation."""
MAX_SUMMARY = 1024 * 1024
"""Characters of one summary."""
_MAX_TIME = 253_402_300_800.0
"""The end of the year 9999."""


class ConversationKey(Struct, frozen=True):
    """Which conversation: nothing is ever found across tenants or agents."""

    conversation: str
    agent: str = ""
    tenant: str = ""


class Position(Struct, frozen=True):
    """Where a reader was: `conversation` is the store's own number, never used twice (0: there was none), and how many
    exchanges it had."""

    conversation: int = 0
    length: int = 0


class Exchange(Discreet, Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one request added. The store sets `number`, from 0, and `at`, in seconds since 1970, unless it is given."""

    messages: tuple[Message, ...]
    number: int = 0
    at: float | None = None
    model: str = ""
    """What answered."""
    metadata: dict[str, Json] = field(default_factory=dict)

    @property
    def continues(self) -> bool:
        """Whether it belongs to the turn of the exchange before it."""
        return bool(self.messages) and self.messages[0].role in ("tool", "function")


class Summary(Discreet, Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the exchanges from `first` to `last`, this one included, say in short. `model` is empty where none wrote it."""

    first: int
    last: int
    text: str
    at: float | None = None
    model: str = ""


class Thread(Struct, frozen=True, kw_only=True):
    """A conversation as it was when it was read, or a part of it; `position` is what `append` compares."""

    position: Position
    exchanges: tuple[Exchange, ...] = ()
    summaries: tuple[Summary, ...] = ()
    """By their first exchange."""

    @property
    def messages(self) -> list[Message]:
        """The messages of its exchanges."""
        return [message for exchange in self.exchanges for message in exchange.messages]


def best_summary(summaries: Sequence[Summary], before: int) -> Summary | None:
    """The summary of the most exchanges, all of them before number `before`; of two as large the newer, then one that a model
    wrote. `None`: there is none."""
    among = [summary for summary in summaries if summary.last < before]
    return max(among, key=lambda one: (one.last - one.first, one.last, one.at or 0.0, one.model != ""), default=None)


class Conversation(Struct, frozen=True, kw_only=True):
    """What a list says of a conversation; times in seconds since 1970, `size` in bytes of its exchanges."""

    key: ConversationKey
    length: int
    turns: int
    size: int
    created: float
    updated: float


class Removed(Struct, frozen=True, kw_only=True):
    """What was deleted for good. `is_overwritten` is false where a reader in another process still holds the log of writes,
    which may have traces: `purge` removes them later."""

    conversations: int = 0
    exchanges: int = 0
    summaries: int = 0
    is_overwritten: bool = True


def check_key(key: ConversationKey) -> None:
    """Raises `InvalidRequest` for a name that is empty (only the conversation's may not be), too long or no text."""
    for name in ("tenant", "agent", "conversation"):
        value: str = getattr(key, name)
        param = "conversation_id" if name == "conversation" else name
        if name == "conversation" and not value.strip():
            _refuse("must not be empty", param)
        if len(value) > MAX_NAME:
            _refuse(f"{len(value)} characters are more than {MAX_NAME}", param)
        if not value.isprintable():
            _refuse("must not have control characters or half characters", param)


def check_exchange(exchange: Exchange, param: str) -> bytes:
    """The exchange as JSON. Raises `InvalidRequest` for one that cannot be kept."""
    if not exchange.messages:
        _refuse("has no messages", param)
    if len(exchange.messages) > MAX_MESSAGES:
        _refuse(f"{len(exchange.messages)} messages are more than {MAX_MESSAGES}", param)
    if exchange.at is not None and not 0.0 <= exchange.at < _MAX_TIME:
        _refuse("must be seconds since 1970 and at most the year 9999", f"{param}.at")
    _check_results(exchange, param)
    written = _written(exchange, param)
    if len(written) > MAX_BYTES:
        _refuse(f"{len(written)} bytes are more than the {MAX_BYTES} that one exchange may have", param)
    return written


def check_summary(summary: Summary, length: int) -> bytes:
    """The summary as JSON. Raises `InvalidRequest` for one of exchanges that a conversation of this length has not."""
    if not 0 <= summary.first <= summary.last < length:
        _refuse(f"exchanges {summary.first} to {summary.last} are not among the {length} that there are", "summary")
    if summary.at is not None and not 0.0 <= summary.at < _MAX_TIME:
        _refuse("must be seconds since 1970 and at most the year 9999", "summary.at")
    if not summary.text.strip() or len(summary.text) > MAX_SUMMARY:
        _refuse(f"must have 1 to {MAX_SUMMARY} characters, found {len(summary.text)}", "summary.text")
    return _written(summary, "summary")


def _check_results(exchange: Exchange, param: str) -> None:
    """A result stands after its call. What begins an exchange may answer the one before it."""
    called: set[str] = set()
    begins = True
    for number, message in enumerate(exchange.messages):
        begins = begins and message.role in ("tool", "function")
        if message.role == "tool" and not begins and message.tool_call_id not in called:
            _refuse("is the result of a call that is not there", f"{param}.messages[{number}].tool_call_id")
        called.update(_call_ids(message))


def _call_ids(message: Message) -> Sequence[str]:
    return [call.id for call in message.tool_calls or ()]


def _written(value: Struct, param: str) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        message = (
            f"cannot be written as JSON ({type(error).__name__}): half characters and odd objects are not accepted"
        )
        raise InvalidRequest(message, param=param) from None


def _refuse(message: str, param: str) -> NoReturn:
    raise InvalidRequest(message, param=param)
