"""Gathered material that nobody has written: conversations, memories and tools of any size, equal for equal seeds."""

import random

from caxton_llm.agents.requirements import Requirements
from caxton_llm.context.budget import TargetView
from caxton_llm.context.context_meter import ContextMeter
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.turns import history_of
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material, Offer, Remembered, compared
from caxton_llm.context.render.provider import family_of
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.tokens import O200kCounter
from caxton_llm.tokens.calibrated import family_of as factors_of
from caxton_llm.tool_specs import ToolData, ToolSpec
from caxton_llm.types import ChatRequest, FunctionCall, Message, ToolCall

__all__ = [
    "COUNT",
    "METER",
    "PAST",
    "PROMPT",
    "VECTORS",
    "costs_of",
    "exchange",
    "material",
    "offers",
    "sentence",
    "view",
]

COUNT = O200kCounter().count
METER = ContextMeter(COUNT)
VECTORS = TextVectors(StaticEmbedder.default())
PAST = PastTexts(VECTORS)
PROMPT = (
    "You answer for the purchasing department. You name dates, places and amounts as they were said, you say where you are"
    " not sure, and you never promise a delivery that nobody has confirmed."
)
_WHO = ("Ann", "Ben", "Carla", "Deniz", "Emre", "Frida")
_DEEDS = ("ordered", "returned", "repaired", "sold", "tested", "cancelled")
_THINGS = ("chairs", "lamps", "desks", "pumps", "sensors", "reports")
_PLACES = ("Lisbon", "Oslo", "Graz", "Turin", "Ghent", "Porto")


def sentence(chance: random.Random) -> str:
    """Something that somebody may have said."""
    pick = chance.choice
    return f"{pick(_WHO)} {pick(_DEEDS)} {chance.randrange(2, 900)} {pick(_THINGS)} for the office in {pick(_PLACES)}."


def exchange(chance: random.Random, place: int) -> list[Message]:
    """A question and what answers it; every fourth calls a tool."""
    asked = Message(
        role="user", content=f"What do we know of the {chance.choice(_THINGS)} for {chance.choice(_PLACES)}?"
    )
    answered = Message(role="assistant", content=" ".join(sentence(chance) for _ in range(chance.randint(1, 4))))
    if place % 4:
        return [asked, answered]
    call = ToolCall(
        id=f"call_{place}", type="function", function=FunctionCall(name="find_0", arguments='{"title":"x"}')
    )
    result = Message(role="tool", tool_call_id=call.id, content=sentence(chance))
    return [asked, Message(role="assistant", tool_calls=[call]), result, answered]


def offers(count: int) -> tuple[Offer, ...]:
    """Tools, each with something that it keeps."""
    return tuple(
        Offer(
            tool=ToldTool(
                ToolSpec(
                    name=f"find_{number}",
                    server="purchases",
                    remote_name=f"find_{number}",
                    description=f"Find {_THINGS[number % 6]} by title and layout.",
                    input_schema={
                        "type": "object",
                        "properties": {"title": {"type": "string"}, "layout": {"type": "string"}},
                    },
                    requirements=None,
                ),
                (
                    ToolData(
                        key="layouts", value=["short", "long", f"plain-{number}"], source="resource", fetched_at=0.0
                    ),
                ),
            ),
            likelihood=number / max(1, count),
            is_likely=number % 2 == 0,
        )
        for number in range(count)
    )


def material(
    messages: list[Message],
    *,
    depth: int = 10,
    memories: int = 0,
    tools: tuple[Offer, ...] = (),
    chance: random.Random | None = None,
) -> Material:
    """What would have been gathered for a request with these messages."""
    chance = chance or random.Random(0)
    history = history_of(messages, None)
    request = ChatRequest(model="agent:Clerk", messages=messages)
    found = [
        Remembered(
            record=f"r{place}",
            place=0,
            name=f"Order {place}",
            text=sentence(chance),
            similarity=0.9,
            score=1 - place / (memories + 1),
        )
        for place in range(memories)
    ]
    excerpts, remembered = compared(history, found, str(messages[-1].content), PAST)
    return Material(
        request=request,
        instructions=PROMPT,
        history=history,
        requirements=Requirements(conversation_depth=depth),
        memories=remembered,
        excerpts=excerpts,
        offers=tools,
    )


def view(kind: str, budget: int) -> TargetView:
    """A model behind a kind of provider."""
    return TargetView(
        kind=kind,
        model="gpt-4o" if kind == "openai" else "some-model",
        family=family_of(kind),
        factors=factors_of(kind),
        budget=budget,
        limited_by="the agent's budget",
    )


def costs_of(target: TargetView) -> Costs:
    return Costs(METER, target.factors, target.kind, target.model)
