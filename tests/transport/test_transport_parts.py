"""The pure parts of the transports: slots, request heads, tables of errors."""

import asyncio
import socket
import ssl
from collections import deque

import aiohttp.client_exceptions
import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import ConfigurationError, ConnectFailed, ConnectTimeout, InvalidRequest, LlmError
from caxton_llm.protocols import Origin, WireRequest
from caxton_llm.transport.aiohttp_errors import FOREIGN, TABLE, Route, translate
from caxton_llm.transport.connect_errors import connect_error
from caxton_llm.transport.request_head import RequestHeads, check_request
from caxton_llm.transport.slots import Slots

ORIGIN = Origin("https", "api.example", 443)


# -- slots


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(["take", "give", "cancel", "turn"]), st.integers(0, 9))))
def test_slots_are_never_lost_and_never_doubled(limit: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        slots = Slots(limit)
        queue: deque[asyncio.Task[None]] = deque()
        served = 0
        held = 0

        async def take() -> None:
            nonlocal held, served
            await slots.take()
            held += 1
            served += 1
            assert held <= limit

        for step, which in steps:
            if step == "take":
                queue.append(asyncio.create_task(take()))
            elif step == "give" and held:
                held -= 1
                slots.give()
            elif step == "cancel" and queue:
                queue[which % len(queue)].cancel()
            elif step == "turn":
                await asyncio.sleep(0)
        for _ in range(len(steps) + 2):
            await asyncio.sleep(0)
            while held:
                held -= 1
                slots.give()
        await asyncio.gather(*queue, return_exceptions=True)
        assert slots.free == limit
        assert served == sum(not task.cancelled() for task in queue)

    asyncio.run(run())


async def test_a_slot_that_is_given_back_belongs_to_the_longest_waiter_at_once() -> None:
    slots = Slots(1)
    assert slots.take_now()
    waiters = [asyncio.create_task(slots.take()) for _ in range(2)]
    await asyncio.sleep(0)
    slots.give()
    assert not slots.take_now()
    await waiters[0]
    assert not waiters[1].done()
    slots.give()
    await waiters[1]
    slots.give()
    assert slots.free == 1


async def test_a_waiter_that_leaves_in_the_turn_in_which_it_got_its_slot_hands_it_on() -> None:
    slots = Slots(1)
    assert slots.take_now()
    leaving, staying = [asyncio.create_task(slots.take()) for _ in range(2)]
    await asyncio.sleep(0)
    slots.give()
    leaving.cancel()
    await staying
    assert (leaving.cancelled(), slots.free) == (True, 0)


async def test_a_waiter_that_has_just_left_is_given_nothing() -> None:
    slots = Slots(1)
    assert slots.take_now()
    leaving, staying = [asyncio.create_task(slots.take()) for _ in range(2)]
    await asyncio.sleep(0)
    leaving.cancel()
    slots.give()
    await staying
    assert (leaving.cancelled(), slots.free) == (True, 0)


# -- request heads


@settings(max_examples=200)
@given(
    st.sampled_from(["GET", "POST", "DELETE", "QUERY"]),
    st.text(max_size=20).map(lambda text: f"/{text}"),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=4),
    st.binary(max_size=5),
)
def test_whatever_is_given_a_head_says_exactly_that_or_is_refused(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    request = WireRequest(method=method, origin=ORIGIN, path=path, headers=tuple(headers), body=body)
    try:
        head = RequestHeads(ORIGIN).encode(request)
    except (ConfigurationError, InvalidRequest):
        with pytest.raises((ConfigurationError, InvalidRequest)):
            check_request(request)
        return
    check_request(request)
    server = h11.Connection(h11.SERVER)
    server.receive_data(head + body)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target.decode()) == (method, path)
    given_headers = [(name.lower(), value.strip(" \t")) for name, value in headers]
    sent = [(name.decode(), value.decode()) for name, value in event.headers]
    assert sent[0] == ("host", "api.example")
    assert sent[1 : len(headers) + 1] == given_headers
    assert {name for name, _ in sent[len(headers) + 1 :]} <= {"accept-encoding", "content-length"}


def test_what_is_remembered_of_requests_is_bounded() -> None:
    heads = RequestHeads(ORIGIN)
    for number in range(3000):
        headers = ((f"x-{number}", "1"),)
        heads.encode(WireRequest(method="GET", origin=ORIGIN, path=f"/{number}", headers=headers))
    assert len(heads._starts) <= 1024
    assert len(heads._fields) <= 1024


@pytest.mark.parametrize("host", ["exa\r\nx-injected: 1", "exa mple", "bücher.example", "", "a/b"])
def test_a_host_that_would_break_the_head_is_the_operators_mistake(host: str) -> None:
    with pytest.raises(ConfigurationError, match="host"):
        RequestHeads(Origin("http", host, 80))


# -- errors


def test_every_exception_of_aiohttps_client_has_its_row() -> None:
    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*[below(child) for child in kind.__subclasses__()])

    theirs = {kind for kind in below(aiohttp.ClientError) if kind.__module__.startswith("aiohttp.")}
    assert theirs - TABLE.keys() == set()
    assert all(isinstance(kind, type) and issubclass(kind, FOREIGN) for kind in TABLE)


SECRET = "http://user:s3cret@proxy.example"


@pytest.mark.parametrize("kind", list(TABLE), ids=lambda kind: kind.__name__)
def test_no_row_of_the_table_quotes_aiohttp(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.args = (SECRET,)
    translated = translate(error, Route("https://api.example", "http://proxy.example:3128", 5.0))
    assert isinstance(translated, LlmError)
    assert "s3cret" not in str(translated)
    assert len(translated.message) > 20


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (ConnectionRefusedError(111, "x"), ConnectFailed, "https://api.example refused the connection"),
        (
            socket.gaierror(-2, "Name or service not known"),
            ConnectFailed,
            "does not resolve: Name or service not known",
        ),
        (UnicodeError("label too long"), ConnectFailed, "is not valid; check the configuration"),
        (ConnectionResetError(104, "x"), ConnectFailed, "closed the connection while it was being made"),
        (TimeoutError(110, "x"), ConnectTimeout, "does not answer"),
        (OSError(101, "x"), ConnectFailed, "Network is unreachable"),
        (OSError("odd"), ConnectFailed, "cannot connect to https://api.example: OSError"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), ConnectFailed, "no TLS with https://api.example"),
        (ssl.SSLCertVerificationError(1, "x"), ConnectFailed, "set ca_file"),
    ],
)
def test_connecting_fails_with_words_that_help(error: Exception, kind: type[LlmError], says: str) -> None:
    translated = connect_error("https://api.example", error)
    assert type(translated) is kind
    assert says in translated.message
    assert "base_url" not in translated.message  # it may as well be a token endpoint's address
    assert translated.should_retry
