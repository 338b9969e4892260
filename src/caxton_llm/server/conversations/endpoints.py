"""Conversations over HTTP: listed, read, exported, imported, deleted."""

from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import Response

from caxton_llm.agents.conversation import ConversationKey, Removed
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.transfer import lines_of
from caxton_llm.server.agents.service import agents_of
from caxton_llm.server.conversations.shapes import (
    AllOfTenantQuery,
    ConversationList,
    ConversationListQuery,
    ConversationQuery,
    ExportConversationsQuery,
    ImportConversationsQuery,
    WholeConversation,
)
from caxton_llm.server.conversations.work import ConversationWork
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.line_streams import LinesResponse, SentBody, begun, piece_of, pieces_of
from caxton_llm.server.operation import Call, NoBody, NotThere
from caxton_llm.stores.conversations.transfer import (
    ImportedConversations,
    export_conversations,
    import_conversations,
)

if TYPE_CHECKING:
    from caxton_llm.stores.conversations import ConversationStore

__all__ = ["ConversationEndpoints"]


class ConversationEndpoints:
    """What is done with stored conversations. Blocking calls go to `work`."""

    def __init__(self, caxton: Caxton, work: ConversationWork, failures: FailureLog) -> None:
        self._caxton = caxton
        self._work = work
        self._failures = failures

    async def list_conversations(self, call: Call[ConversationListQuery, NoBody]) -> ConversationList:
        query = call.query
        found, cursor = await self._work.run(
            lambda store: store.page(tenant=query.tenant, agent=query.agent, after=query.cursor, limit=query.limit)
        )
        agents = agents_of(self._caxton)
        if query.agent is not None and not found and not query.cursor and agents.registry.agent(query.agent) is None:
            known = ", ".join(agent.name for agent in agents.registry.agents)
            message = f"no agent is called {query.agent!r}, and nothing is kept of one; there is: {known}"
            raise InvalidRequest(message, param="agent", code="agent_not_found")
        return ConversationList(found, cursor, agents.problems)

    async def read(self, call: Call[ConversationQuery, NoBody]) -> WholeConversation:
        registry = agents_of(self._caxton).registry

        def whole(store: "ConversationStore") -> WholeConversation:
            key = _key(store, registry, call.id, call.query)
            thread, told = store.thread(key), store.describe(key)
            if told is None:  # deleted between two steps
                raise _not_there(call.id)
            return WholeConversation(told, thread.exchanges, thread.summaries)

        return await self._work.run(whole)

    async def delete(self, call: Call[ConversationQuery, NoBody]) -> Removed:
        registry = agents_of(self._caxton).registry
        return await self._work.run(lambda store: store.delete(_key(store, registry, call.id, call.query)))

    async def delete_all(self, call: Call[AllOfTenantQuery, NoBody]) -> Removed:
        query = call.query
        return await self._work.run(lambda store: store.delete_all(tenant=query.tenant, agent=query.agent))

    # -- JSON Lines -----------------------------------------------------------------------------------------------------

    async def export(self, call: Call[ExportConversationsQuery, NoBody]) -> Response:
        """What fails at the beginning is an answer; what fails later breaks the connection, so that no part looks whole."""
        query = call.query
        lines, first = await self._work.run(
            lambda store: begun(
                export_conversations(store, tenant=query.tenant, agent=query.agent, conversation=query.conversation)
            )
        )
        following = partial(self._work.run, lambda _store: piece_of(lines))
        return LinesResponse(pieces_of(first, following, self._failures), lines)

    async def load(self, call: Call[ImportConversationsQuery, NoBody]) -> ImportedConversations:
        sent = SentBody(call.request)
        load = self._work.run_long(lambda store: import_conversations(store, lines_of(sent), tenant=call.query.tenant))
        return await sent.taken(load)


def _key(
    store: "ConversationStore", registry: CapabilityRegistry, name: str, query: ConversationQuery
) -> ConversationKey:
    """The conversation that is meant. Raises `NotThere`, and `InvalidRequest` where several agents have one of this name."""
    names = [agent.name for agent in registry.agents] if query.agent is None else [query.agent]
    keys = [ConversationKey(name, agent, _tenant(registry, agent, query)) for agent in names]
    there = [key for key in keys if store.describe(key) is not None]
    if not there:
        raise _not_there(name)
    if len(there) > 1:
        owners = ", ".join(key.agent for key in there)
        raise InvalidRequest(f"several agents have a conversation of this name ({owners}): say which", param="agent")
    return there[0]


def _tenant(registry: CapabilityRegistry, agent: str, query: ConversationQuery) -> str:
    if query.tenant is not None:
        return query.tenant
    configured = registry.agent(agent)
    return "" if configured is None else configured.memory.tenant


def _not_there(name: str) -> NotThere:
    return NotThere(
        f"there is no conversation {name!r} here; another tenant's is found with `tenant`, and that of an agent that is not"
        " configured any more with `agent`",
        code="conversation_not_found",
    )
