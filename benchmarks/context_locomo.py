"""Evidence recall of the whole engine on LoCoMo: turns as a conversation, observations as memory (see `context.py`)."""

import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
from locomo import CATEGORIES, NOW_S, Conversation, Dialogue
from msgspec import Struct
from msgspec.json import decode
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent, AgentConversation
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.agents.registry import Addressed, CapabilityRegistry
from caxton_llm.context import choosing
from caxton_llm.context.compose import Composed
from caxton_llm.context.costs import Costs
from caxton_llm.context.render.provider import excerpt_line
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext
from caxton_llm.context_engine.sources import ContextSources, SourceLimits
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory.scoring import Weights
from caxton_llm.memory_system import Memory
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, Message, Role

BUDGETS = (500, 1_000, 2_000)
AGENT = Agent(name="Companion", conversation=AgentConversation(strategy="full"))
KEY = ConversationKey("told", agent="Companion")
MODEL = ModelInfo(id="some-model", provider="builtin")
NEEDS = {"context_requirements": {"conversation_depth": 0, "memory_search": {"max_results": 200}}}
PATIENT = SourceLimits(conversation_s=60.0, memory_s=60.0, tools_s=60.0)
_ARTICLE = re.compile(r"\b(?:the|a|an) ")

Observed = dict[str, dict[str, list[tuple[str, str | list[str]]]]]
"""By session and speaker: a text, and the ids of the turns that it is from."""


class ObservedDialogue(Dialogue):
    observation: Observed


class Told(Struct):
    """One dialogue as the engine has it, and where its texts are from."""

    engine: ContextEngine
    search: Conversation
    turns: Mapping[tuple[int, str], str]
    """The id of a turn by its exchange and its text."""
    texts: Mapping[str, tuple[str, str]]
    """Who said what in a turn."""
    observed: Mapping[str, frozenset[str]]
    """The turns that an observation is from."""


def exchanges_of(dialogue: Dialogue) -> tuple[list[Exchange], dict[tuple[int, str], str]]:
    """What the first speaker says begins an exchange, what the other says belongs to it."""
    exchanges: list[Exchange] = []
    ids: dict[tuple[int, str], str] = {}
    turns = dialogue.sessions()
    user = turns[0][1].speaker
    for place, (session, said) in enumerate(turns):
        role: Role = "user" if said.speaker == user else "assistant"
        message = Message(role=role, name=said.speaker, content=said.said)
        if role == "user" or place == 0 or turns[place - 1][0] != session:
            exchanges.append(Exchange(messages=(message,), at=dialogue.time_s(session)))
        else:
            exchanges[-1] = replace(exchanges[-1], messages=(*exchanges[-1].messages, message))
        ids[len(exchanges) - 1, said.said.strip()] = said.dia_id
    return exchanges, ids


