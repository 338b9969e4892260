"""Reasoning between tags, wherever the text is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.wire.think_tags import ThinkSplitter


def split(*pieces: str) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>why</think>because", ("because", "why")),
        ("no tags < at all", ("no tags < at all", "")),
        ("<think>cut off", ("", "cut off")),
        ("a<think>b</think>c<think>d</think>e", ("ace", "bd")),
        ("<thin", ("<thin", "")),
        ("<think>a</thin", ("", "a</thin")),
    ],
)
def test_reasoning_between_tags_is_taken_out(text: str, expected: tuple[str, str]) -> None:
    assert split(text) == expected
    assert split(*text) == expected


@given(
    parts=st.lists(st.sampled_from(["<think>", "</think>", "<", "think", ">", "a", "</", "<thi"]), max_size=12),
    cut=st.integers(0, 60),
)
@settings(max_examples=150, deadline=None)
def test_where_the_text_is_cut_never_changes_what_is_reasoning(parts: list[str], cut: int) -> None:
    text = "".join(parts)
    assert split(text[:cut], text[cut:]) == split(text) == split(*text)
