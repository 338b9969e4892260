"""How well a budget is used, and how much of a prompt stays from turn to turn (see `context.py`)."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np
from context_made_up import Speaker, entities, exchange, tools
from msgspec.json import encode
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent, AgentContext, AgentConversation
from caxton_llm.agents.conversation import ConversationKey
from caxton_llm.agents.registry import Addressed, CapabilityRegistry
from caxton_llm.context.compose import Composed
from caxton_llm.context.material import Offer
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.context_engine.engine import ContextEngine
from caxton_llm.context_engine.sources import ContextSources, SourceLimits
from caxton_llm.memory_system import Memory
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import O200kCounter, prompt_parts
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import ChatRequest, Message

KEY = ConversationKey("made-up", agent="Clerk")
PROMPT = (
    "You answer for the purchasing department. You name dates, places and amounts as they were said, you say where you are"
    " not sure, and you never promise a delivery that nobody has confirmed. Prices are net. Offices have their cities' names."
)
KINDS = ("openai", "anthropic", "ollama")
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "ollama": "qwen3"}
MEMORIES = 2_000
COUNT = O200kCounter().count


def agent_of(budget: int) -> Agent:
    return Agent(
        name="Clerk",
        system_prompt=PROMPT,
        tools=("*",),
        conversation=AgentConversation(strategy="full"),
        context=AgentContext(budget=budget),
    )


@contextlib.asynccontextmanager
async def engine_over(folder: Path, turns: int) -> AsyncIterator[ContextEngine]:
    """An engine with memories and a stored conversation of so many turns."""
    speaker = Speaker(7)
    with Memory.open(folder / "memory") as memory:
        memory.add(entities(speaker, MEMORIES))
        limits = SourceLimits(conversation_s=60.0, memory_s=60.0, tools_s=60.0)
        sources = ContextSources(folder / "conversations", memory=memory, limits=limits)
        if turns:
            sources.conversations().append(KEY, [exchange(speaker) for _ in range(turns)])
        try:
            yield ContextEngine(CapabilityRegistry([agent_of(8_000)]), sources)
        finally:
            await sources.aclose()


async def composed(
    engine: ContextEngine, agent: Agent, text: str, offered: list[ToolSpec], *, kind: str, results: int
) -> Composed:
    needs = {"context_requirements": {"memory_search": {"max_results": results}}}
    request = ChatRequest(model="agent:Clerk", messages=[Message(role="user", content=text)], extra={"context": needs})
    gathered = await engine.gather(request, Addressed(agent), key=KEY)
    # As tools of a server are, and without one: which are likely was not asked.
    with_tools = replace(gathered.material, offers=tuple(Offer(tool=ToldTool(spec)) for spec in offered))
    gathered = replace(gathered, material=with_tools)
    return engine.compose(gathered, engine.view(gathered, kind, ModelInfo(id=MODELS[kind], provider=kind)))


# -- use of the budget --------------------------------------------------------------------------------------------------


async def use(requests: int) -> list[tuple[str, str, str]]:
    """Budgets from 700 to 8,000 tokens, up to 20 tools, 100 memories found for each request and 80 turns said before."""
    speaker = Speaker(11)
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    exact: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with engine_over(Path(folder), 80) as engine:
            for number in range(requests):
                budget = speaker.random.randint(700, 8_000)
                offered = tools(speaker.random.randint(0, 20))
                kind = KINDS[number % len(KINDS)]
                text = " ".join(speaker.question() for _ in range(speaker.random.randint(1, 3)))
                made = await composed(engine, agent_of(budget), text, offered, kind=kind, results=100)
                # Where tools are offered, room is kept for what they give.
                room = budget - made.reserve
                shares[kind].append(made.tokens / room)
                if kind == "openai":
                    exact.append(exactly(made) / room)
    every = [share for some in shares.values() for share in some]
    rows = [
        ("utilisation as counted, average", ">= 0.90", f"{np.mean(every):.3f} (least {min(every):.3f})"),
        ("utilisation as counted, most", "<= 1.0", f"{max(every):.4f}"),
        ("exact tokens of the limit (openai), average", ">= 0.90", f"{np.mean(exact):.3f} (least {min(exact):.3f})"),
        ("exact tokens of the limit (openai), most", "<= 1.0", f"{max(exact):.4f}"),
    ]
    return rows + [(f"  {kind}, average", "", f"{np.mean(some):.3f}") for kind, some in shares.items()]


def exactly(made: Composed) -> int:
    """The prompt's tokens by the vocabulary of the model that it is for."""
    request = ChatRequest(model="", messages=list(made.messages), tools=list(made.tools) or None)
    return prompt_parts(request, made.target.kind, COUNT, model=made.target.model).tokens


# -- what stays of a prompt ---------------------------------------------------------------------------------------------


async def prefix(turns: int) -> list[tuple[str, str, str]]:
    """A conversation replayed: each turn is gathered, composed and then stored with its answer."""
    rows: list[tuple[str, str, str]] = []
    for kind in KINDS:
        shares, whole, changed = await replayed(kind, turns)
        rows += [
            (f"{kind}: unchanged beginning", ">= 0.9", f"{np.mean(shares):.3f} (least {min(shares):.3f})"),
            ("  of the whole prompt", "", f"{np.mean(whole):.3f}"),
            ("  turns with other definitions of tools", "0", str(changed)),
        ]
    return rows


async def replayed(kind: str, turns: int) -> tuple[list[float], list[float], int]:
    speaker, offered, agent = Speaker(13), tools(10), agent_of(8_000)
    payloads: list[list[str]] = []
    changed = 0
    with tempfile.TemporaryDirectory() as folder:
        async with engine_over(Path(folder), 0) as engine:
            for _ in range(turns):
                said = exchange(speaker, offered)
                made = await composed(engine, agent, str(said.messages[0].content), offered, kind=kind, results=5)
                payloads.append(parts(made))
                changed += len(payloads) > 1 and payloads[-1][: len(offered)] != payloads[-2][: len(offered)]
                engine.sources.conversations().append(KEY, [said])
    pairs = list(pairwise(payloads))
    return [share_of_shared(*pair) for pair in pairs], [share_of_whole(*pair) for pair in pairs], changed


def parts(made: Composed) -> list[str]:
    """What a provider reads, in its order: each tool, then each message, without the marks of a cache."""
    definitions = [encode(tool).decode() for tool in made.tools]
    return definitions + [written(message) for message in made.messages]


def written(message: Message) -> str:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text or "" for part in content or ())
    calls = "".join(f"\n{call.function}" for call in message.tool_calls or ())
    return f"{message.role}: {text}{calls}\n"


def beginning(one: list[str], other: list[str]) -> list[str]:
    """What both begin with."""
    return [mine for mine, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def share_of_shared(one: list[str], other: list[str]) -> float:
    """Of the tokens of tools and messages that both have, those before the first difference."""
    shared = sum(COUNT(part) * count for part, count in (Counter(one) & Counter(other)).items())
    return sum(map(COUNT, beginning(one, other))) / shared


def share_of_whole(one: list[str], other: list[str]) -> float:
    """Of all tokens of the second, those before the first difference; what was looked up is in the rest."""
    return sum(map(COUNT, beginning(one, other))) / sum(map(COUNT, other))