def observations(dialogue: ObservedDialogue) -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Session, speaker, text, and the turns that it is from."""
    for session, by_speaker in dialogue.observation.items():
        for speaker, every in by_speaker.items():
            for text, ids in every:
                found = re.findall(r"D\d+:\d+", " ".join([ids] if isinstance(ids, str) else ids))
                yield session.removesuffix("_observation"), speaker, text, frozenset(found)


def repeated(text: str, place: int) -> str:
    """The same in other words of spelling, or in a longer text."""
    if place % 3 == 0:
        return _ARTICLE.sub("", text).rstrip(".").upper()
    if place % 3 == 1:
        return text.lower().replace(",", "").rstrip(".") + "!"
    return f"As was said before, {text.rstrip('.')} and that was all there was to it."


@contextlib.asynccontextmanager
async def told(dialogue: ObservedDialogue, folder: Path, *, with_duplicates: bool) -> AsyncIterator[Told]:
    """An engine with the dialogue; with duplicates every third observation is there twice."""
    by_name: dict[tuple[str, str], list[str]] = {}
    observed: dict[str, frozenset[str]] = {}
    for place, (session, speaker, text, ids) in enumerate(observations(dialogue)):
        copies = [repeated(text, place // 3)] if with_duplicates and place % 3 == 0 else []
        for kind, one in ((session, text), *((f"copy of {session}", copy) for copy in copies)):
            by_name.setdefault((speaker, kind), []).append(one)
            observed[one] = observed.get(one, frozenset()) | ids
    exchanges, turns = exchanges_of(dialogue)
    with Memory.open(folder / "memory") as memory:
        memory.add(
            [
                Entity(name=speaker, type=kind, observations=tuple(map(Observation, texts)))
                for (speaker, kind), texts in by_name.items()
            ]
        )
        sources = ContextSources(folder / "conversations", memory=memory, limits=PATIENT)
        sources.conversations().append(KEY, exchanges)
        engine = ContextEngine(CapabilityRegistry([AGENT]), sources)
        try:
            texts = {said.dia_id: (said.speaker, said.said) for _, said in dialogue.sessions()}
            yield Told(engine, Conversation(dialogue, folder / "turns"), turns, texts, observed)
        finally:
            await sources.aclose()


async def gathered(told: Told, question: str) -> GatheredContext:
    request = ChatRequest(
        model="agent:Companion", messages=[Message(role="user", content=question)], extra={"context": NEEDS}
    )
    return await told.engine.gather(request, Addressed(AGENT), key=KEY)


def composed(told: Told, found: GatheredContext, tokens: int) -> Composed:
    """A context in which what was looked up has at most so many tokens."""
    view = told.engine.view(found, "builtin", MODEL)
    bare = told.engine.costs(view)
    fixed = bare.frame(found.request, offers_tools=False) + sum(map(bare.message, found.history.current))
    budget = fixed + tokens + 60
    while True:
        made = told.engine.compose(found, replace(view, budget=budget))
        spent = sum(one.piece.tokens for one in made.decisions if one.kept and one.piece.tier in ("memory", "older"))
        if spent <= tokens:
            return made
        budget -= spent - tokens


def recalled(told: Told, found: GatheredContext, made: Composed) -> set[str]:
    """The turns that are told: as they were said, or by an observation."""
    places = {f"conversation:{one.place}": one for one in found.material.excerpts}
    kept = [one.piece for one in made.decisions if one.kept]
    said = {told.turns[place.turn, place.text] for piece in kept if (place := places.get(piece.id)) is not None}
    return said.union(*(told.observed[piece.text] for piece in kept if piece.source == "memory"))


def packed(told: Told, question: str, costs: Costs, tokens: int) -> set[str]:
    """What the search in the memory alone brings of the same turns: the best that fit."""
    texts = told.texts
    chosen = set()
    for one in told.search.ranked(question, Weights(), 200, NOW_S):
        cost = costs.text(excerpt_line(*texts[one]) + "\n")
        if cost <= tokens:
            chosen.add(one)
            tokens -= cost
    return chosen


async def recall(dialogues: bytes, every: int) -> list[tuple[str, str, str]]:
    """Rows of the table; of the questions each `every`-th."""
    rows: dict[str, list[list[float]]] = {name: [] for name in ("engine", "search", "duplicates", "kept")}
    for dialogue in decode(dialogues, type=list[ObservedDialogue]):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
            async with (
                told(dialogue, Path(folder), with_duplicates=False) as plain,
                told(dialogue, Path(other), with_duplicates=True) as doubled,
            ):
                for question, evidence in asked(dialogue, plain, every):
                    await one_question(question, evidence, plain, doubled, rows)
    means = {name: np.mean(np.array(values), axis=0) for name, values in rows.items()}
    table = [("questions", "", str(len(rows["engine"])))]
    for place, budget in enumerate(BUDGETS):
        table += [
            (f"{budget} tokens: engine", f">= {means['search'][place]:.3f}", f"{means['engine'][place]:.3f}"),
            ("  with duplicates", f">= {means['kept'][place]:.3f}", f"{means['duplicates'][place]:.3f}"),
        ]
    return table


def asked(dialogue: Dialogue, told: Told, every: int) -> list[tuple[str, set[str]]]:
    found = []
    for question in dialogue.qa:
        evidence = {turn for turn in question.turns() if turn in told.search}
        if question.category in CATEGORIES and evidence:
            found.append((question.question, evidence))
    return found[::every]


async def one_question(
    question: str, evidence: set[str], plain: Told, doubled: Told, rows: dict[str, list[list[float]]]
) -> None:
    def share(found: set[str]) -> float:
        return len(found & evidence) / len(evidence)

    first, second = await gathered(plain, question), await gathered(doubled, question)
    costs = plain.engine.costs(plain.engine.view(first, "builtin", MODEL))
    rows["engine"].append([share(recalled(plain, first, composed(plain, first, budget))) for budget in BUDGETS])
    rows["search"].append([share(packed(plain, question, costs, budget)) for budget in BUDGETS])
    rows["duplicates"].append(
        [share(recalled(doubled, second, composed(doubled, second, budget))) for budget in BUDGETS]
    )
    with without_redundancy():
        rows["kept"].append([share(recalled(doubled, second, composed(doubled, second, budget))) for budget in BUDGETS])


@contextlib.contextmanager
def without_redundancy() -> Iterator[None]:
    """What repeats another stays."""
    with patch.object(choosing, "repetitions", lambda *_, **__: []):
        yield
