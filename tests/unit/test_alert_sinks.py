"""Every channel with what is really on its other side: an HTTP server, a program, the log."""

import asyncio
import hashlib
import hmac
import json
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from canned_server import Canned
from caxton_llm.alerts.notice import Notice, notice_of
from caxton_llm.alerts.rules import Alert, AlertPolicy, AlertRules, TargetSample
from caxton_llm.alerts.sinks import AlertNotSent, CommandSink, LogSink, SlackSink, WebhookSink
from caxton_llm.alerts.watch import AlertChannel, AlertWatch
from caxton_llm.observers.record import Observer
from caxton_llm.testing import FakeClock
from caxton_llm.transport.lean import LeanTransport
from fakes.http_server import Received, Response

AT = 1_770_000_000.0
ALERT = Alert(
    rule="provider_down",
    target="main",
    severity="critical",
    status="firing",
    message="main <is> down; last error: overloaded",
    lasted_s=60.0,
)
NOTICE = notice_of(ALERT, AT)
BOUND_S = 20.0


class Moody(Canned):
    """Answers with these statuses in turn, then with 200."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self._statuses = list(statuses)

    def respond(self, request: Received) -> Response:
        return Response(status=self._statuses.pop(0) if self._statuses else 200)


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[LeanTransport]:
    made = LeanTransport()
    yield made
    await made.aclose()


def test_a_notice_tells_the_time_of_day_and_since_when() -> None:
    assert json.loads(NOTICE.encode()) == {
        "rule": "provider_down",
        "target": "main",
        "severity": "critical",
        "status": "firing",
        "message": "main <is> down; last error: overloaded",
        "since": "2026-02-02T02:39:00.000Z",
        "at": "2026-02-02T02:40:00.000Z",
    }


async def test_a_webhook_gets_json_whose_signature_can_be_verified(transport: LeanTransport) -> None:
    async with Canned() as server:
        sink = WebhookSink(f"{server.root_url}/hook?team=a", transport, secret="s3cret", now=lambda: AT)
        await sink.send(NOTICE)
        got = server.last_request
    assert (got.method, got.path, got.query) == ("POST", "/hook", {"team": "a"})
    assert got.json["rule"] == "provider_down"
    fields = dict(part.split("=") for part in got.headers["x-caxton-signature"].split(","))
    signed = f"{fields['t']}.".encode() + got.body
    assert fields["t"] == "1770000000"
    assert hmac.compare_digest(fields["v1"], hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest())


async def test_a_webhook_without_a_secret_is_not_signed(transport: LeanTransport) -> None:
    async with Canned() as server:
        await WebhookSink(server.root_url, transport).send(NOTICE)
        assert "x-caxton-signature" not in server.last_request.headers


async def test_a_webhook_that_is_busy_is_tried_three_times(transport: LeanTransport) -> None:
    clock = FakeClock()
    async with Moody(503, 429) as server:
        sink = WebhookSink(server.root_url, transport, sleep=clock.sleep, jitter=lambda: 1.0)
        await sink.send(NOTICE)
        assert len(server.requests) == 3
    assert clock.slept == [0.5, 1.0]


async def test_a_webhook_that_stays_broken_is_given_up(transport: LeanTransport) -> None:
    async with Moody(500, 500, 500) as server:
        sink = WebhookSink(f"{server.root_url}/secret-path", transport, sleep=FakeClock().sleep)
        with pytest.raises(AlertNotSent) as raised:
            await sink.send(NOTICE)
        assert len(server.requests) == 3
    assert str(raised.value) == "127.0.0.1: answered with status 500"


async def test_a_webhook_that_refuses_is_asked_once(transport: LeanTransport) -> None:
    async with Moody(404) as server:
        with pytest.raises(AlertNotSent, match="status 404"):
            await WebhookSink(server.root_url, transport).send(NOTICE)
        assert len(server.requests) == 1


async def test_a_webhook_that_nobody_listens_at_is_given_up_without_showing_its_path(transport: LeanTransport) -> None:
    async with Canned() as server:
        url = f"{server.root_url}/T0/B0/key"
    with pytest.raises(AlertNotSent) as raised:
        await SlackSink(url, transport, sleep=FakeClock().sleep).send(NOTICE)
    assert str(raised.value) == "127.0.0.1: connect_failed"


async def test_a_secret_that_is_no_address_is_named_as_such_and_not_shown(transport: LeanTransport) -> None:
    with pytest.raises(AlertNotSent) as raised:
        await SlackSink("not-an-address", transport).send(NOTICE)
    assert "not-an-address" not in str(raised.value)


async def test_slack_gets_a_text_in_which_nothing_is_markup(transport: LeanTransport) -> None:
    async with Canned() as server:
        await SlackSink(server.root_url, transport).send(NOTICE)
        body = server.last_request.json
    assert body["text"] == "[critical] main &lt;is&gt; down; last error: overloaded"
    assert [block["type"] for block in body["blocks"]] == ["section", "context"]


async def test_a_command_gets_the_alert_on_standard_input_and_in_its_environment(tmp_path: Path) -> None:
    written = tmp_path / "alert"
    code = (
        "import os, sys; from pathlib import Path; "
        "Path(sys.argv[1]).write_text(os.environ['CAXTON_ALERT_TARGET'] + '\\n' + sys.stdin.read())"
    )
    async with asyncio.timeout(BOUND_S):
        await CommandSink([sys.executable, "-c", code, str(written)]).send(NOTICE)
    target, _, body = written.read_text().partition("\n")
    assert target == "main"
    assert json.loads(body)["status"] == "firing"


async def test_a_command_that_fails_is_told_with_its_exit_code_and_without_its_output() -> None:
    code = "import sys; print('something private', file=sys.stderr); sys.exit(7)"
    with pytest.raises(AlertNotSent) as raised:
        async with asyncio.timeout(BOUND_S):
            await CommandSink([sys.executable, "-c", code]).send(NOTICE)
    assert str(raised.value) == f"{Path(sys.executable).name}: exit code 7"


async def test_a_command_that_does_not_end_is_killed() -> None:
    code = "import signal; signal.pause()"
    with pytest.raises(AlertNotSent, match="not done within"):
        async with asyncio.timeout(BOUND_S):
            await CommandSink([sys.executable, "-c", code], limit_s=0.05).send(NOTICE)


async def test_a_command_that_does_not_exist_is_told() -> None:
    with pytest.raises(AlertNotSent, match="no-such-program: cannot be started"):
        await CommandSink(["/nowhere/no-such-program"]).send(NOTICE)


async def test_the_log_has_a_warning_for_an_alert_and_an_info_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caxton_llm.alerts")
    ended = Alert(rule="error_rate", target="a", severity="warning", status="recovered", message="fine")
    await LogSink().send(NOTICE)
    await LogSink().send(notice_of(ended, AT))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "alert provider_down [critical] main <is> down; last error: overloaded"),
        ("INFO", "alert error_rate [warning] recovered: fine"),
    ]


# -- the watch --------------------------------------------------------------------------------------------------------------


class Kept:
    """A sink that keeps what it gets; `wait` returns it once there is so much."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Notice] = asyncio.Queue()

    async def send(self, notice: Notice) -> None:
        self.queue.put_nowait(notice)

    async def take(self) -> Notice:
        async with asyncio.timeout(BOUND_S):
            return await self.queue.get()


