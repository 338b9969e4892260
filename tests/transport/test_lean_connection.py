"""The lean connection reads what h11 reads, however the bytes are cut, and takes no cut response for a whole one."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from typing import TypeVar

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caxton_llm.errors import LlmError, MalformedResponse, StreamInterrupted
from caxton_llm.transport.connection import Connection, StaleConnection
from caxton_llm.transport.response_head import HEAD_BYTES, HEAD_FIELDS

Answer = tuple[int, list[tuple[str, str]], bytes]
ResultT = TypeVar("ResultT")


class Wire(asyncio.Transport):
    """A socket that takes everything and never sends."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)
        self.writes += 1

    def abort(self) -> None:
        self.aborted = True


class Owner:
    """Counts how exchanges end."""

    def __init__(self) -> None:
        self.ended: list[bool] = []
        self.lost = 0

    def exchange_ended(self, connection: Connection, *, reusable: bool) -> None:
        self.ended.append(reusable)

    def connection_closed(self, connection: Connection) -> None:
        self.lost += 1


def now(coroutine: Coroutine[object, None, ResultT]) -> ResultT:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: ResultT = stop.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine waits")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Exchange:
    """One exchange over a connection whose bytes the test feeds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, head_only: bool = False) -> None:
        self.owner = Owner()
        self.wire = Wire()
        self.connection = Connection(self.owner, loop)
        self.connection.connection_made(self.wire)
        self.begin(head_only=head_only)

    def begin(self, *, head_only: bool = False) -> None:
        self.running = self.connection.exchange(b"HEAD", b"BODY", head_only=head_only, idle_timeout_s=None)
        self.running.send(None)

    def feed(self, *pieces: bytes, end: bool = False) -> "Exchange":
        for piece in pieces:
            if piece and not self.wire.aborted:
                self.connection.data_received(piece)
        if end:
            self.connection.eof_received()
            self.connection.connection_lost(None)
        return self

    def result(self) -> Answer:
        """Raises what the caller would get; `AssertionError` when it would go on waiting."""
        response = now(self.running)
        body = now(response.read())
        return response.status, sorted(response.headers.items()), body


def by_h11(data: bytes, method: str) -> Answer | None:
    """What h11 reads when the server sends `data` and closes; `None` when the response is not whole."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    status, headers, body, closed = 0, dict[str, str](), b"", False
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            return None
        if event is h11.NEED_DATA:
            if closed:
                return None
            closed = True
            client.receive_data(b"")
        elif isinstance(event, h11.Response):
            status = event.status_code
            for name, value in event.headers:
                key, text = name.decode(), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, sorted(headers.items()), body
        elif not isinstance(event, h11.InformationalResponse):
            return None


# -- responses as servers may write them

NAMES = st.sampled_from(["X-A", "x-b", "Set-Cookie", "set-cookie", "content-TYPE", "x!#$%&'*+-.^_`|~9"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12).map(
    lambda text: "".join(char for char in text if not 0x80 <= ord(char) < 0xA0)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.sampled_from(["", " ", "\t", "  "])), max_size=4)
INTERIM = st.lists(
    st.sampled_from(["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-a: 1\r\n\r\n"]),
    max_size=2,
)
STATUSES = st.sampled_from([200, 201, 204, 304, 307, 400, 404, 413, 429, 500, 529, 999])
REASONS = st.sampled_from([" OK", " ", " Not \xe4 Reason", ""])
BODIES = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


def field_lines(fields: Iterable[tuple[str, str, str]]) -> str:
    return "".join(f"{name}:{space}{value}{space}\r\n" for name, value, space in fields)


@st.composite
def responses(draw: st.DrawFn) -> tuple[str, bytes]:
    """A request method and a whole response to it."""
    method = draw(st.sampled_from(["POST", "POST", "POST", "HEAD"]))
    status = draw(STATUSES)
    pieces = draw(BODIES)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    head = "".join(draw(INTERIM)) + f"HTTP/1.{draw(st.sampled_from('01') if framing == 'close' else st.just('1'))} "
    head += f"{status}{draw(REASONS)}\r\n" + field_lines(draw(FIELDS))
    body = b"".join(pieces)
    if framing == "length":
        head += f"Content-Length: {len(body)}\r\n"
    elif framing == "chunked":
        head += "Transfer-Encoding: chunked\r\n"
        body = chunked(draw, pieces)
    if method == "HEAD" or status in {204, 304}:
        body = b""
    return method, (head + field_lines(draw(FIELDS)) + "\r\n").encode("latin-1") + body


