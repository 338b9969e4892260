"""What is made of past turns once serves every request after, and is what would be made anew."""

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.caching.kept import Kept
from caxton_llm.context.conversation.excerpts import Excerpts
from caxton_llm.context.conversation.past_parts import Parts, PastParts
from caxton_llm.context.conversation.past_texts import PastTexts
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.context.text_vectors import TextVectors
from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.tokens.meter import TokenMeter
from caxton_llm.types import ContentPart, FunctionCall, ImageUrl, Message, ToolCall
from made_up_material import VECTORS, costs_of, sentence, view

WORDS = st.sampled_from(["Ann", "likes", "tea", "and", "the", "report", "in", "Lisbon?", "12", "caf\u00e9"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)
SAID = st.lists(st.tuples(st.sampled_from(["", "Ann", "Bo"]), TEXTS), max_size=5)


def turn(asked: str, answer: str = "Nine of them.") -> tuple[Message, ...]:
    return Message(role="user", content=asked), Message(role="assistant", content=answer)


class Made:
    """How often something was made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, value: list[str]) -> int:
        self.times += 1
        return self.times


def test_of_the_same_object_something_is_made_once_and_of_a_long_one_each_time() -> None:
    kept = Kept(Made(), lambda value, _: 1 if len(value) < 3 else None, heaviest=2)
    short, equal, long = ["a"], ["a"], ["b", "b", "b"]
    assert kept.of_each([short, short, equal, short]) == [1, 1, 2, 1]
    assert [kept.of(long), kept.of(long)] == [3, 4]
    other = ["c"]
    assert [kept.of(other), kept.of(equal), kept.of(short)] == [5, 2, 6]  # of three the first made room


def columns(found: Sequence[Parts]) -> list[object]:
    """Of all parts everything that is known."""
    texts = [one.texts for one in found]
    said = [part for one in found for part in one.said]
    names = [name for one in texts for name in one.names]
    arrays = [
        np.concatenate(several).tolist()
        for several in zip(
            *[(one.tokens, one.token_counts, one.terms, one.term_counts, one.asks, one.vectors) for one in texts],
            strict=True,
        )
    ]
    counts = [number for one in found for number in one.counts.tolist()]
    return [said, names, counts, [str(at) for one in found for at in one.times_s.tolist()], *arrays]


@settings(max_examples=40)
@given(
    said=st.lists(st.tuples(SAID, st.booleans(), st.none() | st.integers(0, 9)), min_size=1, max_size=12),
    seen=st.integers(1, 12),
    data=st.data(),
)
def test_a_conversation_that_grows_is_known_as_one_that_is_looked_at_anew(
    said: list[tuple[list[tuple[str, str]], bool, int | None]], seen: int, data: st.DataObject
) -> None:
    turns = [
        PastTurn(
            number=number,
            messages=tuple(Message(role="user", name=name or None, content=text) for name, text in messages),
            at=None if at is None else float(at),
            is_kept=is_kept,
        )
        for number, (messages, is_kept, at) in enumerate(said)
    ]
    past, other = PastParts(VECTORS), turns[-1]
    for end in sorted(data.draw(st.lists(st.integers(1, len(turns)), max_size=8))):
        shown = turns[max(0, end - seen) : end]
        anew = PastParts(VECTORS).of([replace(turn, is_kept=False) for turn in shown])
        assert columns(past.of(shown)) == columns(anew)
        # Somebody else has gone on from there in another way.
        past.of([*shown[:-1], other])


def test_what_was_handed_out_of_a_conversation_stays_when_it_grows() -> None:
    chance = random.Random(5)
    turns = [PastTurn(number=number, messages=turn(sentence(chance)), is_kept=True) for number in range(300)]
    past = PastParts(VECTORS)
    shown = past.of(turns[:100])
    before = columns(shown)
    for end in range(101, 300):
        past.of(turns[end - 100 : end])
    assert columns(shown) == before
    assert columns(past.of(turns[200:])) == columns(PastParts(VECTORS).of(turns[200:]))


class Counting(StaticEmbedder):
    """Knows how many texts it has split into tokens."""

    counted = 0

    def tokens(self, text: str) -> TokenIds:
        self.counted += 1
        return super().tokens(text)


def counting() -> Counting:
    embedder = object.__new__(Counting)
    embedder.__dict__.update(StaticEmbedder.default().__dict__)
    return embedder


def test_what_was_expected_is_ready_when_it_comes() -> None:
    embedder = counting()
    past = PastTexts(TextVectors(embedder))
    past.expect(turn("How many chairs has Ann ordered? The invoice of May says it."))
    before = embedder.counted
    assert before > 0
    said = turn("How many chairs has Ann ordered? The invoice of May says it.")
    stored = PastTurn(number=0, messages=said, is_kept=True)
    (parts,) = past.parts([stored])
    sentences = past.ranked([stored], 0, 1)
    assert [speaker for speaker, _ in parts.said] == ["user", "assistant"]
    assert len(sentences.places) == 3
    assert embedder.counted == before


def test_of_a_long_conversation_only_the_turns_that_are_digested_are_looked_at() -> None:
    embedder, chance = counting(), random.Random(8)
    past = PastTexts(TextVectors(embedder))
    turns = [PastTurn(number=number, messages=turn(sentence(chance)), is_kept=True) for number in range(2_000)]
    digested = past.ranked(turns, 1_900, 1_950)
    assert len(digested.places) == 100
    assert embedder.counted < 300


def test_it_is_known_what_has_to_be_looked_at_anew() -> None:
    chance = random.Random(6)
    past = PastTexts(VECTORS)
    turns = [PastTurn(number=number, messages=turn(sentence(chance)), is_kept=True) for number in range(6)]
    assert past.are_at_hand([])
    assert not past.are_at_hand(turns[:5])
    past.parts(turns[:5])
    assert past.are_at_hand(turns[:5])
    assert past.are_at_hand(turns)
    assert not past.are_at_hand([replace(turns[0], is_kept=False), *turns[1:]])


def test_a_long_turn_is_looked_at_once_and_not_at_hand_before() -> None:
    embedder, chance = counting(), random.Random(7)
    past = PastTexts(TextVectors(embedder))
    turns = [PastTurn(number=number, messages=turn(sentence(chance)), is_kept=True) for number in range(4)]
    past.parts(turns)
    long = " ".join(sentence(chance) for _ in range(300))
    assert len(long) > 8_000
    turns.append(PastTurn(number=4, messages=turn(long), is_kept=True, characters=len(long)))
    assert not past.are_at_hand(turns)
    past.parts(turns)
    past.ranked(turns, 0, 5)
    assert past.are_at_hand(turns)
    before = embedder.counted
    past.parts(turns)
    assert len(past.ranked(turns, 0, 4).places) < len(past.ranked(turns, 0, 5).places)
    assert embedder.counted == before


def test_what_is_long_is_measured_once() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text.split())

    meter = TokenMeter(count)
    for text in ("word " * 2_000, "line of words\n" * 1_000):
        assert meter.measure(text)[0] == len(text.split())
        before = len(counted)
        assert meter.measure(text) == meter.measure(text[:-1] + text[-1:])
        assert len(counted) == before
        assert meter.measure(f"{text}more")[0] == len(text.split()) + 1


def test_a_turn_costs_what_its_messages_cost() -> None:
    call = ToolCall(id="1", function=FunctionCall("look", '{"where": "Lisbon"}'))
    image = ContentPart(type="image_url", image_url=ImageUrl(url="https://example.com/a.png"))
    turns = [
        turn("How many?"),
        turn("Dans quel caf\u00e9?", '{"caf\u00e9": ["a", "b"]}'),
        (Message(role="user", content="Look"), Message(role="assistant", tool_calls=[call])),
        (Message(role="user", content=[ContentPart(type="text", text="What is it?"), image]),),
        (Message(role="user", name="Ann", content="Hello"),),
    ]
    for target in (view("openai", 8_000), view("anthropic", 8_000)):
        costs = costs_of(target)
        for messages in turns + turns:
            past = PastTurn(number=0, messages=messages, is_kept=True)
            assert costs.turn(past) == costs.turn(past) == sum(map(costs.message, messages))


@settings(max_examples=60)
@given(
    parts=st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), max_size=20),
    first=st.integers(0, 6),
    end=st.integers(0, 7),
    most=st.integers(1, 5),
)
def test_of_the_turns_between_two_the_best_parts_are_found(
    parts: list[tuple[int, float]], first: int, end: int, most: int
) -> None:
    parts.sort(key=lambda part: part[0])
    excerpts = Excerpts(
        tuple(("user", str(place)) for place in range(len(parts))),
        np.array([number for number, _ in parts], np.int64),
        np.array([score for _, score in parts]),
    )
    found, others = excerpts.between(first, max(first, end), least=0.5, most=most)
    among = [one for one in excerpts if first <= one.turn < end]
    worth = sorted((one for one in among if one.score >= 0.5), key=lambda one: -one.score)
    assert found == worth[:most]
    assert others == len(among) - len(found)
