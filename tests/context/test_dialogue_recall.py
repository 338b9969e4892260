"""What a long dialogue has said is found again: by names, by times, and no worse for being said twice."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.json import decode

from caxton_llm.agents.conversation import Exchange, Position, Thread
from caxton_llm.context.conversation.turns import history_of
from caxton_llm.context.material import compared, remembered
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.model import Turn
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json, Message
from made_up_material import PAST, VECTORS, sentence

DATA = Path(__file__).parents[3] / "shared/locomo/dev.json"


def day(month: int) -> float:
    return datetime(2023, month, 5, tzinfo=UTC).timestamp()


def best(exchanges: list[Exchange], query: str, count: int = 1) -> list[str]:
    """The parts of a conversation that have most to do with a query."""
    thread = Thread(position=Position(1, len(exchanges)), exchanges=tuple(exchanges))
    history = history_of([Message(role="user", content=query)], thread)
    excerpts, _ = compared(history, (), query, PAST)
    return [one.text for one in sorted(excerpts, key=lambda one: -one.score)[:count]]


def said(text: str, *, number: int, speaker: str | None = None, at: float | None = None) -> Exchange:
    return Exchange(messages=(Message(role="user", name=speaker, content=text),), number=number, at=at)


def test_who_the_request_names_comes_first() -> None:
    chance = random.Random(1)
    others = [said(sentence(chance), number=place) for place in range(20)]
    names = enumerate(("Maria", "Jo"), 20)
    both = [said("I painted a lake last week", number=place, speaker=name) for place, name in names]
    thread = Thread(position=Position(1, 22), exchanges=(*others, *both))
    history = history_of([Message(role="user", content="What did Jo paint?")], thread)
    excerpts, _ = compared(history, (), "What did Jo paint?", PAST)
    assert max(excerpts, key=lambda one: one.score).speaker == "Jo"


def test_what_is_from_the_time_that_the_request_names_comes_first() -> None:
    things = ["pumps", "lamps", "desks", "chairs", "filters", "sensors"]
    exchanges = [said(f"We moved the old {one}", number=place, at=day(place + 3)) for place, one in enumerate(things)]
    assert best(exchanges, "What was moved in May 2023?") == ["We moved the old desks"]


def test_a_pause_parts_what_was_said() -> None:
    """The answer stands beside its question; what was said months later does not share in it."""
    chance = random.Random(2)
    filler = [said(sentence(chance), number=place, at=day(1)) for place in range(12)]
    asked = said("Which instrument does Joanna play in the orchestra?", number=12, at=day(2))
    answer = said("It was the second violin, for nine years", number=13, at=day(2))
    later = said("It was the second violin, for nine years!", number=13, at=day(8))
    query = "Which instrument does Joanna play in the orchestra?"

    def score(last: Exchange) -> float:
        exchanges = (*filler, asked, last)
        thread = Thread(position=Position(1, 14), exchanges=exchanges)
        history = history_of([Message(role="user", content=query)], thread)
        return compared(history, (), query, PAST)[0].scores.item(-1)

    assert score(answer) > score(later)


def test_evidence_of_locomo_is_among_the_most_relevant_turns() -> None:
    """The licence keeps the data out of the repository: without them nothing is measured."""
    if not DATA.is_file():
        pytest.skip(f"{DATA.name} is not there")
    dialogue: Json = decode(DATA.read_bytes())[0]
    ids: dict[str, str] = {}
    exchanges: list[Exchange] = []
    for session in range(1, 100):
        for turn in dialogue["conversation"].get(f"session_{session}", ()):
            ids[turn["text"].strip()] = turn["dia_id"]
            exchanges.append(said(turn["text"], number=len(exchanges), speaker=turn["speaker"], at=session * 1e6))
    asked = [one for one in dialogue["qa"] if one["category"] == 4 and one["evidence"]][:40]
    found = [
        len({ids[text] for text in best(exchanges, one["question"], 25)} & set(one["evidence"])) / len(one["evidence"])
        for one in asked
    ]
    assert sum(found) / len(found) >= 0.8


def test_of_a_very_long_conversation_the_last_parts_are_compared() -> None:
    exchanges = [said(f"Item {place} is blue", number=place) for place in range(4_200)]
    found = best(exchanges, "Which item is blue?", 5_000)
    assert len(found) == 4_000
    assert "Item 199 is blue" not in found
    assert "Item 200 is blue" in found


def test_texts_are_compared_by_their_beginning() -> None:
    one, other = ("Ann ordered nine chairs. " * 100 + end for end in ("Yes.", "No."))
    first, second = VECTORS.embed([one, other])
    assert (first == second).all()


@pytest.mark.parametrize("query", ["What did Jo say about the second violin?", "Who sleeps on the printer?"])
def test_what_a_search_has_compared_has_the_relevance_that_it_has_when_it_is_compared_anew(
    tmp_path: Path, query: str
) -> None:
    chance = random.Random(3)
    exchanges = [said(sentence(chance), number=place) for place in range(30)]
    history = history_of(
        [Message(role="user", content=query)], Thread(position=Position(1, 30), exchanges=tuple(exchanges))
    )
    texts = ["The second violin is mine", "The cat sleeps on the printer", *(sentence(chance) for _ in range(6))]
    speakers = ("Jo", "Maria")
    turns = [
        Turn(conversation="c", index=place, role="user", speaker=speakers[place % 2], text=text)
        for place, text in enumerate(texts)
    ]
    with Memory(SqliteMemory(tmp_path, StaticEmbedder.default(), background=False)) as memory:
        memory.add(turns)
        searched = memory.searched(query, max_results=8)
    known = remembered([(query, searched)], query, VECTORS)
    unknown = remembered([("something else", searched)], query, VECTORS)
    assert all(one.compared is not None for one in known)
    assert all(one.compared is None for one in unknown)
    excerpts, ranked = compared(history, known, query, PAST)
    excerpts_anew, ranked_anew = compared(history, unknown, query, PAST)
    assert {one.record: one.score for one in ranked} == pytest.approx(
        {one.record: one.score for one in ranked_anew}, abs=2e-3
    )
    assert [one.score for one in excerpts] == pytest.approx([one.score for one in excerpts_anew], abs=2e-3)
