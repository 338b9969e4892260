"""`caxton conversations delete`."""

from collections.abc import Sequence

import typer
from msgspec.structs import replace

from caxton_llm.agents.conversation import Removed
from caxton_llm.cli.conversations.opened import named, opened_store
from caxton_llm.cli.conversations.place import Whose
from caxton_llm.cli.screen import Screen

__all__ = ["delete_all", "delete_named"]


def delete_named(whose: Whose, names: Sequence[str], screen: Screen, *, yes: bool, as_json: bool) -> None:
    """Delete conversations by their names, after asking; none, if one of them is not there."""
    with opened_store(whose) as store:
        keys = [named(store, name, whose).key for name in dict.fromkeys(names)]
        listed = ", ".join(key.conversation for key in keys)
        screen.confirm(f"Delete {listed} for good?", yes=yes)
        total = Removed()
        for key in keys:
            total = _together(total, store.delete(key))
    _tell(total, screen, as_json=as_json)


def delete_all(whose: Whose, screen: Screen, *, yes: bool, as_json: bool) -> None:
    """Delete all conversations of a tenant or of one of its agents, after asking."""
    tenant = whose.tenant
    if tenant is None:
        raise typer.BadParameter("--all needs --tenant: '' is the tenant without a name")
    with opened_store(whose) as store:
        owner = f"the tenant {tenant!r}" if tenant else "the tenant without a name"
        of = owner if whose.agent is None else f"the agent {whose.agent!r} of {owner}"
        screen.confirm(f"Delete all conversations of {of} for good?", yes=yes)
        removed = store.delete_all(tenant=tenant, agent=whose.agent)
    _tell(removed, screen, as_json=as_json)


def _together(one: Removed, other: Removed) -> Removed:
    return replace(
        one,
        conversations=one.conversations + other.conversations,
        exchanges=one.exchanges + other.exchanges,
        summaries=one.summaries + other.summaries,
        is_overwritten=other.is_overwritten,  # the last one overwrites what all have left
    )


def _tell(removed: Removed, screen: Screen, *, as_json: bool) -> None:
    if as_json:
        screen.json(removed)
        return
    screen.line(
        f"deleted {_some(removed.conversations, 'conversation', 'conversations')} with"
        f" {_some(removed.exchanges, 'exchange', 'exchanges')} and {_some(removed.summaries, 'summary', 'summaries')}"
    )
    if not removed.is_overwritten:
        screen.warn("a reader in another process still holds the log of writes, which may have traces of them")


def _some(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