def chunked(draw: st.DrawFn, pieces: list[bytes]) -> bytes:
    extension = draw(st.sampled_from(["", ";a", ";a=b", ';a="b c"', ";a=b;c"]))
    size = draw(st.sampled_from(["%x", "%X", "00%x"]))
    chunks = b"".join((size % len(piece) + extension).encode() + b"\r\n" + piece + b"\r\n" for piece in pieces)
    return chunks + f"0{extension}\r\n{field_lines(draw(FIELDS))}\r\n".encode("latin-1")


WHOLE = ("POST", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: 1\r\n\r\n")


@settings(max_examples=100, deadline=None)
@given(responses())
@example(WHOLE)
def test_a_response_is_read_as_h11_reads_it_wherever_it_is_cut_in_two(
    loop: asyncio.AbstractEventLoop, case: tuple[str, bytes]
) -> None:
    method, data = case
    expected = by_h11(data, method)
    assert expected is not None
    for cut in range(len(data) + 1):
        exchange = Exchange(loop, head_only=method == "HEAD").feed(data[:cut], data[cut:], end=True)
        assert exchange.result() == expected
        assert len(exchange.owner.ended) == exchange.owner.lost == 1


@settings(max_examples=100, deadline=None)
@given(responses())
def test_a_response_is_read_alike_in_single_bytes(loop: asyncio.AbstractEventLoop, case: tuple[str, bytes]) -> None:
    method, data = case
    bytewise = Exchange(loop, head_only=method == "HEAD").feed(*[bytes([byte]) for byte in data], end=True)
    assert bytewise.result() == by_h11(data, method)


@settings(max_examples=60, deadline=None)
@given(responses())
@example(WHOLE)
def test_a_response_that_ends_early_is_an_error_wherever_h11_misses_something(
    loop: asyncio.AbstractEventLoop, case: tuple[str, bytes]
) -> None:
    method, data = case
    for cut in range(len(data)):
        exchange = Exchange(loop, head_only=method == "HEAD").feed(data[:cut], end=True)
        expected = by_h11(data[:cut], method)
        if expected is None:
            with pytest.raises(StreamInterrupted):
                exchange.result()
        else:
            assert exchange.result() == expected
        assert len(exchange.owner.ended) == 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"HTTP/1.1 ", WHOLE[1][:40], WHOLE[1][:60]]))
def test_no_bytes_crash_a_connection(loop: asyncio.AbstractEventLoop, noise: bytes, before: bytes) -> None:
    exchange = Exchange(loop).feed(before + noise, end=True)
    try:
        exchange.result()
    except LlmError as error:
        assert isinstance(error, StreamInterrupted | MalformedResponse)
    assert len(exchange.owner.ended) == exchange.owner.lost == 1


