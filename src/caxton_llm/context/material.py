"""What was gathered for a request, before anybody knows which target gets it: on one scale of relevance, nothing chosen."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from caxton_llm.agents.conversation import Summary
from caxton_llm.agents.registry import CapabilityContext
from caxton_llm.agents.requirements import Requirements
from caxton_llm.context.conversation.excerpts import Excerpts
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.turns import History
from caxton_llm.context.pieces import Source, SourceGap
from caxton_llm.context.relevance import relevance, relevance_of_score
from caxton_llm.context.text_vectors import COMPARED, TextVectors
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.discreet import Discreet
from caxton_llm.memory.hits import ComparedHit, Hit, Searched
from caxton_llm.memory.model import Entity, Turn
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import ChatRequest

__all__ = ["Material", "Offer", "Remembered", "SourceGap", "compared", "remembered"]

_MOST_OBSERVATIONS = 8
"""Of one entity: those of the passage that was found, then the newest."""
_REST = 0.7
"""What an observation has of its entity's relevance at least; the rest depends on its own likeness to the query."""


class Remembered(Discreet, Struct, frozen=True, kw_only=True):
    """One thing that the memory knows: an observation of an entity, or what was said in another conversation."""

    record: str
    """The id of its record."""
    place: int
    """Which of the record's observations."""
    name: str
    text: str
    similarity: float | None
    score: float
    compared: ComparedHit | None = None
    """What the search has compared with the request, where that was all of it."""


class Offer(Struct, frozen=True, kw_only=True):
    """A tool that the model may be offered, with what it keeps, and the `likelihood` from 0 to 1 that it is used."""

    tool: ToldTool
    likelihood: float = 0.0
    is_likely: bool = False

    @property
    def spec(self) -> ToolSpec:
        return self.tool.spec


class Material(Discreet, Struct, frozen=True, kw_only=True):
    """Everything that a request's context may be made of. `memories` and `excerpts` have their scores on one scale."""

    request: ChatRequest
    """As it came: its tools and its schema of the answer take room, too."""
    instructions: str
    history: History
    requirements: Requirements
    memories: tuple[Remembered, ...] = ()
    excerpts: Excerpts = field(default_factory=Excerpts.none)
    """Of the past turns, as far as they were compared."""
    summaries: tuple[Summary, ...] = ()
    """Those that were made before."""
    capabilities: CapabilityContext | None = None
    offers: tuple[Offer, ...] = ()
    gaps: tuple[SourceGap, ...] = ()
    seconds: Mapping[Source, float] = {}


def compared(
    history: History, memories: Sequence[Remembered], query: str, past: PastTexts
) -> tuple[Excerpts, tuple[Remembered, ...]]:
    """What was said in the past turns, each part with its relevance to the query, and the memories on the same scale: half of
    a memory's relevance is what the search has found, half its own when it is compared with what was said."""
    told = past.parts(history.turns)
    counts = np.concatenate([np.empty(0, np.int64), *(one.counts for one in told)])
    said = [*chain.from_iterable([one.said for one in told])]
    if not said:
        return Excerpts.none(), tuple(memories)
    hits = [one.compared for one in memories if one.compared is not None]
    found = [one for one in memories if one.compared is not None]
    others = [one for one in memories if one.compared is None]
    times_s = np.full(len(said) + len(memories), np.nan)
    times_s[: len(said)] = np.concatenate([one.times_s for one in told]).repeat(counts)
    scores = relevance(
        query,
        [
            *(one.texts for one in told),
            *([past.vectors.found(_said(found), hits)] if found else []),
            *([past.vectors.compared(_said(others))] if others else []),
        ],
        past.vectors,
        times_s=times_s,
        apart=len(memories),
    )
    excerpts = Excerpts(
        parts=said,
        turns=np.repeat(np.arange(len(history.turns) - len(counts), len(history.turns)), counts),
        scores=scores[: len(said)],
    )
    own = scores[len(excerpts) :].tolist()
    ranked = (replace(one, score=(one.score + score) / 2) for one, score in zip([*found, *others], own, strict=True))
    return excerpts, tuple(sorted(ranked, key=lambda one: -one.score))


def _said(memories: Sequence[Remembered]) -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in memories]


def remembered(searches: Sequence[tuple[str, Searched]], query: str, vectors: TextVectors) -> tuple[Remembered, ...]:
    """What the searches, each with what it was for, have found, each once, the most relevant first."""
    best: dict[str, tuple[Hit, ComparedHit | None]] = {}
    asked = " ".join(query.split()) if len(query) <= COMPARED else None
    for sought, searched in searches:
        is_asked = sought == asked and searched.embedder == vectors.name
        for hit, was_compared in zip(searched.found.hits, searched.compared, strict=True):
            known = best.get(hit.record.id)
            if known is None or hit.score > known[0].score:
                best[hit.record.id] = hit, was_compared if is_asked else None
    parts = [(hit, *part) for hit, _ in best.values() for part in _observations(hit)]
    if not parts:
        return ()
    scores = relevance_of_score(np.array([hit.score for hit, *_ in parts]))
    several = Counter(hit.record.id for hit, *_ in parts)
    places = [place for place, (hit, *_) in enumerate(parts) if several[hit.record.id] > 1]
    if places:
        cosines = vectors.embed([parts[place][-1] for place in places]) @ vectors.embed([query])[0]
        scores[places] *= _REST + (1 - _REST) * np.maximum(cosines, 0.0)
    every = [
        Remembered(
            record=hit.record.id,
            place=place,
            name=name,
            text=text,
            similarity=hit.similarity,
            score=float(score),
            compared=best[hit.record.id][1] if several[hit.record.id] == 1 else None,
        )
        for (hit, place, name, text), score in zip(parts, scores, strict=True)
    ]
    return tuple(sorted(every, key=lambda one: -one.score))


def _observations(hit: Hit) -> Iterator[tuple[int, str, str]]:
    """What a record says: the number of each observation, whose it is, and the text."""
    record = hit.record
    if isinstance(record, Turn):
        yield 0, record.speaker or record.role, record.text
    elif isinstance(record, Entity) and not record.observations:
        yield 0, "", f"{record.name} ({record.type})"
    elif isinstance(record, Entity):
        numbered = list(enumerate(record.observations))
        numbered.sort(key=lambda one: (one[1].text not in hit.passage, -one[0]))
        for number, observation in numbered[:_MOST_OBSERVATIONS]:
            yield number, record.name, observation.text
