"""Requests to agents, from the name to what is kept: context, answer with its calls of tools, conversation, memory.

addressed -> gather -> [too large?] -> loop of the model and its tools -> conversation stored -> memory learns
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agent_loop.loop import AgentLoop, LoopResult
from caxton_llm.agent_loop.tool_runner import AgentCalls, ToolRunner
from caxton_llm.agents.agent import Agent
from caxton_llm.agents.capability_tools import capability_tools
from caxton_llm.agents.chain import CallChain
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.agents.registry import Addressed
from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.context.document import ContextDocument
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext
from caxton_llm.context_engine.explaining import Destination, assumed_destination, destination_of, explain
from caxton_llm.context_engine.fitter import Contexts
from caxton_llm.errors import InvalidRequest, UnknownModel
from caxton_llm.gateway import Gateway
from caxton_llm.memory_system import Memory
from caxton_llm.memory_upkeep import Upkeep
from caxton_llm.remembering import Remembering
from caxton_llm.tools.access import ToolAccess
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, ContextReport, Json, Message

__all__ = ["AgentService"]


_PROVIDERS = "providers"
"""The field of a request that says for whom its context is shown."""


class _Turn(Struct):
    """One request to an agent under way."""

    request: ChatRequest
    gathered: GatheredContext
    contexts: Contexts
    loop: AgentLoop


class AgentService:
    """Answers requests that name an agent or a capability. Its methods belong to one event loop at a time."""

    def __init__(
        self,
        gateway: Gateway,
        engine: ContextEngine,
        *,
        remembering: Remembering | None = None,
        max_agent_depth: int = 5,
        closing: Memory | None = None,
        tidy: Callable[[], object] | None = None,
    ) -> None:
        """`closing` is a memory that is closed at the end; `tidy` is done every hour between the start and the end."""
        self.gateway = gateway
        self.engine = engine
        self.registry = engine.registry
        self._remembering = remembering
        self._closing = closing
        self._tidy = tidy
        self._upkeep: Upkeep | None = None
        self._chain = CallChain(limit=max_agent_depth)
        self._starting: list[asyncio.Task[None]] = []

    async def complete(self, request: ChatRequest, *, chain: CallChain | None = None) -> ChatResponse:
        """A whole answer. Raises `UnknownModel`, `InvalidRequest`, what the gateway raises, and `ConversationChanged` or
        `ConversationDeleted` when the stored conversation is not what it was when the request came."""
        turn = await self._begun(request, chain or self._chain)
        result = await turn.loop.complete(turn.request, turn.contexts.fitter)
        await self._keep(turn, result)
        response = result.response
        response.warnings = [*response.warnings, *_warnings(turn.gathered)]
        response.context = _report(turn)
        return response

    def stream(self, request: ChatRequest) -> ChatStream:
        """A streamed answer; everything that `complete` raises is raised from the iteration."""
        self._addressed(request.model)
        first = self.gateway.resolve(request.model).first

        async def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            turn = await self._begun(request, self._chain)

            async def on_done(result: LoopResult) -> None:
                await self._keep(turn, result)

            async with turn.loop.stream(turn.request, turn.contexts.fitter, on_done) as inner:
                while True:
                    try:
                        batch = await inner.next_batch()
                    except StopAsyncIteration:
                        return
                    _describe(stream, inner, turn)
                    yield batch

        return ChatStream(source, provider=first.target.name, model=first.model)

    async def prepare(self, request: ChatRequest, *, providers: Sequence[str] = ()) -> ContextDocument:
        """The context that a request would be sent with, and why: nothing is sent, nothing is kept.

        `providers` are entries, or kinds of providers, that the request is shown for, beside the first target of the agent;
        the request itself may name some under `providers`. Raises `InvalidRequest`, `UnknownModel`.
        """
        addressed = self._addressed(request.model)
        providers = (*providers, *_providers(request))
        others = {name: value for name, value in request.extra.items() if name != _PROVIDERS}
        request = replace(request, extra=others, source=None)
        destinations = [destination_of(self.gateway.resolve(request.model).first), *map(self._destination, providers)]
        gathered = await self._gathered(request, addressed)
        return await explain(self.engine, gathered, destinations)

    def _destination(self, name: str) -> Destination:
        route = self.gateway.routes.get(name)
        is_entry = route is not None and route.first.target.name == name
        return destination_of(route.first) if route is not None and is_entry else assumed_destination(name)

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
        starting, self._starting = of_this_loop(self._starting), []
        await end_tasks(starting)
        upkeep, self._upkeep = self._upkeep, None
        if upkeep is not None:
            await asyncio.to_thread(upkeep.close)
        if self._remembering is not None:
            await self._remembering.close()
        await self.engine.sources.aclose()
        if self._closing is not None:
            closing, self._closing = self._closing, None
            await asyncio.to_thread(closing.close)

    # -- before the answer ----------------------------------------------------------------------------------------------

    def _addressed(self, model: str) -> Addressed:
        addressed = self.registry.addressed(model)
        if addressed is None:
            names = [f"agent:{agent.name}" for agent in self.registry.agents]
            names += [f"capability:{name}" for name in self.registry.names]
            raise UnknownModel(
                f"nothing is called {model!r}; there is: {', '.join(names)}", param="model", code="model_not_found"
            )
        return addressed

    async def _begun(self, request: ChatRequest, chain: CallChain) -> _Turn:
        addressed = self._addressed(request.model)
        agent = addressed.agent
        capability = "" if addressed.capability is None else addressed.capability.name
        chain = chain.calling(agent.name, capability)
        gathered = await self._gathered(request, addressed)
        contexts = Contexts(self.engine, gathered)
        runner = ToolRunner(
            [offer.spec for offer in gathered.material.offers],
            servers=self.engine.sources.servers,
            access=ToolAccess(agent.name, agent.tools),
            agents=AgentCalls(registry=self.registry, chain=chain, call=self._caller(request, agent)),
        )
        return _Turn(request, gathered, contexts, AgentLoop(self.gateway, runner))

    async def _gathered(self, request: ChatRequest, addressed: Addressed) -> GatheredContext:
        key = _key(request, addressed.agent)
        tools = capability_tools(addressed.agent, self.registry)
        return await self.engine.gather(request, addressed, key=key, more_tools=tools)

    def _caller(self, request: ChatRequest, agent: Agent) -> "_CapabilityCaller":
        return _CapabilityCaller(self, request, agent)

    # -- after the answer -----------------------------------------------------------------------------------------------

    async def _keep(self, turn: _Turn, result: LoopResult) -> None:
        """Store the conversation, before the answer is complete for who asked; the memory learns later."""
        gathered, message = turn.gathered, result.message
        if message is None:
            return
        exchange = Exchange(messages=(*gathered.history.asked, *result.steps, message), model=result.response.model)
        key = gathered.key
        if key is not None:
            store = await asyncio.to_thread(self.engine.sources.conversations)
            fresh = [Exchange(messages=messages) for messages in gathered.history.fresh]
            after = None if gathered.thread is None else gathered.thread.position
            position = await asyncio.to_thread(store.append, key, [*fresh, exchange], after=after)
            exchange = replace(exchange, number=position.length - 1)
        if self._remembering is not None:
            used = () if turn.contexts.sent is None else turn.contexts.sent.memories
            where = key or ConversationKey(
                f"request {uuid.uuid4().hex}", gathered.agent.name, gathered.agent.memory.tenant
            )
            self._remembering.submit(gathered.agent, where, exchange, used=used)


class _CapabilityCaller:
    """Asks the agents that offer a capability, on behalf of another agent."""

    def __init__(self, service: AgentService, request: ChatRequest, agent: Agent) -> None:
        self._service = service
        self._request = request
        self._agent = agent

    async def __call__(self, capability: str, arguments: dict[str, Json], chain: CallChain) -> str:
        said = arguments.get("request")
        text = said if isinstance(said, str) else msgspec.json.encode(arguments).decode()
        asked = ChatRequest(
            model=f"capability:{capability}",
            messages=[Message(role="user", content=text)],
            user=self._request.user,
            safety_identifier=self._request.safety_identifier,
            extra={"context": {"request_parameters": arguments, "requesting_agent": self._agent.name}},
        )
        response = await self._service.complete(asked, chain=chain)
        return response.text


def _key(request: ChatRequest, agent: Agent) -> ConversationKey | None:
    """The stored conversation that a request names; `None` where it names none."""
    name = request.extra_value("conversation_id")
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidRequest("must be text", param="conversation_id")
    return ConversationKey(name, agent=agent.name, tenant=agent.memory.tenant)


def _providers(request: ChatRequest) -> list[str]:
    named = request.extra_value(_PROVIDERS)
    try:
        return msgspec.convert([] if named is None else named, list[str])
    except msgspec.ValidationError:
        raise InvalidRequest("must be a list of names", param=_PROVIDERS) from None


def _warnings(gathered: GatheredContext) -> list[str]:
    return [f"context: {gap.source} {gap.name}: {gap.reason}".replace(" :", ":") for gap in gathered.material.gaps]


def _report(turn: _Turn) -> ContextReport | None:
    composed, gathered = turn.contexts.sent, turn.gathered
    if composed is None:
        return None
    return ContextReport(
        tokens=composed.tokens,
        budget=composed.target.budget,
        sources=tuple(composed.spent),
        missing=tuple(dict.fromkeys(gap.source for gap in gathered.material.gaps)),
        dropped=sum(not one.kept for one in composed.decisions),
        conversation=None if gathered.key is None else gathered.key.conversation,
    )


def _describe(stream: ChatStream, inner: ChatStream, turn: _Turn) -> None:
    """What is known of the answer by now, in the stream that the reader has."""
    for name in _TOLD:
        setattr(stream, name, getattr(inner, name))
    stream.warnings = [*inner.warnings, *_warnings(turn.gathered)]
    stream.context = _report(turn)


_TOLD = (
    "provider",
    "model",
    "request_id",
    "attempts",
    "failed_attempts",
    "skipped",
    "degraded",
    "params",
    "usage",
    "cost_usd",
    "upstream_s",
)
