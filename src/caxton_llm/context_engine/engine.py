"""The router: what a request is about, what it needs, the sources asked at the same time, and a context for any target.

analyse -> requirements -> conversation | memory | tools | capabilities -> material -> composed for a target
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence, Set
from functools import lru_cache, partial

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent
from caxton_llm.agents.analysis import REQUEST, Analysis, analyse
from caxton_llm.agents.capability_tools import capability_tools
from caxton_llm.agents.conversation import ConversationKey, Summary, Thread
from caxton_llm.agents.likely_tools import ToolIndex
from caxton_llm.agents.registry import Addressed, CapabilityRegistry
from caxton_llm.agents.templates import VALUE_MISSING
from caxton_llm.caching.kept import Kept
from caxton_llm.context.budget import TargetView, view_of
from caxton_llm.context.compose import Composed, compose
from caxton_llm.context.context_meter import ContextMeter
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.spoken import characters_of, is_short
from caxton_llm.context.conversation.turns import LONGEST_KEPT, History, are_at_hand, history_of, turns_compared
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material, Offer, compared, remembered
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.context_engine.sources import (
    ContextSources,
    ConversationRead,
    DataRead,
    MemoryRead,
    ToolsListed,
    filters_of,
    searches_of,
)
from caxton_llm.context_engine.tool_set import ToolSet
from caxton_llm.discreet import Discreet
from caxton_llm.errors import ConversationStoreError, InvalidRequest
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import O200kCounter, prompt_parts
from caxton_llm.tokens.calibrated import TokenCalibration
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.tools.access import ToolAccess
from caxton_llm.types import ChatRequest, ContentPart, Message

__all__ = ["ContextEngine", "GatheredContext", "SentRequest"]

_USUAL_MEMORIES = 5
"""The most memories where nobody says how many are wanted (the specification's "top 5 by similarity")."""
_MOST_KEPT = 64
_FEW = 500
"""Stored exchanges of which what is known is brought together in about a millisecond."""


class GatheredContext(Discreet, Struct, frozen=True, kw_only=True):
    """A request with everything that was gathered for it: what a context for any target is composed from."""

    request: ChatRequest
    addressed: Addressed
    analysis: Analysis
    key: ConversationKey | None
    thread: Thread | None
    history: History
    material: Material
    memory: MemoryRead
    seconds: float
    """From the request to here."""

    @property
    def agent(self) -> Agent:
        return self.addressed.agent


class SentRequest(Discreet, Struct, frozen=True, kw_only=True):
    """A request as a target of a kind of provider was sent it."""

    kind: str
    request: ChatRequest


class ContextEngine:
    """Prepares contexts; for any number of requests at once, in one event loop."""

    def __init__(
        self,
        registry: CapabilityRegistry,
        sources: ContextSources,
        *,
        reserve_tokens: int = 1024,
        calibration: TokenCalibration | None = None,
    ) -> None:
        self.registry = registry
        self.sources = sources
        self.calibration = calibration or TokenCalibration()
        self.reserve_tokens = reserve_tokens
        self._meter = ContextMeter(O200kCounter().count)
        self.vectors = TextVectors(StaticEmbedder.default())
        self._past = PastTexts(self.vectors)
        self._costs = lru_cache(maxsize=_MOST_KEPT)(partial(Costs, self._meter))
        self._offered: OrderedDict[tuple[str, tuple[str, ...]], tuple[ToolSpec, ...]] = OrderedDict()
        self._tool_sets = Kept(ToolSet, lambda *_: 1, heaviest=_MOST_KEPT, key=_identity)

    async def start(self) -> None:
        """What the first request would have to wait for."""
        warming = asyncio.to_thread(self._meter.measure, "")
        await asyncio.gather(warming, *([self.sources.servers.start()] if self.sources.servers is not None else []))

    async def gather(
        self,
        request: ChatRequest,
        addressed: Addressed,
        *,
        key: ConversationKey | None = None,
    ) -> GatheredContext:
        """Everything for a request to an agent. `key` names the stored conversation that it continues.

        Raises `InvalidRequest` for a request that cannot be understood. Sources that fail are in the material's gaps.
        """
        begun = time.perf_counter()
        agent = addressed.agent
        access = ToolAccess(agent.name, agent.tools)
        compared = turns_compared(request.messages) if key is not None else 0
        read, listed = await self.sources.begun(key, agent, access, compared=compared)
        tools = self._tool_sets.of((*listed.tools, *self._capabilities(agent, listed.tools)))
        _check_names(request, tools.names)
        understood = partial(_understood, request, addressed, read, tools.index)
        # A thread would cost a good part of what little there is to do.
        is_quick = not compared and _is_short(request) and _is_at_hand(read.thread)
        history, analysis = understood() if is_quick else await asyncio.to_thread(understood)
        filters = filters_of(agent)
        needs = searches_of(analysis.requirements, agent, analysis.user_request, _USUAL_MEMORIES)
        memory, data = await self.sources.looked_up(needs, _wanted(tools, analysis, agent), filters, _owner(agent))
        made = partial(
            self._material,
            request=request,
            addressed=addressed,
            analysis=analysis,
            history=history,
            answers=(read, memory, data, listed),
            tools=tools,
        )
        is_quick = is_quick and self._past.are_at_hand(history.turns)
        material = made() if is_quick else await asyncio.to_thread(made)
        return GatheredContext(
            request=request,
            addressed=addressed,
            analysis=analysis,
            key=key,
            thread=read.thread,
            history=history,
            material=material,
            memory=memory,
            seconds=time.perf_counter() - begun,
        )

    def view(self, gathered: GatheredContext, kind: str, info: ModelInfo) -> TargetView:
        """What the context is made for where the target is a model behind a kind of provider."""
        return view_of(
            kind,
            info,
            self.calibration.factors(info.id, kind),
            requirements=gathered.material.requirements,
            tools=[offer.spec.name for offer in gathered.material.offers],
            budget=gathered.agent.context.budget,
            reserve=self.reserve_tokens,
            output_limit=gathered.request.output_limit,
        )

    def compose(self, gathered: GatheredContext, target: TargetView, *, reserve: int = 0) -> Composed:
        """The context for a target, with `reserve` tokens kept free. Takes milliseconds of this thread. Raises
        `InvalidRequest` when the instructions and the request alone are larger than the budget."""
        return compose(gathered.material, target, self.costs(target), self._past, reserve=reserve)

    def costs(self, target: TargetView) -> Costs:
        """What texts take of a target's window."""
        return self._costs(target.factors, target.kind, target.model)

    def expect(self, key: ConversationKey, agent: Agent, messages: Sequence[Message]) -> None:
        """Make ready what is known of a stored conversation, which messages were just added to, so that the next request in
        it need not wait for that, unless they are very long. Blocks for milliseconds, for long messages for some ten."""
        if characters_of(messages) > LONGEST_KEPT:
            return
        self._past.expect(messages)
        self._meter.expect(messages)
        if messages[-1].tool_calls:
            return  # This turn goes on.
        try:
            thread = self.sources.continued(key, agent)
        except ConversationStoreError:
            return  # The next request will say it.
        if thread is not None and thread.exchanges and _is_at_hand(thread):
            turns = history_of((), thread).turns
            self._past.expect_turns(turns)
            self._meter.plain_turn(turns[-1])

    def learn(self, sent: SentRequest, real: int) -> None:
        """A provider has counted `real` tokens for the prompt of a request: what is counted here comes nearer to it."""
        model = sent.request.model
        parts = prompt_parts(sent.request, sent.kind, self._count, model=model)
        self.calibration.learn_parts(model, sent.kind, parts, real)

    def _count(self, text: str) -> int:
        return self._meter.measure(text)[0]

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _material(
        self,
        *,
        request: ChatRequest,
        addressed: Addressed,
        analysis: Analysis,
        history: History,
        answers: tuple[ConversationRead, MemoryRead, DataRead, ToolsListed],
        tools: ToolSet,
    ) -> Material:
        read, memory, data, listed = answers
        agent = addressed.agent
        likely = {tool.name: tool.score for tool in analysis.tools}
        instructions = [agent.system_prompt.strip()] if agent.system_prompt else []
        wants_related = analysis.requirements.capability_context or addressed.capability is not None
        related = wants_related and "capabilities" in agent.context.sources
        query = analysis.user_request
        found = remembered([(need.query, searched) for need, searched in memory.found], query, self.vectors)
        excerpts, memories = compared(history, found, query, self._past)
        return Material(
            request=request,
            instructions="\n\n".join((*instructions, *history.instructions)),
            history=history,
            requirements=analysis.requirements,
            memories=memories,
            excerpts=excerpts,
            summaries=_summaries(read, history),
            capabilities=self.registry.context_of(addressed) if related else None,
            offers=tuple(
                [
                    Offer(tool=tool, likelihood=likely.get(tool.spec.name, 0.0), is_likely=tool.spec.name in likely)
                    for tool in tools.told(data.data)
                ]
            ),
            gaps=(*read.gaps, *listed.gaps, *memory.gaps, *data.gaps),
            seconds={"conversation": read.seconds, "memory": memory.seconds, "tools": data.seconds},
        )

    def _capabilities(self, agent: Agent, tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
        """What other agents offer to this one, as tools: the same objects for the same tools beside them."""
        key = (agent.name, tuple(tool.name for tool in tools))
        known = self._offered.get(key)
        if known is None:
            known = self._offered[key] = capability_tools(agent, self.registry, taken=key[1])
            while len(self._offered) > _MOST_KEPT:
                self._offered.popitem(last=False)
        return known


def _identity(specs: tuple[ToolSpec, ...]) -> tuple[int, ...]:
    return tuple(map(id, specs))


def _is_short(request: ChatRequest) -> bool:
    """Whether there is little to read in a request: few messages, and nothing beside them."""
    beside = request.metadata or request.extra_value("context") is not None
    return not beside and is_short(request.messages)


def _is_at_hand(thread: Thread | None) -> bool:
    """Whether little has to be made of a stored conversation: it was there before, and is not very long."""
    return thread is None or (len(thread.exchanges) <= _FEW and are_at_hand(thread.exchanges))


def _understood(
    request: ChatRequest, addressed: Addressed, read: ConversationRead, tools: ToolIndex
) -> tuple[History, Analysis]:
    """What came before, and what the request is about, with the agent's template filled in."""
    history = history_of(request.messages, read.thread, seen=read.seen)
    analysis = _analysed(request, addressed, history, tools)
    return _with_prompt(history, analysis.prompt), analysis


def _analysed(request: ChatRequest, addressed: Addressed, history: History, tools: ToolIndex) -> Analysis:
    """What the exchange is about that is to be answered: results of tools alone say nothing of it."""
    capability = None if addressed.capability is None else addressed.capability.name
    asked, agent = replace(request, messages=list(history.current)), addressed.agent
    try:
        return analyse(asked, agent=agent, capability=capability, tools=tools)
    except InvalidRequest as error:
        # Who sends the results of tools need not send again what the template was filled with.
        if error.code != VALUE_MISSING or not history.continues:
            raise
        return analyse(asked, agent=replace(agent, user_prompt_template=None), capability=capability, tools=tools)


def _owner(agent: Agent) -> str:
    """For whom a server's private data are: no agent is called like a tenant."""
    return f"tenant {agent.memory.tenant}" if agent.memory.tenant else f"agent {agent.name}"


def _check_names(request: ChatRequest, own: Set[str]) -> None:
    """Raises `InvalidRequest` for a tool of the caller's that is called like one of the agent's `own`."""
    for place, tool in enumerate(request.tools or ()):
        if tool.function is not None and tool.function.name in own:
            message = f"the agent has a tool {tool.function.name!r} of its own: give yours another name"
            raise InvalidRequest(message, param=f"tools[{place}].function.name")


def _summaries(read: ConversationRead, history: History) -> tuple[Summary, ...]:
    """Those of turns that the agent may see, and that the request shows as they are stored."""
    if read.thread is None or not read.seen:
        return ()
    until = history.branched
    return tuple(one for one in read.thread.summaries if until is None or one.last < until)


def _wanted(tools: ToolSet, analysis: Analysis, agent: Agent) -> Sequence[tuple[ToolSpec, tuple[str, ...]]]:
    """Which data of which tool."""
    if "tools" not in agent.context.sources:
        return ()
    return tools.wanted(tuple(analysis.requirements.tool_data.get(REQUEST, ())))


def _with_prompt(history: History, prompt: str | None) -> History:
    """The agent's template in the place of what the user wrote; images beside the text stay."""
    if prompt is None:
        return history
    current = list(history.current)
    places = [place for place, message in enumerate(current) if message.role == "user"]
    if not places:
        return replace(history, current=(*current, Message(role="user", content=prompt)))
    asked = current[places[-1]]
    content = asked.content
    others = [part for part in content if part.type != "text"] if isinstance(content, list) else []
    filled = [ContentPart(type="text", text=prompt), *others] if others else prompt
    current[places[-1]] = replace(asked, content=filled)
    return replace(history, current=tuple(current))
