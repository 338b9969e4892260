"""Sentences, conversations, memories and tools that nobody has said: what `context.py` measures with, equal in every run."""

import random
from collections.abc import Sequence

from caxton_llm.agents.conversation import Exchange
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import FunctionCall, Message, ToolCall

WHO = ("Ann", "Ben", "Carla", "Deniz", "Emre", "Frida", "Goran", "Hana", "Ivo", "Jette")
DEEDS = ("ordered", "returned", "repaired", "asked for", "sold", "tested", "moved", "counted", "designed", "cancelled")
THINGS = ("chairs", "lamps", "desks", "pumps", "sensors", "reports", "contracts", "charts", "bicycles", "filters")
KINDS = ("blue", "small", "wooden", "spare", "old", "new", "cheap", "quarterly", "heavy", "digital")
PLACES = ("Lisbon", "Oslo", "Graz", "Turin", "Ghent", "Porto", "Bergen", "Basel", "Lyon", "Malmo")
MONTHS = ("January", "March", "April", "June", "July", "September", "October", "November")
WHY = (
    "because the delivery was late",
    "as the team had decided in the last meeting",
    "which the customer had asked for twice",
    "although the budget of the department was nearly spent",
    "so that the office can open on time",
    "after the inspection had found three faults",
)


class Speaker:
    """Sentences by chance, of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def sentence(self) -> str:
        pick = self.random.choice
        said = f"{pick(WHO)} {pick(DEEDS)} {self.random.randrange(2, 400)} {pick(KINDS)} {pick(THINGS)}"
        return f"{said} for the office in {pick(PLACES)} in {pick(MONTHS)} {pick(WHY)}."

    def question(self) -> str:
        pick = self.random.choice
        return f"What do we know of the {pick(KINDS)} {pick(THINGS)} that {pick(WHO)} {pick(DEEDS)} for {pick(PLACES)}?"

    def text(self, least: int, most: int) -> str:
        return " ".join(self.sentence() for _ in range(self.random.randint(least, most)))


def exchange(speaker: Speaker, tools: Sequence[ToolSpec] = ()) -> Exchange:
    """A question, sometimes a call of a tool with its result, and the answer."""
    messages = [Message(role="user", content=speaker.question())]
    if tools and speaker.random.random() < 0.25:
        called = speaker.random.choice(tools).name
        call = ToolCall(
            id=f"call_{speaker.random.randrange(10**9)}",
            type="function",
            function=FunctionCall(name=called, arguments='{"title":"deliveries"}'),
        )
        messages.append(Message(role="assistant", tool_calls=[call]))
        messages.append(Message(role="tool", tool_call_id=call.id, content=speaker.text(1, 4)))
    return Exchange(messages=(*messages, Message(role="assistant", content=speaker.text(1, 4))))


def entities(speaker: Speaker, count: int) -> list[Entity]:
    """What is remembered: one to three observations each."""
    return [
        Entity(
            name=f"{speaker.random.choice(PLACES)} {speaker.random.choice(THINGS)} {number}",
            type="note",
            observations=tuple(Observation(speaker.sentence()) for _ in range(speaker.random.randint(1, 3))),
        )
        for number in range(count)
    ]


def tools(count: int) -> list[ToolSpec]:
    """Definitions of tools of no server."""
    return [
        ToolSpec(
            name=f"find_{KINDS[number % 10]}_{THINGS[number // 10 % 10]}_{number}",
            server="",
            remote_name=f"find_{number}",
            description=f"Find {KINDS[number % 10]} {THINGS[number // 10 % 10]} by title, place and month.",
            input_schema={
                "type": "object",
                "properties": {name: {"type": "string", "description": f"The {name}"} for name in ("title", "place")},
                "required": ["title"],
            },
            requirements=None,
        )
        for number in range(count)
    ]
