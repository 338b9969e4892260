"""The store that a command works on, and the conversation that a name means."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from caxton_llm.agents.conversation import Conversation
from caxton_llm.cli.conversations.place import Whose
from caxton_llm.cli.screen import utf8
from caxton_llm.config.context_configuration import ConversationsConfiguration
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.errors import ConfigurationError, InvalidRequest
from caxton_llm.stores.conversations import ConversationStore

__all__ = ["named", "opened_store"]

_LISTED = 5


@contextmanager
def opened_store(whose: Whose, *, create: bool = False) -> Iterator[ConversationStore]:
    """The store that is meant. Raises `ConfigurationError` when there is none and `create` is false."""
    folder = _folder(whose)
    if not create and not ConversationStore.is_in(folder):
        raise ConfigurationError(
            f"no conversation was ever kept in {folder}: name the folder with --path, or the configuration with --config"
        )
    with ConversationStore(folder) as store:
        yield store


def named(store: ConversationStore, name: str, whose: Whose) -> Conversation:
    """The conversation of that name. Raises `InvalidRequest` when there is none or more than one."""
    name = utf8(name, "the name")
    found = [one for one in store.conversations(tenant=whose.tenant, agent=whose.agent) if one.key.conversation == name]
    if not found:
        raise _not_there(store, name, whose)
    if len(found) > 1:
        owners = _owners(found)
        raise InvalidRequest(
            f"{len(found)} conversations are called {name[:80]!r}; say which with --agent or --tenant: {owners}"
        )
    return found[0]


def _not_there(store: ConversationStore, name: str, whose: Whose) -> InvalidRequest:
    others = [one for one in store.conversations() if one.key.conversation == name]
    if not others:
        return InvalidRequest(
            f"there is no conversation {name[:80]!r}; `caxton conversations list` shows those that there are"
        )
    asked = [
        f"{kind} {one!r}" for kind, one in (("the agent", whose.agent), ("the tenant", whose.tenant)) if one is not None
    ]
    return InvalidRequest(
        f"there is no conversation {name[:80]!r} of {' of '.join(asked)}; there is one of: {_owners(others)}"
    )


def _owners(found: Sequence[Conversation]) -> str:
    return ", ".join(_owner(one) for one in found[:_LISTED])


def _owner(one: Conversation) -> str:
    return f"{one.key.agent} of {one.key.tenant}" if one.key.tenant else one.key.agent


def _folder(whose: Whose) -> Path:
    if whose.path is not None:
        return whose.path
    try:
        file = locate(whose.config)
    except ConfigurationError:
        if whose.config is not None:
            raise
        return Path(ConversationsConfiguration().folder)
    return Path(load_file(file).context.conversations.folder)
