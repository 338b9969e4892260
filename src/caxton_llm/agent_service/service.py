"""Requests to agents, from the name to what is kept: context, answer with its calls of tools, conversation, memory.

addressed -> gather -> [too large?] -> loop of the model and its tools -> conversation stored -> memory learns
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from caxton_llm.agent_loop.loop import AgentLoop, LoopResult
from caxton_llm.agent_loop.time_limit import TimeLimit
from caxton_llm.agent_loop.tool_runner import AgentCalls, ToolRunner
from caxton_llm.agent_service.capability_calls import CapabilityCalls
from caxton_llm.agent_service.keeping import Keeping
from caxton_llm.agent_service.kept import check_kept
from caxton_llm.agent_service.multi_turn import MultiTurn, Reading
from caxton_llm.agent_service.oversized import Sized, sized
from caxton_llm.agent_service.turn import AgentTurn, described, told
from caxton_llm.agent_service.windows import ServedWindows
from caxton_llm.agents.agent import Agent
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.conversation import ConversationKey
from caxton_llm.agents.registry import AGENT_PREFIXES, Addressed
from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.context.document import ContextDocument
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext
from caxton_llm.context_engine.explaining import Destination, assumed_destination, destination_of, explain
from caxton_llm.errors import InvalidRequest, UnknownModel
from caxton_llm.gateway import Gateway
from caxton_llm.memory_system import Memory
from caxton_llm.memory_upkeep import Upkeep
from caxton_llm.tools.access import ToolAccess
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream

__all__ = ["AgentService"]


_PROVIDERS = "providers"
_NO_LIST = "providers must be a list of names"
"""The field of a request that says for whom its context is shown."""


_IN_PARTS = "the request is larger than the budget and would be worked through in parts; here it is shown shortened"


class _InParts(NamedTuple):
    """What was gathered for a request that is too large, and its parts being read."""

    gathered: GatheredContext
    reading: Reading


class AgentService:
    """Answers requests that name an agent or a capability. Its methods belong to one event loop at a time."""

    def __init__(
        self,
        gateway: Gateway,
        engine: ContextEngine,
        *,
        keeping: Keeping,
        max_agent_depth: int = 5,
        max_steps: int = 16,
        closing: Memory | None = None,
        tidy: Callable[[], object] | None = None,
    ) -> None:
        """`max_steps` answers of a model may call tools, then it must answer.

        `closing` is a memory that is closed at the end; `tidy` is done every hour between the start and the end."""
        self.gateway = gateway
        self.engine = engine
        self.registry = engine.registry
        self._keeping = keeping
        self._closing = closing
        self._tidy = tidy
        self._windows = ServedWindows()
        self._upkeep: Upkeep | None = None
        self._chain = CallChain(limit=max_agent_depth)
        self._max_steps = max_steps
        self._starting: list[asyncio.Task[None]] = []

    async def complete(
        self, request: ChatRequest, *, chain: CallChain | None = None, within_s: float | None = None
    ) -> ChatResponse:
        """A whole answer, within the deadline of the agent's first target and at most `within_s` seconds.

        Raises `UnknownModel`, `InvalidRequest`, what the gateway raises, and `ConversationChanged` or
        `ConversationDeleted` when the stored conversation is not what it was when the request came."""
        chain = self._called(request, chain or self._chain)
        turn = await self._begun(request, chain, within_s)
        if isinstance(turn, _InParts):
            turn = self._read(request, chain, turn, await turn.reading.finish(), within_s)
        result = await turn.loop.complete(turn.request, turn.fitter)
        turn.contexts.settle(result.response.provider)
        await self._keeping.keep(turn, result)
        return told(result.response, turn)

    def stream(self, request: ChatRequest) -> ChatStream:
        """A streamed answer; everything that `complete` raises is raised from the iteration."""
        self._addressed(request.model)
        first = self.gateway.resolve(request.model).first

        async def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            chain = self._called(request, self._chain)
            turn = await self._begun(request, chain)
            if isinstance(turn, _InParts):
                async with contextlib.aclosing(turn.reading.steps()) as steps:
                    async for step in steps:
                        yield [ChatChunk(progress=step)]
                turn = self._read(request, chain, turn, turn.reading.request)
            async with contextlib.aclosing(self._answered(turn, stream)) as batches:
                async for batch in batches:
                    yield batch

        return ChatStream(source, provider=first.target.name, model=first.model)

    async def _answered(self, turn: AgentTurn, stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
        """The streamed answer of a turn; `stream` is told what is learned on the way."""

        async def on_done(result: LoopResult) -> None:
            turn.contexts.settle(result.response.provider)
            await self._keeping.keep(turn, result)

        async with turn.loop.stream(turn.request, turn.fitter, on_done) as answer:
            reading = turn.reading
            seen = answer if reading is None else ChatStream(partial(reading.followed, answer))
            async with seen:
                while True:
                    try:
                        batch = await seen.next_batch()
                    except StopAsyncIteration:
                        described(stream, seen, turn)
                        return
                    described(stream, seen, turn)
                    yield batch

    async def prepare(self, request: ChatRequest, *, providers: Sequence[str] = ()) -> ContextDocument:
        """The context that a request would be sent with, and why: nothing is sent, nothing is kept.

        `providers` are entries, or kinds of providers, that the request is shown for, beside the first target of the agent;
        the request itself may name some under `providers`. Raises `InvalidRequest`, `UnknownModel`.
        """
        addressed, destinations = self._named(request, providers)
        others = {name: value for name, value in request.extra.items() if name != _PROVIDERS}
        request = replace(request, extra=others, source=None)
        gathered = await self._gathered(request, addressed)
        fitting = await self._sized(gathered, request)
        notes = () if fitting.in_parts is None else (_IN_PARTS,)
        if gathered.key is not None and gathered.thread is not None and not gathered.thread.exchanges:
            known = f"there is no conversation {gathered.key.conversation!r} of {gathered.agent.name} yet"
            notes = (*notes, f"{known}: a request would begin it")
        if fitting.taken_by is not None:
            first, larger = destinations[0], destination_of(fitting.taken_by)
            notes = (f"{first.name} cannot take the request; this is what {larger.name} would be sent",)
            destinations.insert(0, larger)
        return await explain(fitting.contexts, destinations, notes=notes)

    def check_names(self, request: ChatRequest, *, providers: Sequence[str] = ()) -> None:
        """Raises what `prepare` raises where a name in the request or in `providers` does not exist."""
        self._named(request, providers)

    def _named(self, request: ChatRequest, providers: Sequence[str]) -> tuple[Addressed, list[Destination]]:
        """Who is asked, and whom the request is shown for, the agent's first target first."""
        if isinstance(providers, str):  # a sequence of letters
            raise InvalidRequest(_NO_LIST, param=_PROVIDERS)
        addressed = self._addressed(request.model)
        first = destination_of(self.gateway.resolve(request.model).first)
        return addressed, [first, *map(self._destination, (*providers, *_providers(request)))]

    def _destination(self, name: str) -> Destination:
        route = self.gateway.routes.get(name)
        is_entry = route is not None and route.first.target.name == name
        return destination_of(route.first) if route is not None and is_entry else assumed_destination(name)

    @property
    def names(self) -> list[str]:
        """What `model` may say: `agent:NAME` of every agent, then `capability:NAME`."""
        agents = [f"agent:{agent.name}" for agent in self.registry.agents]
        return [*agents, *(f"capability:{name}" for name in self.registry.names)]

    @property
    def problems(self) -> list[str]:
        """What the operator should know: that conversations could not be deleted when they should be."""
        problem = None if self._upkeep is None else self._upkeep.problem
        return [] if problem is None else [f"conversations: {problem}"]

    def start(self) -> None:
        """Begin, in the running event loop, what would make the first request slow: programs of tools, vocabularies; and the
        hourly deletion of conversations that may not stay."""
        if self._tidy is not None and self._upkeep is None:
            self._upkeep = Upkeep(self._tidy)
        if not of_this_loop(self._starting):
            self._starting = [asyncio.get_running_loop().create_task(self.engine.start(), name="caxton-agents")]

    async def aclose(self) -> None:
        """Finish what is kept in the background, within bounded time, and close what the agents use."""
        await self._windows.aclose()
        starting, self._starting = of_this_loop(self._starting), []
        await end_tasks(starting)
        upkeep, self._upkeep = self._upkeep, None
        if upkeep is not None:
            await asyncio.to_thread(upkeep.close)
        await self._keeping.aclose()
        await self.engine.sources.aclose()
        if self._closing is not None:
            closing, self._closing = self._closing, None
            await asyncio.to_thread(closing.close)

    # -- before the answer ----------------------------------------------------------------------------------------------

    def _addressed(self, model: str) -> Addressed:
        addressed = self.registry.addressed(model)
        if addressed is None:
            is_named = model.startswith(AGENT_PREFIXES)
            what = "" if is_named else f"model must name an agent, and {model!r} is none"
            raise UnknownModel.among(model, self.names, what=what)
        return addressed

    def _called(self, request: ChatRequest, chain: CallChain) -> CallChain:
        """The chain with the agent that is asked; who calls a capability has put it there already."""
        addressed = self._addressed(request.model)
        agent, capability = addressed.agent, addressed.capability
        if chain.calls and chain.calls[-1].agent == agent.name:
            return chain
        return chain.calling(agent.name, "" if capability is None else capability.name)

    async def _begun(
        self, request: ChatRequest, chain: CallChain, within_s: float | None = None
    ) -> AgentTurn | _InParts:
        """The turn, ready to be answered, or what has to be read in parts before."""
        gathered = await self._gathered(request, self._addressed(request.model))
        fitting = await self._sized(gathered, request)
        parts = fitting.in_parts
        await asyncio.to_thread(check_kept, gathered, in_parts=parts is not None)
        if parts is None:
            return self._turn(request, chain, fitting, within_s)
        reader = MultiTurn(self.gateway, parts.costs.text)
        reading = reader.read(
            parts.request,
            window_tokens=parts.window_tokens,
            answer_tokens=parts.answer_tokens,
            standing_tokens=parts.standing_tokens,
        )
        return _InParts(gathered, reading)

    async def _sized(self, gathered: GatheredContext, request: ChatRequest) -> Sized:
        route = self.gateway.resolve(request.model)
        await self._windows.learn(route.candidates)
        return await sized(self.engine, gathered, route)

    def _read(
        self,
        request: ChatRequest,
        chain: CallChain,
        parts: _InParts,
        noted: ChatRequest,
        within_s: float | None = None,
    ) -> AgentTurn:
        """The turn of a request that was read in parts: notes stand in the place of its material, all else stays."""
        gathered = parts.gathered
        current = tuple(message for message in noted.messages if message.role not in ("system", "developer"))
        history = replace(gathered.history, current=current)
        noted_context = replace(gathered, history=history, material=replace(gathered.material, history=history))
        turn = self._turn(request, chain, Sized(contexts=Contexts(self.engine, noted_context)), within_s)
        turn.reading = parts.reading
        return turn

    def _turn(self, request: ChatRequest, chain: CallChain, fitting: Sized, within_s: float | None) -> AgentTurn:
        gathered = fitting.contexts.gathered
        agent = gathered.agent
        deadline_s = self.gateway.resolve(request.model).first.target.timeouts.deadline_s
        deadline_s = deadline_s if within_s is None else min(deadline_s, within_s)
        calls = CapabilityCalls(self._answer_call, request, agent, TimeLimit(deadline_s, time.monotonic))
        runner = ToolRunner(
            [offer.spec for offer in gathered.material.offers],
            servers=self.engine.sources.servers,
            access=ToolAccess(agent.name, agent.tools),
            agents=AgentCalls(registry=self.registry, chain=chain, call=calls),
        )
        return AgentTurn(
            request=request,
            gathered=gathered,
            contexts=fitting.contexts,
            loop=AgentLoop(self.gateway, runner, max_steps=self._max_steps, deadline_s=deadline_s),
        )

    async def _answer_call(self, request: ChatRequest, chain: CallChain, within_s: float | None) -> ChatResponse:
        return await self.complete(request, chain=chain, within_s=within_s)

    async def _gathered(self, request: ChatRequest, addressed: Addressed) -> GatheredContext:
        key = _key(request, addressed.agent)
        return await self.engine.gather(request, addressed, key=key)


def _key(request: ChatRequest, agent: Agent) -> ConversationKey | None:
    """The stored conversation that a request names; `None` where it names none."""
    name = request.extra_value("conversation_id")
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidRequest("conversation_id must be text", param="conversation_id")
    return ConversationKey(name, agent=agent.name, tenant=agent.memory.tenant)


def _providers(request: ChatRequest) -> list[str]:
    named = request.extra_value(_PROVIDERS)
    try:
        return msgspec.convert([] if named is None else named, list[str])
    except msgspec.ValidationError:
        raise InvalidRequest(_NO_LIST, param=_PROVIDERS) from None
