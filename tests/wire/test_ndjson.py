"""Newline-delimited JSON: lines, wherever the bytes are cut."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.wire.ndjson import NdjsonDecoder


def lines(*pieces: bytes) -> list[bytes]:
    decoder = NdjsonDecoder()
    return [line for piece in pieces for line in decoder.feed(piece)]


def test_blank_lines_are_skipped_and_line_ends_may_be_crlf() -> None:
    assert [line.strip() for line in lines(b'{"a":1}\r\n\n  \n{"b":2}\n')] == [b'{"a":1}', b'{"b":2}']


def test_a_last_line_without_its_newline_waits_to_be_taken() -> None:
    decoder = NdjsonDecoder()
    assert decoder.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert decoder.pending
    assert decoder.feed(b":2}") == []
    assert decoder.take_rest() == b'{"b":2}'
    assert not decoder.pending


@given(
    parts=st.lists(st.sampled_from([b'{"a":1}', b"\n", b" ", b"\xc3\xa9", b"\r\n"]), max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_where_the_bytes_are_cut_never_changes_the_lines(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts) + b"\n"
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert lines(*pieces) == lines(stream)