# -- what only this connection promises

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def test_head_and_body_of_a_request_are_one_write(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    assert (exchange.wire.written, exchange.wire.writes) == (b"HEADBODY", 1)
    assert exchange.result()[2] == b"hi"


def test_a_whole_response_leaves_the_connection_reusable(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    assert (exchange.result()[2], exchange.owner.ended, exchange.wire.aborted) == (b"hi", [True], False)
    exchange.begin()
    assert exchange.feed(PLAIN).result()[2] == b"hi"
    assert exchange.owner.ended == [True, True]


def test_the_name_of_the_chunked_coding_has_no_case(loop: asyncio.AbstractEventLoop) -> None:
    assert Exchange(loop).feed(WHOLE[1].replace(b"chunked", b"Chunked")).result()[2] == b"hello"


def test_a_connection_that_was_closed_before_its_first_request_says_so(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop)
    exchange.feed(end=True)
    with pytest.raises(StreamInterrupted, match="without an answer"):
        exchange.result()
    with pytest.raises(StreamInterrupted, match="without an answer"):
        exchange.begin()
    assert exchange.owner.ended == [False, False]


def test_a_kept_connection_that_closes_leaves_the_exchange_to_its_owner(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    exchange.result()
    exchange.begin()
    exchange.feed(end=True)
    with pytest.raises(StaleConnection):
        exchange.result()
    assert exchange.owner.ended == [True]


def test_a_caller_that_leaves_in_the_turn_in_which_the_connection_went_stale_ends_the_exchange(
    loop: asyncio.AbstractEventLoop,
) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    exchange.result()
    exchange.begin()
    exchange.feed(end=True)
    with pytest.raises(asyncio.CancelledError):
        exchange.running.throw(asyncio.CancelledError())
    assert exchange.owner.ended == [True, False]


def test_a_caller_that_left_just_before_the_connection_went_stale_ends_the_exchange(
    loop: asyncio.AbstractEventLoop,
) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    exchange.result()
    exchange.begin()
    assert exchange.connection._waiter is not None
    exchange.connection._waiter.cancel()
    exchange.feed(end=True)
    with pytest.raises(asyncio.CancelledError):
        exchange.running.send(None)
    assert exchange.owner.ended == [True, False]


def test_a_body_that_ended_with_its_connection_leaves_nothing_to_use_again(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop).feed(PLAIN)
    exchange.result()
    exchange.begin()
    assert exchange.feed(b"HTTP/1.1 200 OK\r\n\r\nhi", end=True).result()[2] == b"hi"
    assert exchange.owner.ended == [True, False]


def test_trailers_of_one_response_are_not_headers_of_the_next(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop).feed(WHOLE[1])
    assert exchange.result()[1] == [("transfer-encoding", "chunked")]
    exchange.begin()
    assert exchange.feed(PLAIN).result()[1] == [("content-length", "2")]


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n", b"x", PLAIN])
def test_bytes_that_follow_a_response_spoil_the_connection(loop: asyncio.AbstractEventLoop, surplus: bytes) -> None:
    together = Exchange(loop).feed(PLAIN + surplus)
    assert (together.result()[2], together.owner.ended, together.wire.aborted) == (b"hi", [False], True)
    later = Exchange(loop).feed(PLAIN, surplus)
    assert (later.result()[2], later.wire.aborted, later.connection.closed) == (b"hi", True, True)


def test_a_body_after_head_spoils_the_connection(loop: asyncio.AbstractEventLoop) -> None:
    exchange = Exchange(loop, head_only=True).feed(PLAIN)
    assert (exchange.result()[2], exchange.owner.ended) == (b"", [False])


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_head_is_limited_however_it_arrives(loop: asyncio.AbstractEventLoop, size: int) -> None:
    lines = b"x-a: " + b"a" * (size - 7) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + lines * (HEAD_BYTES // size + 1)
    for pieces in (
        [head],
        [head[:500], head[500:]],
        [head[start : start + 4096] for start in range(0, len(head), 4096)],
    ):
        with pytest.raises(MalformedResponse, match="64 KiB"):
            Exchange(loop).feed(*pieces).result()


def test_interim_responses_count_for_the_limit(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(MalformedResponse, match="64 KiB"):
        Exchange(loop).feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000).result()


def test_a_large_body_behind_a_small_head_is_not_limited(loop: asyncio.AbstractEventLoop) -> None:
    body = b"x" * (4 * HEAD_BYTES)
    exchange = Exchange(loop).feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert exchange.result()[2] == body


def test_header_fields_are_counted(loop: asyncio.AbstractEventLoop) -> None:
    def answer(count: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + b"a: b\r\n" * (count - 1) + b"\r\n"

    assert Exchange(loop).feed(answer(HEAD_FIELDS)).result()[0] == 200
    with pytest.raises(MalformedResponse, match="200 header fields"):
        Exchange(loop).feed(answer(HEAD_FIELDS + 1)).result()


def test_the_memory_of_header_names_is_bounded(loop: asyncio.AbstractEventLoop) -> None:
    from caxton_llm.transport import response_head

    for number in range(3000):
        answer = b"HTTP/1.1 200 OK\r\nX-%d: 1\r\ncontent-length: 0\r\n\r\n" % number
        assert Exchange(loop).feed(answer).result()[1][-1] == (f"x-{number}", "1")
    assert len(response_head._names) <= response_head._NAMES
