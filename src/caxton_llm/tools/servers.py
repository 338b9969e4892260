"""All configured servers: which tools an agent has, calling one of them, and the data that they keep.

What a server does wrong is an outcome that tells the model, or a gap that is reported; only a call that an agent may not make
is an error. Every wait here is bounded by the configuration.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import is_not
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.tool_specs import ToolFailure, ToolGap, ToolOutcome, ToolProgress, ToolSpec
from caxton_llm.tools.access import ToolAccess, matches
from caxton_llm.tools.data import GatheredData, MemoryLookup, ToolDataReader
from caxton_llm.tools.failures import ServerEnded, ServerFailure, ServerUnavailable
from caxton_llm.tools.listings import FAULTY_NEEDS, ListedTool, ToolListing
from caxton_llm.tools.naming import unique_names
from caxton_llm.tools.schemas import SchemaFault, schema_faults
from caxton_llm.tools.server import McpServer, ServerStatus
from caxton_llm.tools.settings import McpSettings
from caxton_llm.types import Json

if TYPE_CHECKING:
    from mcp.types import CallToolResult

__all__ = ["AgentTools", "McpServers"]

_DATA_TIMEOUT_S = 10.0
_MOST_KEPT = 256
_MOST_NAMES = 20_000
"""Names of an agent's tools that are remembered, of those that are gone, too."""
_MOST_NAMED = 20
"""Tools that a message lists."""


class AgentTools(Struct, frozen=True, kw_only=True):
    """What an agent may be offered, in the order of the names, and what of the servers is not there, with reasons."""

    tools: tuple[ToolSpec, ...] = ()
    gaps: tuple[ToolGap, ...] = ()


