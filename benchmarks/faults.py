"""Three providers, one of which dies under load and comes back: does a request fail, and where does the traffic go?

    python benchmarks/faults.py [--requests 10000] [--concurrency 200] [--death resets|refuses]

It dies after a fifth of the requests and comes back after half of them. The gateway is a process of its own on one core;
providers and load generator share the other. Shares are what the providers themselves have counted. Ends with status 1 when
a request failed.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import load
import uvloop
from gateway import OTHER_CPU, SERVED_CPU, free_port, running
from upstream import WHOLE, Upstream

DIES_AT, RETURNS_AT = 0.2, 0.5
"""Shares of the requests after which the first provider dies and comes back."""
WARM_UP = 500
SLICES = 20
NAMES = ("a", "b", "c")

CONFIG = """
llm:
  fallback_strategy: priority
  retry_policy: {{max_attempts: 3, initial_delay_ms: 5, max_delay_ms: 50}}
  deadline_seconds: 20
  circuit_breaker:
    failure_threshold: 5
    cooldown_seconds: {cooldown_s}
    half_open_requests: 1
    ramp_seconds: {ramp_s}
  providers:
{entries}
"""
ENTRY = """
    - name: {name}
      provider: openai
      base_url: "http://127.0.0.1:{port}/v1"
      api_key: bench
      model: gpt-4o
      priority: 100
"""


class Provider:
    """One upstream that can die. `answered` has the times of its answers, `refused` those of requests that found it dead."""

    def __init__(self, name: str, port: int, *, think_s: float, death: str) -> None:
        self.name = name
        self.port = port
        self.think_s = think_s
        self.is_up = True
        self.answered: list[float] = []
        self.refused: list[float] = []
        self.open: set[_Connection] = set()
        self._death = death
        self._listener: asyncio.Server | None = None

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024)

    def die(self) -> None:
        """Every connection is reset; new ones too at their first request, or the port is closed."""
        self.is_up = False
        if self._death == "refuses" and self._listener is not None:
            self._listener.close()
        for connection in list(self.open):
            connection.abort()

    async def come_back(self) -> None:
        self.is_up = True
        if self._death == "refuses":
            await self.listen()

    def start_over(self) -> None:
        self.answered.clear()
        self.refused.clear()


class _Connection(Upstream):
    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._provider = provider

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._provider.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._provider.open.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def answer(self, body: bytes) -> None:  # noqa: ARG002 - all requests get the same answer
        if self._provider.is_up:
            asyncio.get_running_loop().call_later(self._provider.think_s, self._write)
        else:
            self._provider.refused.append(time.monotonic())
            self.abort()

    def _write(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._provider.answered.append(time.monotonic())
            self._transport.write(WHOLE)


@dataclass
class Outcome:
    """What the clients saw, and when the provider died and came back; times of `time.monotonic`."""

    seconds: list[tuple[float, float]] = field(default_factory=list)
    """When each answer was there, and how long it took."""
    attempts: int = 0
    failures: list[str] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    died: float = 0.0
    returned: float = 0.0


# -- the load -----------------------------------------------------------------------------------------------------------

_BODY = load.BODY.replace('"model":"gpt-4o"', '"model":"default"')
_REQUEST = (
    "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    f"content-length: {len(_BODY)}\r\n\r\n{_BODY}"
).encode()
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ATTEMPTS = re.compile(rb"\r\nx-caxton-attempts: *(\d+)\r\n", re.IGNORECASE)


async def ask_on(port: int, turns: Iterator[None], outcome: Outcome) -> None:
    """One client with one connection, which it opens again when it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in turns:
        begun = time.monotonic()
        try:
            failure, attempts = await _ask(reader, writer)
        except (OSError, EOFError) as error:
            failure, attempts = f"{type(error).__name__} from the gateway", 0
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        now = time.monotonic()
        outcome.seconds.append((now, now - begun))
        outcome.attempts += attempts
        if failure:
            outcome.failures.append(failure)
    writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """What is wrong with the answer, empty for nothing, and the attempts that it took."""
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length, attempts = _LENGTH.search(head), _ATTEMPTS.search(head)
    if length is None:
        raise EOFError
    body = await reader.readexactly(int(length[1]))
    whole = head.startswith(b"HTTP/1.1 200") and b"typical of small talk." in body and b'"stop"' in body
    return "" if whole else f"{head[9:12].decode()} {body[:200].decode()}", int(attempts[1]) if attempts else 0


async def scenario(port: int, providers: Sequence[Provider], requests: int, concurrency: int) -> Outcome:
    """All requests; the first provider dies and comes back on the way."""
    outcome = Outcome(began=time.monotonic())
    mortal = providers[0]
    returning: list[asyncio.Task[None]] = []

    def turns() -> Iterator[None]:
        for number in range(requests):
            if number == int(requests * DIES_AT):
                outcome.died = time.monotonic()
                mortal.die()
            elif number == int(requests * RETURNS_AT):
                outcome.returned = time.monotonic()
                returning.append(asyncio.create_task(mortal.come_back()))
            yield

    shared = turns()
    await asyncio.gather(*(ask_on(port, shared, outcome) for _ in range(concurrency)))
    await asyncio.gather(*returning)
    outcome.ended = time.monotonic()
    return outcome


