"""The window over a long conversation, and the digest of what is before it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.digest import Said, digest
from caxton_llm.context.window import HIGH, window_start
from caxton_llm.memory.embedding.static import StaticEmbedder

TURNS = st.lists(st.integers(1, 100), max_size=60)
EMBEDDER = StaticEmbedder.default()


def words(text: str) -> int:
    return len(text.split())


@given(TURNS, st.integers(1, 1000))
def test_the_window_has_room_for_its_turns_unless_the_last_one_alone_is_too_large(tokens: list[int], room: int) -> None:
    start = window_start(tokens, room)
    assert sum(tokens[start:]) <= HIGH * room or start == len(tokens) - 1


@given(TURNS, st.integers(1, 1000))
def test_the_window_never_moves_back(tokens: list[int], room: int) -> None:
    starts = [window_start(tokens[:end], room) for end in range(len(tokens) + 1)]
    assert starts == sorted(starts)


@given(st.integers(5, 20), st.integers(40, 200))
def test_the_beginning_stays_for_many_turns(turn: int, count: int) -> None:
    """With turns of one size, a quarter of the room is gained by every move."""
    room = 20 * turn
    starts = [window_start([turn] * end, room) for end in range(1, count)]
    moves = sum(one != other for one, other in itertools.pairwise(starts))
    assert moves <= count / 5


CONVERSATION = [
    Said("user", "Hello! Please analyse the Q3 sales data."),
    Said("assistant", "Sales in Q3 were 4.2 million, 12% above last year. Thanks for asking."),
    Said("user", "Which region sold most?"),
    Said("assistant", "The region Bavaria sold 1.3 million in Q3. It is a nice place."),
]


def test_a_digest_keeps_figures_and_names_word_for_word_in_their_order() -> None:
    text = digest(CONVERSATION, 30, words, EMBEDDER)
    assert "assistant: Sales in Q3 were 4.2 million, 12% above last year." in text
    assert "assistant: The region Bavaria sold 1.3 million in Q3." in text
    assert text.index("4.2 million") < text.index("Bavaria")
    assert "nice place" not in text


@given(st.integers(0, 60))
def test_a_digest_never_exceeds_its_room_and_repeats_itself(room: int) -> None:
    text = digest(CONVERSATION * 2, room, words, EMBEDDER)
    assert words(text) <= room
    assert text == digest(CONVERSATION * 2, room, words, EMBEDDER)
    lines = text.splitlines()
    assert len(lines) == len(set(lines))


def test_a_conversation_without_sentences_has_no_digest() -> None:
    assert digest([Said("user", "ok"), Said("assistant", "\n\n")], 100, words, EMBEDDER) == ""