class McpServers:
    """The servers of a configuration. `clock` gives seconds since the epoch."""

    def __init__(self, settings: McpSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._tool_context: Mapping[str, ContextRequirements] = settings.tool_context
        self._servers = {server.name: McpServer(server, clock=clock) for server in settings.servers}
        self._data = {name: ToolDataReader(server, clock) for name, server in self._servers.items()}
        self._elsewhere = ToolDataReader(None, clock)
        self._listings: list[ToolListing] = []
        self._offered: dict[ToolAccess, AgentTools] = {}
        """What was told last, of these listings."""
        self._names: dict[ToolAccess, Mapping[tuple[str, str], str]] = {}
        """By agent: a conversation must not see a tool renamed because another server has come up."""
        self._specs: dict[tuple[str, str, str], tuple[ListedTool, ToolSpec]] = {}
        """By server, tool and name: what is unchanged is the same object, so that others may keep what they made of it."""

    @property
    def statuses(self) -> list[ServerStatus]:
        """How each server is doing."""
        return [server.status for server in self._servers.values()]

    async def tools(self, access: ToolAccess, *, timeout_s: float | None = None) -> AgentTools:
        """The tools that the agent may call, of all servers that can be reached within `timeout_s`, or their own limits.

        A server is started for it only if the agent may call any of its tools. What is slow goes on being started, and is
        there the next time.
        """
        wanted = [server for server in self._servers.values() if self._concerns(server, access)]
        unknown = [server for server in wanted if not server.holds_tools]
        answers = await asyncio.gather(*(self._listed(server, timeout_s) for server in unknown)) if unknown else []
        gaps = tuple(gap for gap in answers if gap is not None)
        self._meet_listings()
        known = self._offered.get(access) if not gaps else None
        if known is None:
            known = self._permitted(access, wanted, gaps)
            if not gaps and len(self._offered) < _MOST_KEPT:
                self._offered[access] = known
        return known

    def hold_tools(self, access: ToolAccess) -> bool:
        """Whether what the agent may call is known without asking."""
        return all(server.holds_tools for server in self._servers.values() if self._concerns(server, access))

    def _permitted(self, access: ToolAccess, wanted: Sequence[McpServer], gaps: tuple[ToolGap, ...]) -> AgentTools:
        """What the agent may call of the servers that have no gap."""
        failed = {gap.server for gap in gaps}
        permitted = [
            (server, tool)
            for server in wanted
            for tool in server.last_tools.tools
            if access.permits(server.settings.name, tool.name)
        ]
        names = self._named(access, [(server.settings.name, tool.name) for server, tool in permitted])
        specs = [
            self._spec(server, tool, names[server.settings.name, tool.name])
            for server, tool in permitted
            if server.settings.name not in failed
        ]
        listed = [gap for server in wanted for gap in server.last_tools.gaps if gap.server not in failed]
        relevant = [
            gap
            for gap in listed
            if not gap.name or (access.permits(gap.server, gap.name) and not self._is_overridden(gap))
        ]
        unmatched = () if failed else _unmatched(access, wanted)
        answering = [server for server in wanted if server.settings.name not in failed]
        unmet = self._unmet_requirements(access, answering)
        return AgentTools(
            tools=tuple(sorted(specs, key=lambda spec: spec.name)),
            gaps=(*gaps, *relevant, *unmatched, *unmet),
        )

    def _is_overridden(self, gap: ToolGap) -> bool:
        """Whether it is about requirements that the configuration has in the place of the tool's own."""
        own = self._servers[gap.server].settings.context_requirements
        return gap.reason.startswith(FAULTY_NEEDS) and (gap.name in own or gap.name in self._tool_context)

    def _unmet_requirements(self, access: ToolAccess, servers: Sequence[McpServer]) -> Iterator[ToolGap]:
        """What is configured for tools that the servers turn out not to have: a name that is misspelt."""
        names = {server.settings.name: [tool.name for tool in server.last_tools.tools] for server in servers}
        for server in servers:
            here = server.settings.name
            for tool in server.settings.context_requirements:
                if tool not in names[here] and access.permits(here, tool):
                    reason = f"context_requirements are configured for it, and the server has {_listed(names[here])}"
                    yield ToolGap(server=here, name=tool, reason=reason)
        if len(servers) == len(self._servers):
            every = [tool for tools in names.values() for tool in tools]
            for tool in self._tool_context:
                if tool not in every:
                    reason = f"a file of tool_context is about it, and the servers have {_listed(every)}"
                    yield ToolGap(server="", name=tool, reason=reason)

    async def call(
        self,
        spec: ToolSpec,
        arguments: dict[str, Json],
        *,
        access: ToolAccess,
        timeout_s: float | None = None,
        on_progress: Callable[[ToolProgress], None] | None = None,
    ) -> ToolOutcome:
        """One call. `timeout_s` shortens the server's own limit.

        Raises `AccessDenied`, before anything is sent, when the agent may not call the tool. Everything else is an outcome.
        """
        access.check(spec)
        begun = time.monotonic()
        server = self._servers.get(spec.server)
        if server is None:
            return _failed("unavailable", f"there is no server {spec.server!r}", begun)
        if server.settings.tools is not None and spec.remote_name not in server.settings.tools:
            return _failed("unavailable", f"the server {spec.server!r} does not offer {spec.remote_name!r}", begun)
        try:
            faults = await asyncio.to_thread(schema_faults, spec.input_schema, arguments)
        except SchemaFault as fault:
            return _failed("schema", f"the tool {spec.name!r} cannot be called: {fault}", begun)
        if faults:
            listed = "\n".join(f"- {fault}" for fault in faults)
            return _failed("arguments", f"the arguments do not fit the tool {spec.name!r}:\n{listed}", begun)
        return await self._called(server, spec, arguments, timeout_s=timeout_s, on_progress=on_progress, begun=begun)

    async def data(
        self,
        server: str,
        keys: Sequence[str],
        *,
        owner: str = "",
        memory: MemoryLookup | None = None,
        timeout_s: float | None = _DATA_TIMEOUT_S,
    ) -> GatheredData:
        """The data under `keys` for a tool of `server` (its configured name; empty for none): from the server's resources,
        the configured values and files, the memory, in this order.

        `owner` says for whom: what a server calls private is kept for the owner alone. Each key may take `timeout_s`.
        """
        reader = self._data.get(server, self._elsewhere)
        return await reader.read(keys, owner=owner, memory=memory, timeout_s=timeout_s)

    def held_data(
        self, server: str, several: Sequence[tuple[str, ...]], *, owner: str = ""
    ) -> list[GatheredData] | None:
        """The same for several tools of a server, where all of it was read before and is still good; `None` where anything
        would have to be waited for. The same objects again, as long as nothing of them was read anew."""
        return self._data.get(server, self._elsewhere).held(several, owner=owner)

    async def start(self) -> None:
        """Start all servers, and wait until each has started or failed, so that the first request need not. Optional."""
        await asyncio.gather(*(self._listed(server, None) for server in self._servers.values()))

    async def close(self) -> None:
        """End all servers, within bounded time. No program that was started is left."""
        await asyncio.gather(*(reader.close() for reader in self._data.values()))
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _concerns(self, server: McpServer, access: ToolAccess) -> bool:
        """Whether the agent may call any tool of the server, as far as that can be known before its tools are."""
        name, only = server.settings.name, server.settings.tools
        if only is None:
            return access.concerns(name)
        return any(access.permits(name, tool) for tool in only)

    def _meet_listings(self) -> None:
        """What is remembered holds for what the servers told last."""
        listings = [server.last_tools for server in self._servers.values()]
        if len(self._listings) != len(listings) or any(map(is_not, self._listings, listings)):
            self._listings = listings
            self._offered.clear()

    def _named(self, access: ToolAccess, tools: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """The names of what an agent may call, servers that are down at the moment included."""
        given = self._names.get(access, {})
        if len(given) >= _MOST_NAMES:
            given = {}
        names = unique_names(tools, given)
        if len(self._names) >= _MOST_KEPT and access not in self._names:
            self._names.clear()
        self._names[access] = {**given, **names}
        return names

    async def _listed(self, server: McpServer, timeout_s: float | None) -> ToolGap | None:
        name = server.settings.name
        try:
            async with asyncio.timeout(timeout_s):
                await server.tools()
        except ServerFailure as failure:
            return ToolGap(server=name, name="", reason=str(failure))
        except TimeoutError:
            return ToolGap(server=name, name="", reason=f"it is still starting after {timeout_s:g} s")
        return None

    def _spec(self, server: McpServer, tool: ListedTool, name: str) -> ToolSpec:
        place = (server.settings.name, tool.name, name)
        known = self._specs.get(place)
        if known is None or known[0] is not tool:
            known = self._specs[place] = (tool, self._made(server, tool, name))
        return known[1]

    def _made(self, server: McpServer, tool: ListedTool, name: str) -> ToolSpec:
        configured = server.settings.context_requirements.get(tool.name) or self._tool_context.get(tool.name)
        return ToolSpec(
            name=name,
            server=server.settings.name,
            remote_name=tool.name,
            description=tool.description,
            input_schema=tool.input_schema,
            requirements=configured or tool.requirements,
            read_only=tool.read_only,
            idempotent=tool.idempotent,
        )

    async def _called(
        self,
        server: McpServer,
        spec: ToolSpec,
        arguments: dict[str, Json],
        *,
        timeout_s: float | None,
        on_progress: Callable[[ToolProgress], None] | None,
        begun: float,
    ) -> ToolOutcome:
        try:
            result = await server.call(spec.remote_name, arguments, timeout_s=timeout_s, on_progress=on_progress)
        except TimeoutError:
            waited_s = time.monotonic() - begun
            message = (
                f"the tool {spec.name!r} gave no result within {waited_s:.1f} s; whether it took effect is not known"
            )
            return _failed("timeout", message, begun)
        except ServerUnavailable as failure:
            return _failed("unavailable", str(failure), begun)
        except ServerEnded as failure:
            message = f"the call of {spec.name!r} was interrupted, whether it took effect is not known: {failure}"
            return _failed("interrupted", message, begun)
        except ServerFailure as failure:
            return _failed("protocol", str(failure), begun)
        from caxton_llm.tools.results import outcome_of  # noqa: PLC0415 - imports the SDK, which is there by now

        outcome = outcome_of(result, server.settings.max_result_bytes, time.monotonic() - begun)
        promised = None if outcome.is_error else server.output_schema(spec.remote_name)
        return outcome if promised is None else await asyncio.to_thread(_compared, outcome, result, promised)


def _unmatched(access: ToolAccess, servers: Sequence[McpServer]) -> tuple[ToolGap, ...]:
    """Patterns of an agent that no tool of the servers fits, now that all of them have told theirs."""
    tools = [(server.settings.name, tool.name) for server in servers for tool in server.last_tools.tools]
    known = _listed([f"{server}.{tool}" for server, tool in tools])
    return tuple(
        ToolGap(
            server="",
            name=pattern,
            reason=f"no tool fits this pattern of the agent {access.agent!r}; there is: {known}",
        )
        for pattern in access.allowed
        if not any(matches(pattern, server, tool) for server, tool in tools)
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(names[:_MOST_NAMED]) or "none") + more


def _compared(outcome: ToolOutcome, result: "CallToolResult", promised: Mapping[str, Json]) -> ToolOutcome:
    """The outcome, with a mark where the structured result is not what the tool promises."""
    if result.structured_content is None:
        return replace(outcome, text=f"{outcome.text}\n[the structured result that the tool promises is missing]")
    try:
        faults = schema_faults(promised, result.structured_content)
    except SchemaFault as fault:
        faults = [str(fault)]
    mark = f"[not what the tool promises (outputSchema): {'; '.join(faults)}]"
    return replace(outcome, text=f"{outcome.text}\n{mark}") if faults else outcome


def _failed(failure: ToolFailure, text: str, begun: float) -> ToolOutcome:
    return ToolOutcome(text=text, is_error=True, failure=failure, seconds=time.monotonic() - begun)
