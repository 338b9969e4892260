"""What follows is added to what was made of a run, nothing is made twice, and what is held stays within its bounds."""

import random
from collections.abc import Sequence
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.caching.runs import Runs
from in_threads import run_in_threads

HEAVIEST = 1_000


class Word:
    """One of a conversation; equal only to itself."""

    def __init__(self, text: str, weight: int = 1) -> None:
        self.text = text
        self.weight = weight


class Sentence:
    """What is made of words: it knows how many it was given."""

    given = 0

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.weights = 0

    def add(self, words: Sequence[Word]) -> None:
        type(self).given += len(words)
        self.texts += [word.text for word in words]
        self.weights += sum(word.weight for word in words)

    def weight(self) -> int:
        return self.weights


def runs() -> Runs[Word, Sentence]:
    Sentence.given = 0
    return Runs(Sentence, Sentence.add, Sentence.weight, heaviest=HEAVIEST)


def words(count: int, *, weight: int = 1) -> list[Word]:
    return [Word(str(number), weight) for number in range(count)]


def read(known: Runs[Word, Sentence], some: Sequence[Word]) -> list[str]:
    made, first = known.of(some)
    return made.texts[first : first + len(some)]


def test_of_a_conversation_that_grows_each_word_is_looked_at_once() -> None:
    known, said = runs(), words(60)
    for end in range(1, 60):
        some = said[max(0, end - 40) : end]
        assert read(known, some) == [word.text for word in some]
    assert Sentence.given == 59


def test_who_sees_less_of_it_takes_nothing_from_who_sees_more() -> None:
    known, said = runs(), words(100)
    for _ in range(200):
        read(known, said)
        read(known, said[80:])
    assert Sentence.given == 100


def test_what_nobody_asks_for_any_more_is_forgotten_in_time() -> None:
    known, said = runs(), words(600)
    for end in range(10, 601):
        read(known, said[end - 10 : end])
    made, _ = known.of(said[-10:])
    assert len(made.texts) < 300


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=15))
def test_any_part_of_any_conversation_is_what_it_is(parts: list[tuple[int, int]]) -> None:
    known, said = runs(), words(20)
    for one, other in parts:
        first, end = sorted((one, other))
        # The last word is another one each time: a branch.
        some = [*said[first:end], Word("end")]
        assert read(known, some) == [word.text for word in some]


def test_what_is_held_together_stays_within_its_bytes() -> None:
    known = runs()
    many = [words(10, weight=10) for _ in range(30)]
    for some in many:
        read(known, some)
    assert [known.hold(some) for some in many] == [False] * 20 + [True] * 10


def test_one_that_is_too_heavy_is_not_held_and_makes_no_other_go() -> None:
    known, small, heavy = runs(), words(10), words(2, weight=600)
    read(known, small)
    assert read(known, heavy) == ["0", "1"]
    assert known.hold(small)
    assert not known.hold(heavy)


def test_for_the_next_word_little_has_to_be_made_and_for_an_unknown_conversation_much() -> None:
    known, said = runs(), words(5)
    assert known.hold([])
    assert not known.hold(said)
    read(known, said[:4])
    assert known.hold(said)
    assert not known.hold(words(5))


def test_several_threads_read_what_is_there_whoever_adds_it() -> None:
    known, said = runs(), words(400)
    wrong: list[object] = []

    def reads(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(1, 400):
            end = min(400, max(1, number + chance.randint(-3, 3)))
            some = said[max(0, end - chance.randint(1, 50)) : end]
            if read(known, some) != [word.text for word in some]:
                wrong.append(some)

    run_in_threads(partial(reads, seed) for seed in range(6))
    assert wrong == []


@given(st.data())
def test_what_comes_again_as_the_same_tuple_is_what_it_was_also_when_the_run_has_grown(data: st.DataObject) -> None:
    known, said = runs(), words(60)
    asked = []
    for _ in range(12):
        first = data.draw(st.integers(0, 58))
        some = tuple(said[first : data.draw(st.integers(first + 1, 60))])
        asked.append(some)
        again = data.draw(st.sampled_from(asked))
        assert read(known, some) == [word.text for word in some]
        assert read(known, again) == [word.text for word in again]