class Broken:
    """A sink that raises what no sink should."""

    async def send(self, notice: Notice) -> None:
        raise ZeroDivisionError("private")


class Stuck:
    """A sink that never ends."""

    async def send(self, notice: Notice) -> None:
        await asyncio.Event().wait()


class Counting(Observer):
    def __init__(self) -> None:
        self.alerts: list[tuple[str, str, bool]] = []
        self._more = asyncio.Event()

    def alerted(self, channel: str, rule: str, *, sent: bool) -> None:
        self.alerts.append((channel, rule, sent))
        self._more.set()

    async def heard(self, channel: str) -> None:
        """Wait until this channel is told of."""
        while channel not in [each for each, _, _ in self.alerts]:
            self._more.clear()
            await self._more.wait()


class Watched:
    """A watch over one target, with a clock that stands still and a sink that keeps the alerts."""

    def __init__(self, *more: AlertChannel) -> None:
        self.breaker = "closed"
        self.clock = FakeClock()
        self.kept = Kept()
        self.counted = Counting()
        self.watch = AlertWatch(
            AlertRules(AlertPolicy(hold_s=0.0)),
            [*more, AlertChannel(name="kept", sink=self.kept, only=frozenset({"provider_down"}))],
            lambda: [TargetSample(name="a", breaker=self.breaker)],
            observers=[self.counted],
            clock=self.clock,
            interval_s=0.001,
        )


async def test_a_watch_sends_what_begins_and_what_ends_until_it_is_closed() -> None:
    watched = Watched()
    watched.watch.start()
    watched.breaker = "open"
    assert (await watched.kept.take()).status == "firing"
    watched.breaker = "closed"
    assert (await watched.kept.take()).status == "recovered"
    await watched.watch.aclose()
    await watched.watch.aclose()
    assert len(asyncio.all_tasks()) == 1


async def test_a_sink_that_fails_or_is_stuck_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(AlertChannel(name="broken", sink=Broken()), AlertChannel(name="stuck", sink=Stuck()))
    watched.watch.start()
    watched.breaker = "open"
    assert (await watched.kept.take()).rule == "provider_down"
    async with asyncio.timeout(BOUND_S):
        await watched.counted.heard("broken")
        await watched.watch.aclose()
    assert ("broken", "provider_down", False) in watched.counted.alerts
    assert "was not sent to broken: ZeroDivisionError" in caplog.text
    assert "private" not in caplog.text


async def test_when_a_channel_is_stuck_alerts_beyond_its_queue_are_dropped_and_counted() -> None:
    watched = Watched(AlertChannel(name="stuck", sink=Stuck(), only=frozenset({"breaker_opened"})))
    watched.watch.start()
    for number in range(300):
        watched.breaker = "closed" if number % 2 else "open"
        watched.clock.advance(10.0)
        watched.watch.look()
    assert ("stuck", "breaker_opened", False) in watched.counted.alerts
    await watched.watch.aclose()
