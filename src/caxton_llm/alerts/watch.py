"""Looks at the targets regularly, and sends the alerts that the rules find.

Every channel has a queue and a task of its own, so that one that is slow or broken holds up neither the others nor a
request. What a channel did not take is logged and counted, and not sent again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from caxton_llm.alerts.notice import Notice, notice_of
from caxton_llm.alerts.rules import AlertRules, TargetSample
from caxton_llm.alerts.sinks import AlertNotSent, AlertSink
from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import Clock

__all__ = ["AlertChannel", "AlertWatch"]

_QUEUED = 100
_LAST_S = 2.0
"""How long the end waits for alerts that are on their way."""

_log = logging.getLogger("caxton_llm.alerts")


class AlertChannel(Struct, frozen=True, kw_only=True):
    """A sink with its name, `webhook-2`, and the rules whose alerts it gets; empty: all."""

    name: str
    sink: AlertSink
    only: frozenset[str] = frozenset()

    def takes(self, rule: str) -> bool:
        return not self.only or rule in self.only

    def __repr__(self) -> str:
        return f"AlertChannel({self.name!r}, only={sorted(self.only)!r})"


class AlertWatch:
    """Evaluates the rules every `interval_s` between `start` and `aclose`. `now` is the time of day, for people."""

    def __init__(
        self,
        rules: AlertRules,
        channels: Sequence[AlertChannel],
        read: Callable[[], Sequence[TargetSample]],
        *,
        observers: Sequence[Observer] = (),
        clock: Clock = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        interval_s: float = 1.0,
    ) -> None:
        self._rules = rules
        self._channels = tuple(channels)
        self._read = read
        self._observers = tuple(observers)
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._interval_s = interval_s
        self._queues: dict[str, asyncio.Queue[Notice]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._queues = {channel.name: asyncio.Queue(_QUEUED) for channel in self._channels}
        senders = [asyncio.create_task(self._deliver(channel), name=channel.name) for channel in self._channels]
        self._tasks = [asyncio.create_task(self._watch(), name="caxton-alerts"), *senders]

    def look(self) -> None:
        """Evaluate the rules once, and queue what they find. Only between `start` and `aclose`."""
        for alert in self._rules.evaluate(self._read(), self._clock()):
            notice = notice_of(alert, self._now())
            for channel in self._channels:
                if channel.takes(alert.rule):
                    self._queue(channel, notice)

    async def aclose(self) -> None:
        """Stop; what is on its way gets two seconds. Safe to call twice."""
        tasks, self._tasks = of_this_loop(self._tasks), []
        if not tasks:
            return
        watching, *_ = tasks
        watching.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await asyncio.gather(*(queue.join() for queue in self._queues.values()))
        await end_tasks(tasks)

    def _queue(self, channel: AlertChannel, notice: Notice) -> None:
        try:
            self._queues[channel.name].put_nowait(notice)
        except asyncio.QueueFull:
            self._count(channel, notice, "too many alerts wait for it")

    async def _watch(self) -> None:
        while True:
            await self._sleep(self._interval_s)
            try:
                self.look()
            except Exception:  # noqa: BLE001 - told in full, and one bad look must not end the watch
                _log.exception("the alerts could not be evaluated; the next look comes all the same")

    async def _deliver(self, channel: AlertChannel) -> None:
        queue = self._queues[channel.name]
        while True:
            notice = await queue.get()
            try:
                await channel.sink.send(notice)
            except AlertNotSent as error:
                self._count(channel, notice, str(error))
            except Exception as error:  # noqa: BLE001 - a sink of whatever kind must not end the others
                self._count(channel, notice, type(error).__name__)
            else:
                self._count(channel, notice, "")
            finally:
                queue.task_done()

    def _count(self, channel: AlertChannel, notice: Notice, problem: str) -> None:
        if problem:
            _log.error("the alert %s was not sent to %s: %s", notice.rule, channel.name, problem)
        for observer in self._observers:
            observer.alerted(channel.name, notice.rule, sent=not problem)
