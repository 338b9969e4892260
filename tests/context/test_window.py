"""The window over a long conversation, and the digest of what is before it."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.conversation.digest import Ranked, Said, digest, sentences_of
from caxton_llm.context.conversation.window import window_start
from caxton_llm.memory.embedding.static import StaticEmbedder

TOKENS = st.lists(st.integers(1, 100), max_size=60)
EMBEDDER = StaticEmbedder.default()


def words(text: str) -> int:
    return len(text.split())


@given(TOKENS, st.integers(0, 1000), st.integers(0, 20))
def test_the_window_keeps_to_its_depth_and_its_room(tokens: list[int], room: int, depth: int) -> None:
    start = window_start(range(len(tokens)), tokens.__getitem__, depth=depth, room=room, most=room)
    assert sum(tokens[start:]) <= room
    assert len(tokens) - start <= depth


@given(TOKENS, st.integers(0, 1000), st.integers(1, 20))
def test_the_window_has_at_least_half_of_what_could_be_in_it(tokens: list[int], room: int, depth: int) -> None:
    start = window_start(range(len(tokens)), tokens.__getitem__, depth=depth, room=room, most=room)
    possible = 0
    while possible < min(depth, len(tokens)) and sum(tokens[len(tokens) - possible - 1 :]) <= room:
        possible += 1
    assert 2 * (len(tokens) - start) >= possible


@given(TOKENS, st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 20))
def test_half_of_what_is_wanted_is_sent_where_there_is_any_room(
    tokens: list[int], room: int, more: int, depth: int
) -> None:
    start = window_start(range(len(tokens)), tokens.__getitem__, depth=depth, room=room, most=room + more)
    half = min(len(tokens), (depth + 1) // 2)
    sent = len(tokens) - start
    if half and sum(tokens[-half:]) <= room + more:
        assert sent >= half
    assert sent <= half or sum(tokens[start:]) <= room
    assert sum(tokens[start:]) <= room + more


@given(st.integers(4, 40), st.integers(60, 200))
def test_the_beginning_stays_for_many_turns(depth: int, count: int) -> None:
    starts = [
        window_start(range(end), lambda _: 10, depth=depth, room=10_000, most=10_000) for end in range(depth, count)
    ]
    moves = sum(one != other for one, other in itertools.pairwise(starts))
    assert moves <= len(starts) / (depth // 2 + 1) + 1
    assert starts == sorted(starts)


def test_ten_exchanges_are_five_to_ten() -> None:
    sizes = [end - window_start(range(end), lambda _: 10, depth=10, room=10_000, most=10_000) for end in range(10, 40)]
    assert (min(sizes), max(sizes)) == (5, 10)


def test_where_a_conversation_is_read_from_does_not_move_its_window() -> None:
    """A store gives the last turns; they keep their numbers."""
    whole = window_start(range(100), lambda _: 10, depth=10, room=1000, most=1000)
    part = window_start(range(60, 100), lambda _: 10, depth=10, room=1000, most=1000)
    assert part + 60 == whole


def test_of_a_long_conversation_only_what_has_room_is_counted() -> None:
    counted = []

    def tokens(place: int) -> int:
        counted.append(place)
        return 10

    start = window_start(range(1_000_000), tokens, depth=1_000_000, room=1_000, most=1_000)
    assert 1_000_000 - start >= 50
    assert len(counted) == 101


CONVERSATION = [
    Said("user", "Hello! Please analyse the Q3 sales data."),
    Said("assistant", "Sales in Q3 were 4.2 million, 12% above last year. Thanks for asking."),
    Said("user", "Which region sold most?"),
    Said("assistant", "The region Bavaria sold 1.3 million in Q3. It is a nice place."),
]


def digested(said: Sequence[Said], room: int) -> str:
    return digest(Ranked.of([sentences_of([one], EMBEDDER) for one in said]), room, words)


def test_a_digest_keeps_figures_and_names_word_for_word_in_their_order() -> None:
    text = digested(CONVERSATION, 30)
    assert "assistant: Sales in Q3 were 4.2 million, 12% above last year." in text
    assert "assistant: The region Bavaria sold 1.3 million in Q3." in text
    assert text.index("4.2 million") < text.index("Bavaria")
    assert "nice place" not in text


@given(st.integers(0, 60))
def test_a_digest_never_exceeds_its_room_and_repeats_itself(room: int) -> None:
    text = digested(CONVERSATION * 2, room)
    assert words(text) <= room
    assert text == digested(CONVERSATION * 2, room)
    lines = text.splitlines()
    assert len(lines) == len(set(lines))


def test_a_conversation_without_sentences_has_no_digest() -> None:
    assert digested([Said("user", "ok"), Said("assistant", "\n\n")], 100) == ""


def test_a_conversation_of_long_turns_has_a_digest_all_the_same() -> None:
    long = [
        Said("user", f"{'Nobody has said anything. ' * 200} In Q3 the office {place} had sales.") for place in range(90)
    ]
    assert digested([*CONVERSATION, *long], 60) == digested([*CONVERSATION, *long], 60) != ""