async def measure(port: int, pid: int, providers: Sequence[Provider], chosen: argparse.Namespace) -> Outcome:
    for provider in providers:
        await provider.listen()
    warm = Outcome()
    await asyncio.gather(*(ask_on(port, turns, warm) for turns in [iter([None] * WARM_UP)] * chosen.concurrency))
    for provider in providers:
        provider.start_over()
    before = rss_mib(pid)
    outcome = await scenario(port, providers, chosen.requests, chosen.concurrency)
    after = rss_mib(pid)
    report(outcome, providers, chosen)
    print(f"gateway RSS: {before:.1f} MiB before, {after:.1f} MiB after")
    return outcome


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


# -- the report ---------------------------------------------------------------------------------------------------------


def opened_after_s(refused: Sequence[float], died: float, returned: float, cooldown_s: float) -> float | None:
    """Seconds from the death to the last request before a pause that only an open breaker makes; `None`: there was none."""
    for one, following in pairwise([*refused, returned]):
        if following - one >= 0.8 * cooldown_s:
            return one - died
    return None


def report(outcome: Outcome, providers: Sequence[Provider], chosen: argparse.Namespace) -> None:
    took = outcome.ended - outcome.began
    count = len(outcome.seconds)
    print(f"{count:,} requests, {chosen.concurrency} at a time, in {took:.1f} s ({count / took:,.0f}/s)")
    print(f"failed: {len(outcome.failures)}; attempts: {outcome.attempts:,}")
    for failure in sorted(set(outcome.failures))[:5]:
        print(f"  {failure}")
    dead = providers[0]
    opened = opened_after_s(dead.refused, outcome.died, outcome.returned, chosen.cooldown)
    if opened is None:
        shown = "no sign of it" if dead.refused else "unknown, because a closed port counts nothing"
    else:
        shown = f"{opened * 1000:.0f} ms after the death"
    print(f"breaker opened: {shown}; requests to the dead provider: {len(dead.refused)}")
    first = next((at for at in dead.answered if at > outcome.returned), None)
    shown = "never" if first is None else f"{(first - outcome.returned) * 1000:.0f} ms after the return"
    print(f"first answer of the returned provider: {shown}")
    phases = {
        "before": (outcome.began, outcome.died),
        "dead": (outcome.died, outcome.returned),
        "back": (outcome.returned, outcome.ended),
    }
    print("\n| phase | p50 ms | p99 ms | longest ms |\n|---|--:|--:|--:|")
    for name, (begin, end) in phases.items():
        times = [1000 * seconds for at, seconds in outcome.seconds if begin <= at < end]
        if len(times) > 1:
            cuts = quantiles(times, n=100)
            print(f"| {name} | {cuts[49]:.1f} | {cuts[98]:.1f} | {max(times):.1f} |")
    print_shares(outcome, providers)


def print_shares(outcome: Outcome, providers: Sequence[Provider]) -> None:
    """The share of the answers that each provider gave, slice by slice."""
    print("\n| ms | | " + " | ".join(provider.name for provider in providers) + " |")
    print("|--:|---|" + "--:|" * len(providers))
    step = (outcome.ended - outcome.began) / SLICES
    for number in range(SLICES):
        begin = outcome.began + number * step
        counts = [sum(begin <= at < begin + step for at in provider.answered) for provider in providers]
        total = sum(counts)
        marks = [("dies", outcome.died), ("returns", outcome.returned)]
        mark = " ".join(word for word, at in marks if begin <= at < begin + step)
        shares = " | ".join(f"{count / total:.0%}" if total else "" for count in counts)
        print(f"| {1000 * number * step:,.0f} | {mark} | {shares} |")
    print()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--concurrency", type=int, default=200)
    options.add_argument("--death", choices=["resets", "refuses"], default="resets")
    options.add_argument("--think", type=float, default=0.02, help="seconds until a provider answers")
    options.add_argument("--cooldown", type=float, default=0.25, help="seconds that an open breaker waits")
    options.add_argument("--ramp", type=float, default=1.0, help="seconds until the full share is back")
    chosen = options.parse_args()
    os.sched_setaffinity(0, {OTHER_CPU})
    providers = [Provider(name, free_port(), think_s=chosen.think, death=chosen.death) for name in NAMES]
    entries = "".join(ENTRY.format(name=provider.name, port=provider.port) for provider in providers)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "caxton.yaml"
        config.write_text(CONFIG.format(entries=entries, cooldown_s=chosen.cooldown, ramp_s=chosen.ramp))
        port = free_port()
        command = [sys.executable, "-m", "caxton_llm", "serve", "-c", str(config), "--port", str(port)]
        with running(command, SERVED_CPU, port) as gateway:
            outcome = uvloop.run(measure(port, gateway.pid, providers, chosen))
    sys.exit(1 if outcome.failures else 0)


if __name__ == "__main__":
    main()
