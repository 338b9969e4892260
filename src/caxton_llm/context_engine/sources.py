"""The four sources of context, each asked within its own time limit: what is late or fails is left out, and named."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent
from caxton_llm.agents.conversation import ConversationKey, Thread
from caxton_llm.agents.requirements import REQUEST, Requirements, SearchNeed
from caxton_llm.context.material import SourceGap
from caxton_llm.discreet import Discreet
from caxton_llm.errors import ConversationStoreError, LlmError
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.hits import Searched
from caxton_llm.memory.model import Entity
from caxton_llm.tool_specs import ToolData, ToolSpec
from caxton_llm.types import Json

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory
    from caxton_llm.stores.conversations import ConversationStore
    from caxton_llm.tools.access import ToolAccess
    from caxton_llm.tools.servers import McpServers

__all__ = [
    "ContextSources",
    "ConversationRead",
    "DataRead",
    "MemoryRead",
    "SourceLimits",
    "ToolsListed",
    "filters_of",
    "searches_of",
]

_ALL_TURNS = 100_000
_STARTING_S = 10.0
"""A server that has not told its tools yet gets this long, because an agent is of little use without them; what takes longer
goes on starting beside the request."""
_LONGEST_QUERY = 2_000
"""Characters of a request that are searched for."""


class SourceLimits(Struct, frozen=True, kw_only=True):
    """How long each source is waited for, in seconds."""

    conversation_s: float = 1.0
    memory_s: float = 0.5
    tools_s: float = 0.5


class ConversationRead(Struct, frozen=True, kw_only=True):
    """The stored conversation; `None` where none is named, or it could not be had. `seen` is how many of its turns the agent
    may see; there may be more, to compare them with what the request brings."""

    thread: Thread | None = None
    seen: int = 0
    gaps: tuple[SourceGap, ...] = ()
    seconds: float = 0.0


class MemoryRead(Discreet, Struct, frozen=True, kw_only=True):
    """What each search has found."""

    found: tuple[tuple[SearchNeed, Searched], ...] = ()
    gaps: tuple[SourceGap, ...] = ()
    seconds: float = 0.0


class ToolsListed(Struct, frozen=True, kw_only=True):
    """The tools that an agent may call."""

    tools: tuple[ToolSpec, ...] = ()
    gaps: tuple[SourceGap, ...] = ()


class DataRead(Discreet, Struct, frozen=True, kw_only=True):
    """The tools' own data, by the tools' names."""

    data: Mapping[str, tuple[ToolData, ...]] = {}
    gaps: tuple[SourceGap, ...] = ()
    seconds: float = 0.0


class ContextSources:
    """The sources of a configuration; `None` is a source that it does not have.

    The store of conversations is in `folder`, and opened when the first of them is named.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        memory: "Memory | None" = None,
        servers: "McpServers | None" = None,
        limits: SourceLimits | None = None,
    ) -> None:
        self._folder = Path(folder)
        self._store: ConversationStore | None = None
        self._lock = Lock()
        self.memory = memory
        self.servers = servers
        self._limits = limits or SourceLimits()

    def conversations(self) -> "ConversationStore":
        """The store of conversations. Blocks; raises `ConversationStoreError`."""
        from caxton_llm.stores.conversations import ConversationStore  # noqa: PLC0415 - many agents keep none

        with self._lock:
            if self._store is None:
                self._store = ConversationStore(self._folder)
            return self._store

    def continued(self, key: ConversationKey, agent: Agent) -> Thread | None:
        """A stored conversation as far as the agent sees it, where it was read before; `None`: it was not. Blocks; raises
        `ConversationStoreError`."""
        store = self._store
        return None if store is None else store.continued(key, last=_turns_seen(agent))

    def retain(self, *, max_age_s: float | None, max_conversations: int | None) -> None:
        """Delete the conversations that may not stay; where none was ever kept, none is begun. Blocks; raises
        `ConversationStoreError`."""
        from caxton_llm.stores.conversations import ConversationStore  # noqa: PLC0415

        if ConversationStore.is_in(self._folder):
            self.conversations().retain(max_age_s=max_age_s, max_conversations=max_conversations)

    async def aclose(self) -> None:
        """End the servers of tools and close the store. The memory belongs to who gave it."""
        if self.servers is not None:
            await self.servers.close()
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            await asyncio.to_thread(store.close)

    async def begun(
        self, key: ConversationKey | None, agent: Agent, access: "ToolAccess", *, compared: int = 0
    ) -> tuple[ConversationRead, ToolsListed]:
        """The conversation and the tools, at the same time where the tools are not at hand."""
        if self.servers is None or self.servers.hold_tools(access):
            listed = await self.tools(access)
            return await self.conversation(key, agent, compared=compared), listed
        return await asyncio.gather(self.conversation(key, agent, compared=compared), self.tools(access))

    async def conversation(self, key: ConversationKey | None, agent: Agent, *, compared: int = 0) -> ConversationRead:
        """The stored conversation as far as the agent sees it, and the last `compared` turns at least."""
        if key is None:
            return ConversationRead()
        limit, seen = self._limits.conversation_s, _turns_seen(agent)
        begun = time.perf_counter()
        # A thread would cost several times as much as to look up what is held.
        store = self._store
        held = None if store is None else store.held(key, last=max(seen, compared))
        if held is not None:
            return ConversationRead(thread=held, seen=seen, seconds=time.perf_counter() - begun)
        try:
            if store is None:
                store = await asyncio.to_thread(self.conversations)
            async with asyncio.timeout(limit):
                thread = await asyncio.to_thread(store.thread, key, last=max(seen, compared))
        except TimeoutError:
            return ConversationRead(
                gaps=(SourceGap("conversation", "", f"not read within {limit:g} s"),), seconds=limit
            )
        except ConversationStoreError as error:
            return ConversationRead(gaps=(SourceGap("conversation", "", str(error)),))
        return ConversationRead(thread=thread, seen=seen, seconds=time.perf_counter() - begun)

    async def tools(self, access: "ToolAccess") -> ToolsListed:
        """The tools that an agent may call, of the servers that are there in time."""
        if self.servers is None or not access.allowed:
            return ToolsListed()
        found = await self.servers.tools(access, timeout_s=_STARTING_S)
        gaps = tuple(SourceGap("tools", _named(gap.server, gap.name), gap.reason) for gap in found.gaps)
        return ToolsListed(tools=found.tools, gaps=gaps)

    async def looked_up(
        self,
        needs: Sequence[SearchNeed],
        wanted: Sequence[tuple[ToolSpec, tuple[str, ...]]],
        filters: Filters,
        owner: str,
    ) -> tuple[MemoryRead, DataRead]:
        """Memory and the tools' data, at the same time."""
        data = self._held_data(wanted, owner)
        if data is not None:
            return await self.memories(needs, filters), data
        return await asyncio.gather(self.memories(needs, filters), self._tool_data(wanted, filters, owner))

    async def memories(self, needs: Sequence[SearchNeed], filters: Filters) -> MemoryRead:
        """All searches at the same time."""
        memory = self.memory
        if memory is None or not needs:
            return MemoryRead()
        begun = time.perf_counter()
        searches = [self._searched(memory, need, filters) for need in needs]
        answers = [await searches[0]] if len(searches) == 1 else await asyncio.gather(*searches)
        found = tuple((need, one) for need, one in zip(needs, answers, strict=True) if isinstance(one, Searched))
        problems = tuple(SourceGap("memory", "", one.found.problem) for _, one in found if one.found.problem)
        return MemoryRead(
            found=found,
            gaps=(*(one for one in answers if isinstance(one, SourceGap)), *problems),
            seconds=time.perf_counter() - begun,
        )

    async def _searched(self, memory: "Memory", need: SearchNeed, filters: Filters) -> Searched | SourceGap:
        asked_by = ", ".join(need.asked_by)
        limit = self._limits.memory_s
        try:
            async with asyncio.timeout(limit):
                return await asyncio.to_thread(_search, memory, need, filters)
        except TimeoutError:
            return SourceGap("memory", asked_by, f"the search took longer than {limit:g} s")
        except LlmError as error:
            return SourceGap("memory", asked_by, str(error))
        except Exception as error:  # noqa: BLE001 - a source that fails is left out; what it says may hold what was sought
            return SourceGap("memory", asked_by, f"it failed: {type(error).__name__}")

    async def _tool_data(
        self, wanted: Sequence[tuple[ToolSpec, tuple[str, ...]]], filters: Filters, owner: str
    ) -> DataRead:
        """What tools keep under their keys. `owner` is for whom a server's private data are."""
        servers = self.servers
        if servers is None or not wanted:
            return DataRead()

        async def look_up(name: str) -> Json:
            return await asyncio.to_thread(_entity, self.memory, name, filters)

        begun = time.perf_counter()
        memory = look_up if self.memory is not None else None
        limit = self._limits.tools_s
        answers = await asyncio.gather(
            *(servers.data(spec.server, keys, owner=owner, memory=memory, timeout_s=limit) for spec, keys in wanted)
        )
        return DataRead(
            data={spec.name: one.found for (spec, _), one in zip(wanted, answers, strict=True) if one.found},
            gaps=tuple(
                SourceGap("tools", _named(gap.server, gap.name), gap.reason) for one in answers for gap in one.missing
            ),
            seconds=time.perf_counter() - begun,
        )

    def _held_data(self, wanted: Sequence[tuple[ToolSpec, tuple[str, ...]]], owner: str) -> DataRead | None:
        """The same where all of it was read before and is still good."""
        if self.servers is None or not wanted:
            return DataRead()
        begun = time.perf_counter()
        data: dict[str, tuple[ToolData, ...]] = {}
        for server in dict.fromkeys([spec.server for spec, _ in wanted]):
            of_server = [(spec.name, keys) for spec, keys in wanted if spec.server == server]
            held = self.servers.held_data(server, [keys for _, keys in of_server], owner=owner)
            if held is None:
                return None
            data |= {name: one.found for (name, _), one in zip(of_server, held, strict=True)}
        return DataRead(data=data, seconds=time.perf_counter() - begun)


