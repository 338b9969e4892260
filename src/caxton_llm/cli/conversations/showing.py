"""`caxton conversations list` and `show`."""

from caxton_llm.agents.conversation import Exchange
from caxton_llm.cli.conversations.opened import named, opened_store
from caxton_llm.cli.conversations.place import Whose
from caxton_llm.cli.screen import Screen, moment_of
from caxton_llm.types import Message

__all__ = ["list_conversations", "show_conversation"]

_COLUMNS = ("conversation", "agent", "tenant", "turns", "exchanges", "size", "last")


def list_conversations(whose: Whose, screen: Screen, *, as_json: bool) -> None:
    """A table; a note where there are none."""
    with opened_store(whose) as store:
        found = list(store.conversations(tenant=whose.tenant, agent=whose.agent))
    if as_json:
        screen.json({"conversations": found})
        return
    if not found:
        screen.note("there are no such conversations", style="")
        return
    rows = [
        (
            one.key.conversation,
            one.key.agent,
            one.key.tenant,
            str(one.turns),
            str(one.length),
            f"{one.size / 1024:.1f} KiB",
            moment_of(one.updated),
        )
        for one in found
    ]
    screen.table(_COLUMNS, rows)


def show_conversation(whose: Whose, name: str, screen: Screen, *, as_json: bool) -> None:
    """Everything that was said, in its order, then the summaries. Raises `InvalidRequest`."""
    with opened_store(whose) as store:
        conversation = named(store, name, whose)
        thread = store.thread(conversation.key)
    if as_json:
        screen.json({"conversation": conversation, "exchanges": thread.exchanges, "summaries": thread.summaries})
        return
    for exchange in thread.exchanges:
        _show_exchange(exchange, screen)
    for summary in thread.summaries:
        screen.line()
        screen.line(f"summary of the exchanges {summary.first + 1} to {summary.last + 1}", "bold")
        screen.line(summary.text)


def _show_exchange(exchange: Exchange, screen: Screen) -> None:
    facts = [f"exchange {exchange.number + 1}"]
    facts += [] if exchange.at is None else [moment_of(exchange.at)]
    facts += [exchange.model] if exchange.model else []
    screen.line(" · ".join(facts), "dim")
    for message in exchange.messages:
        _show_message(message, screen)


def _show_message(message: Message, screen: Screen) -> None:
    text = _text(message)
    if text:
        screen.line(f"{message.role}: {text}")
    for call in message.tool_calls or ():
        if call.function is not None:
            screen.line(f"{message.role}: calls {call.function.name}({call.function.arguments})", "green")


def _text(message: Message) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or message.refusal or ""
    return "\n".join(part.text or f"[{part.type}]" for part in content)
