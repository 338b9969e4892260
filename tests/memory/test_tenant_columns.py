"""What a tenant's columns remember of tokens, of names and of turns beside each other, however it grew."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.token_bytes import token_bytes
from caxton_llm.stores.sqlite_memory.beside import Beside
from caxton_llm.stores.sqlite_memory.name_bits import NameBits
from caxton_llm.stores.sqlite_memory.token_rows import TokenRows
from in_threads import run_in_threads

VOCABULARY = StaticEmbedder.default()
SIZE = VOCABULARY.vocabulary_size
TEXTS = st.lists(st.lists(st.integers(0, SIZE - 1), max_size=6), max_size=12)


@given(st.lists(TEXTS, max_size=4), st.data())
def test_every_row_keeps_its_distinct_tokens_and_they_are_counted(
    batches: list[list[list[int]]], data: st.DataObject
) -> None:
    rows = TokenRows(VOCABULARY)
    texts = [text for batch in batches for text in batch]
    for batch in batches:
        rows.append([token_bytes(np.array(text, np.int32), SIZE) for text in batch])
    wanted = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8)) if texts else []
    tokens, lengths = rows.of(np.array(wanted, np.int64))
    assert lengths.tolist() == [len(set(texts[place])) for place in wanted]
    assert tokens.tolist() == [token for place in wanted for token in sorted(set(texts[place]))]
    gone = sorted(set(wanted))
    rows.remove(np.array(gone, np.int64))
    left = [set(text) for place, text in enumerate(texts) if place not in gone]
    assert {token: sum(token in text for text in left) for text in texts for token in text} == {
        token: int(rows.holding[token]) for text in texts for token in text
    }


TURNS = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 12)), max_size=30)


@given(TURNS, st.integers(1, 4), st.integers(0, 3), st.data())
def test_turns_beside_others_are_found_however_they_came(
    turns: list[tuple[int, int]], batch: int, reach: int, data: st.DataObject
) -> None:
    beside = Beside()
    for first in range(0, len(turns), batch):
        some = turns[first : first + batch]
        beside.append(first, np.array([turn[0] for turn in some]), np.array([turn[1] for turn in some]))
    asked = data.draw(st.lists(st.sampled_from(turns), max_size=5)) if turns else []
    conversations, positions = (np.array([turn[n] for turn in asked], np.int64) for n in (0, 1))
    found = beside.around(conversations, positions, reach).tolist()
    assert found == [
        place
        for place, (conversation, position) in enumerate(turns)
        if conversation >= 0 and any(conversation == other and abs(position - at) <= reach for other, at in asked)
    ]


def test_no_name_is_denied_while_others_are_added() -> None:
    names, bits = [name_key(f"entity {number}") for number in range(20_000)], NameBits()
    bits.append(names[:100])
    has_ended = threading.Event()
    denied: list[int] = []

    def ask() -> None:
        while not has_ended.is_set():
            denied.append(100 - len(bits.among(names[:100])))

    def add() -> None:
        for end in range(100, len(names), 100):
            bits.append(names[end : end + 100])
        has_ended.set()

    run_in_threads([ask, ask, add])
    assert denied
    assert not any(denied)


@given(st.lists(st.integers(0, 3_000), max_size=5))
def test_no_name_that_somebody_has_is_denied_and_of_others_few_are_looked_for(counts: list[int]) -> None:
    names, bits = [name_key(f"entity {number}") for number in range(sum(counts))], NameBits()
    for end, count in zip(np.cumsum(counts).tolist(), counts, strict=True):
        bits.append(names[end - count : end])
    assert bits.among(names) == names
    assert bits.among([]) == []
    others = [name_key(f"nobody {number}") for number in range(1_000)]
    assert len(bits.among(others)) < 100
