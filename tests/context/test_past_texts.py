"""What is made of past turns once serves every request after, and is what would be made anew."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.context.excerpts import Excerpts
from caxton_llm.context.kept import Kept
from caxton_llm.context.past_texts import PastTexts
from caxton_llm.context.text_vectors import ComparedTexts, TextVectors
from caxton_llm.context.turns import PastTurn
from caxton_llm.memory.embedding.embedder import TokenIds
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.types import ContentPart, FunctionCall, ImageUrl, Message, ToolCall
from made_up_material import VECTORS, costs_of, view

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


@given(st.lists(SAID, min_size=1, max_size=5).filter(any))
def test_texts_joined_are_what_all_of_them_are_together(several: list[list[tuple[str, str]]]) -> None:
    joined = ComparedTexts.joined(
        [VECTORS.compared(said).packed() for said in several] + [VECTORS.compared([]).packed()]
    )
    whole = VECTORS.compared([one for said in several for one in said])
    assert joined.names == whole.names
    for name in ("tokens", "token_counts", "terms", "term_counts", "asks"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist()
    assert (joined.vectors == whole.vectors).all()


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
    stored = PastTurn(number=0, messages=said, is_stored=True)
    (parts,), _ = past.compared([stored])
    (sentences,) = past.sentences([stored])
    assert [speaker for speaker, _ in parts] == ["user", "assistant"]
    assert len(sentences.lines) == 3
    assert embedder.counted == before


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
            past = PastTurn(number=0, messages=messages, is_stored=True)
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
