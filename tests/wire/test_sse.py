"""Server-sent events: every spelling the format allows, wherever the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.wire.sse import SseDecoder, SseEvent


def events(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [(None, b"a")]),
        (b"data:a\n\n", [(None, b"a")]),
        (b"data:  a\n\n", [(None, b" a")]),
        (b"data: a\r\n\r\n", [(None, b"a")]),
        (b"data: a\r\r", []),  # the second CR may be half of a CRLF
        (b"data: a\r\rdata: b\n\n", [(None, b"a"), (None, b"b")]),
        (b"event: error\ndata: a\n\n", [("error", b"a")]),
        (b"data: a\ndata: b\n\n", [(None, b"a\nb")]),
        (b": comment\n\ndata: a\n\n", [(None, b"a")]),
        (b": comment\ndata: a\n\n", [(None, b"a")]),
        (b"id: 7\nretry: 9\ndata: a\n\n", [(None, b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(None, b"a")]),
        (b"data: a\n\n\n\ndata: b\n\n", [(None, b"a"), (None, b"b")]),
        (b"event: ping\n\n", []),
        (b"data\n\n", [(None, b"")]),
        (b'data: {"a": "b: c"}\n\n', [(None, b'{"a": "b: c"}')]),
    ],
)
def test_each_spelling_of_an_event_is_read(stream: bytes, expected: list[SseEvent]) -> None:
    assert events(stream) == expected


def test_an_event_without_its_blank_line_is_not_dispatched_but_seen_as_pending() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.pending
    assert decoder.feed(b"\n") == [(None, b"a")]
    assert not decoder.pending


fragments = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data: \xc3\xa9",
        b"event: x",
        b": c",
        b"id: 1",
        b"",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"\r\n\r\n",
    ]
)


@given(parts=st.lists(fragments, max_size=14), cuts=st.lists(st.integers(0, 120), max_size=6))
@settings(max_examples=150, deadline=None)
def test_where_the_bytes_are_cut_never_changes_the_events(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts) + b"data: end\n\n"
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert events(*pieces) == events(stream)
    assert events(*[stream[index : index + 1] for index in range(len(stream))]) == events(stream)
