"""The calls of one assistant message, run: in parallel where they may, within limits, and told while they run.

Whatever goes wrong with a call is a result that tells the model, so a request goes on. What a tool says is data: the model
gets it fenced, and whether the call failed or was cut is said outside the fence, where the tool cannot say it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from caxton_llm.agent_loop.tool_events import ToolEvent
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.background import end_tasks
from caxton_llm.context.render.fence import fenced, inside
from caxton_llm.discreet import Discreet
from caxton_llm.errors import AccessDenied, AgentCallRefused, InvalidRequest, LlmError
from caxton_llm.protocols import Clock
from caxton_llm.tool_specs import ToolFailure, ToolOutcome, ToolProgress, ToolSpec
from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.schemas import SchemaFault, schema_faults, without_nulls
from caxton_llm.tools.servers import McpServers
from caxton_llm.types import ChatResponse, Json, Message, ToolCall

__all__ = ["AgentCalls", "CallFailure", "CallOutcome", "ToolLimits", "ToolResult", "ToolRunner", "called_name"]

CallFailure = ToolFailure | Literal["unknown", "denied", "refused", "agent", "caller"]
"""Why a call has no result of its tool. Beside what `ToolFailure` says: there is no such tool; the agent may not call it;
agents would call each other in a circle, or too deep; the other agent failed; the tool is run by the caller."""

_OWN_ERROR = "error"
"""The tool itself says that it failed."""
RUN_BY_CALLER = "this tool is run by the caller: call it alone, in a message of its own"

_NO_ARGUMENTS = "{}"
OnEvent = Callable[[ToolEvent], None]


_WHY = {
    "arguments": "its arguments did not fit",
    "schema": "its schema cannot be used",
    "timeout": "there was no result in time",
    "unavailable": "it was not there",
    "interrupted": "it was interrupted, and may have taken effect",
    "protocol": "its server gave no answer that can be read",
    "unknown": "the model made up its name",
    "denied": "the agent may not call it",
    "refused": "agents would call each other in a circle, or too deep",
    "agent": "the agent gave no answer",
    _OWN_ERROR: "it reports an error",
}


class ToolLimits(Struct, frozen=True, kw_only=True):
    """Limits of each call. `timeout_s` is for capabilities of agents, and shortens the limits of the servers; `None`: theirs
    alone. `max_result_characters` counts what a model gets of a result, from 1."""

    timeout_s: float | None = None
    max_result_characters: int = 100_000


class AgentCalls(Struct, frozen=True, kw_only=True):
    """How capabilities of other agents are called: `call` gets the capability, its arguments, and the chain with the agent
    that serves it at its end. `chain` ends with the agent whose model calls."""

    registry: CapabilityRegistry
    chain: CallChain
    call: Callable[[str, dict[str, Json], CallChain], Awaitable[ChatResponse]]


class CallOutcome(Discreet, Struct, frozen=True, kw_only=True):
    """What became of a call, for a record of it."""

    name: str
    """Of the tool; a text of the model's own where `failure` is `unknown`."""
    seconds: float = 0.0
    is_error: bool = False
    truncated: bool = False
    failure: CallFailure | None = None
    """Set where the tool itself gave no result."""

    @property
    def reason(self) -> str | None:
        """Why there is no good result, in a word; `None` where there is one."""
        return (self.failure or _OWN_ERROR) if self.is_error else None

    @property
    def warning(self) -> str | None:
        """What a caller should know; `None` where nothing went wrong. The tool's own words are for the model alone."""
        if self.reason is None or self.failure == "caller":
            return None
        called = "a tool that there is not" if self.failure == "unknown" else f"the tool {self.name}"
        return f"a call of {called} failed: {_WHY[self.reason]}"


class ToolResult(Discreet, Struct, frozen=True, kw_only=True):
    """The message of role `tool` that answers a call, and what became of the call; `answer` is that of another agent."""

    message: Message
    outcome: CallOutcome
    answer: ChatResponse | None = None