def filters_of(agent: Agent) -> Filters:
    """What of the memory an agent may see."""
    return Filters(tenant=agent.memory.tenant, agent=agent.name, workspace=agent.memory.workspace)


def searches_of(requirements: Requirements, agent: Agent, text: str, usual: int) -> tuple[SearchNeed, ...]:
    """The searches that a request needs: those that its tools ask for, and its own text for `usual` results, unless one of
    them has all of it or the request says itself what to search for. A tool's template may be left with little to go by."""
    query = " ".join(text.split())[:_LONGEST_QUERY]
    needs = requirements.memory_searches
    is_searched = any(REQUEST in need.asked_by or f" {query} " in f" {need.query} " for need in needs)
    if is_searched or "memory" not in agent.context.sources or not query:
        return needs
    return (*needs, SearchNeed(query=query, max_results=usual, asked_by=("agent",)))


def _turns_seen(agent: Agent) -> int:
    seen = {"sliding_window": agent.conversation.max_turns, "full": _ALL_TURNS, "none": 0}
    return seen[agent.conversation.strategy]


def _search(memory: "Memory", need: SearchNeed, filters: Filters) -> Searched:
    """What has to do with the areas that are preferred comes first; where that is too little, the rest is searched, too."""

    def searched(within: Filters) -> Searched:
        return memory.searched(
            need.query, within, max_results=need.max_results, min_similarity=need.min_similarity, distinct=True
        )

    if not need.focus_areas:
        return searched(filters)
    preferred = searched(replace(filters, focus_areas=need.focus_areas))
    if len(preferred.found.hits) >= need.max_results:
        return preferred
    every = searched(filters)
    known = {hit.record.id for hit in preferred.found.hits}
    others = [one for one in zip(every.found.hits, every.compared, strict=True) if one[0].record.id not in known]
    both = [*zip(preferred.found.hits, preferred.compared, strict=True), *others][: need.max_results]
    return replace(
        every,
        found=replace(every.found, hits=tuple(hit for hit, _ in both)),
        compared=tuple(compared for _, compared in both),
        embedder=every.embedder if every.embedder == preferred.embedder else None,
    )


def _entity(memory: "Memory | None", name: str, filters: Filters) -> Json:
    """What the memory has under a name: the observations of the entity; `None` where it has none."""
    if memory is None:
        return None
    found = memory.find([name, name.replace("_", " ")], filters)
    ids = [one for every in found.values() for one in every]
    records = memory.get(ids[:1], tenant=filters.tenant).values()
    told = [one.text for record in records if isinstance(record, Entity) for one in record.observations]
    return told or None


def _named(server: str, name: str) -> str:
    return ".".join(part for part in (server, name) if part)
