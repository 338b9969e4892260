"""What the endpoints of conversations are sent and answer."""

from typing import Annotated

from msgspec import Meta, Struct

from caxton_llm.agents.conversation import Conversation, Exchange, Summary
from caxton_llm.discreet import Discreet

__all__ = [
    "AllOfTenantQuery",
    "ConversationList",
    "ConversationListQuery",
    "ConversationQuery",
    "ExportConversationsQuery",
    "ImportConversationsQuery",
    "WholeConversation",
]

Limit = Annotated[int, Meta(ge=1, le=1_000)]


class ConversationListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of conversations, the oldest first; of all tenants and agents unless one is named. `cursor` is that of the page
    before."""

    tenant: str | None = None
    agent: str | None = None
    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=0)] = 0


class ConversationList(Struct, frozen=True):
    """`cursor` leads to the next page; null: this is the last. `problems` are those of the hourly deletion."""

    conversations: list[Conversation]
    cursor: int | None
    problems: list[str]


class ConversationQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose conversation: without `agent` the only agent that has one of this name, without `tenant` the agent's own."""

    tenant: str | None = None
    agent: str | None = None


class WholeConversation(Discreet, Struct, frozen=True):
    """A conversation with everything that was said, and the summaries of its older part."""

    conversation: Conversation
    exchanges: tuple[Exchange, ...]
    summaries: tuple[Summary, ...]


class ExportConversationsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All conversations, unless a tenant, an agent or one of them is named."""

    tenant: str | None = None
    agent: str | None = None
    conversation: str | None = None


class ImportConversationsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `tenant` everything becomes this tenant's."""

    tenant: str | None = None


class AllOfTenantQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All conversations of a tenant, which has to be named (empty: the one without a name), or of one of its agents."""

    tenant: str
    agent: str | None = None