class _Failed(Exception):
    """A call that is not made, or fails for our own reason; the message is for the model. `answer` is one that is none."""

    def __init__(self, failure: CallFailure, message: str, *, answer: ChatResponse | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.answer = answer


class ToolRunner:
    """Runs calls for one agent. `tools` are all that its model is offered: those of servers, and capabilities (`server` is
    empty). Holds nothing of a request, so several may use it at once if they may share `agents`."""

    def __init__(
        self,
        tools: Sequence[ToolSpec],
        *,
        servers: McpServers | None = None,
        access: ToolAccess | None = None,
        agents: AgentCalls | None = None,
        limits: ToolLimits | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.tools = tuple(tools)
        self._by_name = {tool.name: tool for tool in self.tools}
        self._servers = servers
        self._access = access or ToolAccess("")
        self._agents = agents
        self._limits = limits or ToolLimits()
        self._clock = clock

    def knows(self, name: str) -> bool:
        """Whether a tool of this name is among those that it runs."""
        return name in self._by_name

    async def run(
        self,
        calls: Sequence[ToolCall],
        *,
        callers: Collection[str] = (),
        parallel: bool = True,
        on_event: OnEvent | None = None,
    ) -> list[ToolResult]:
        """The results in the order of the calls. Tools of the names in `callers` are not run: their result says that the
        caller runs them.

        Calls next to each other whose tools say that they are read-only or idempotent run at the same time, if `parallel`.
        Any other waits for those before it, and is waited for. Cancelling ends all of them.
        """
        results: dict[int, ToolResult] = {}
        tell = on_event or _nobody

        async def run_one(index: int) -> None:
            results[index] = await self._result(calls[index], callers, tell)

        for group in self._groups(calls, parallel):
            if len(group) == 1:
                await run_one(group[0])
                continue
            tasks = [asyncio.create_task(run_one(index)) for index in group]
            try:
                await asyncio.gather(*tasks)
            finally:
                await end_tasks(tasks)
        return [results[index] for index in range(len(calls))]

    def _groups(self, calls: Sequence[ToolCall], parallel: bool) -> Iterator[list[int]]:
        """The numbers of calls that may run at the same time, group after group."""
        group: list[int] = []
        for index, call in enumerate(calls):
            spec = self._by_name.get(called_name(call))
            if parallel and (spec is None or spec.read_only or spec.idempotent):
                group.append(index)
                continue
            if group:
                yield group
            yield [index]
            group = []
        if group:
            yield group

    # -- one call -------------------------------------------------------------------------------------------------------

    async def _result(self, call: ToolCall, callers: Collection[str], tell: OnEvent) -> ToolResult:
        name = called_name(call)
        begun = self._clock()
        try:
            if name in callers and not self.knows(name):
                raise _Failed("caller", RUN_BY_CALLER)
            outcome, answer = await self._outcome(call, self._spec(name), tell)
        except _Failed as failed:
            seconds = self._clock() - begun
            if failed.failure != "caller":
                tell(ToolEvent(tool=name, call=call.id, state="failed", seconds=seconds, reason=failed.failure))
            told = CallOutcome(name=name, seconds=seconds, is_error=True, failure=failed.failure)
            message = _message(call, f"The call failed: {failed.message}")
            return ToolResult(message=message, outcome=told, answer=failed.answer)
        text, was_cut = self._told(outcome)
        told = CallOutcome(
            name=name,
            seconds=outcome.seconds,
            is_error=outcome.is_error,
            truncated=outcome.truncated or was_cut,
            failure=outcome.failure,
        )
        state: Literal["failed", "done"] = "failed" if outcome.is_error else "done"
        tell(ToolEvent(tool=name, call=call.id, state=state, seconds=outcome.seconds, reason=told.reason))
        return ToolResult(message=_message(call, text), outcome=told, answer=answer)

    def _spec(self, name: str) -> ToolSpec:
        spec = self._by_name.get(name)
        if spec is None:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise _Failed("unknown", f"there is no tool of this name; there is: {known}")
        return spec

    async def _outcome(self, call: ToolCall, spec: ToolSpec, tell: OnEvent) -> tuple[ToolOutcome, ChatResponse | None]:
        arguments = without_nulls(spec.input_schema, _arguments(call))
        tell(ToolEvent(tool=spec.name, call=call.id, state="started"))
        if not spec.server:
            return await self._capability(spec, arguments)
        if self._servers is None:
            raise _Failed("unavailable", f"the server {spec.server!r} is not there")

        def on_progress(progress: ToolProgress) -> None:
            tell(ToolEvent(tool=spec.name, call=call.id, state="running", progress=progress))

        try:
            outcome = await self._servers.call(
                spec, arguments, access=self._access, timeout_s=self._limits.timeout_s, on_progress=on_progress
            )
        except AccessDenied as denied:
            raise _Failed("denied", denied.message) from None
        return outcome, None

    async def _capability(self, spec: ToolSpec, arguments: dict[str, Json]) -> tuple[ToolOutcome, ChatResponse | None]:
        agents = self._agents
        offers = () if agents is None else agents.registry.offers(spec.remote_name)
        if agents is None or not offers:
            raise _Failed("unavailable", f"no agent offers {spec.remote_name!r}")
        begun = self._clock()
        faults = await _faults(spec, arguments)
        if faults:
            listed = "\n".join(f"- {fault}" for fault in faults)
            text = f"the arguments do not fit the tool {spec.name!r}:\n{listed}"
            return ToolOutcome(text=text, is_error=True, failure="arguments", seconds=self._clock() - begun), None
        limit_s = self._limits.timeout_s
        try:
            chain = agents.chain.calling(offers[0].name, spec.remote_name)
            async with asyncio.timeout(limit_s) as limit:
                answer = await agents.call(spec.remote_name, arguments, chain)
        except AgentCallRefused as refused:
            raise _Failed("refused", refused.message) from None
        except LlmError as error:
            # Only what a caller can mend is told: other messages may hold a provider's words, or name our hosts.
            is_told = isinstance(error, InvalidRequest) and error.source == "gateway"
            why = error.message if is_told else error.kind
            raise _Failed("agent", f"the agent {offers[0].name!r} gave no answer: {why}") from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise _Failed("timeout", f"no result within {limit_s:g} s; whether it took effect is not known") from None
        if answer.degraded or not answer.text.strip():
            why = "no provider could answer" if answer.degraded else "it said nothing"
            raise _Failed("agent", f"the agent {offers[0].name!r} gave no answer: {why}", answer=answer)
        return ToolOutcome(text=answer.text, seconds=self._clock() - begun), answer

    def _told(self, outcome: ToolOutcome) -> tuple[str, bool]:
        """The result as the model gets it, and whether it was cut here."""
        text, most = inside(outcome.text), self._limits.max_result_characters
        was_cut = len(text) > most
        parts = ["The call failed:"] if outcome.is_error else []
        parts.append(fenced("tool", text[:most] if was_cut else text))
        if was_cut:
            parts.append(f"[cut: {most:,} of {len(text):,} characters are shown]")
        return "\n".join(parts), was_cut


def called_name(call: ToolCall) -> str:
    """The name of the tool that is called; empty where the model gave none."""
    if call.function is not None:
        return call.function.name
    name = call.custom.get("name") if isinstance(call.custom, dict) else None
    return name if isinstance(name, str) else ""


def _arguments(call: ToolCall) -> dict[str, Json]:
    text = call.function.arguments if call.function is not None else ""
    try:
        arguments = msgspec.json.decode(text.strip() or _NO_ARGUMENTS)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "it cannot be read"
        raise _Failed("arguments", f"the arguments are no JSON: {reason}; nothing was done") from None
    if not isinstance(arguments, dict):
        raise _Failed("arguments", "the arguments are no JSON object; nothing was done")
    return arguments


async def _faults(spec: ToolSpec, arguments: dict[str, Json]) -> list[str]:
    try:
        return await asyncio.to_thread(schema_faults, spec.input_schema, arguments)
    except SchemaFault as fault:
        raise _Failed("schema", f"the tool {spec.name!r} cannot be called: {fault}") from None


def _message(call: ToolCall, content: str) -> Message:
    return Message(role="tool", tool_call_id=call.id, content=content)


def _nobody(_event: ToolEvent) -> None:
    """Nobody watches."""
