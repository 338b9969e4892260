"""Where alerts go: the log, a webhook, a Slack-compatible webhook, a command of the operator's.

A sink raises `AlertNotSent`, whose message names the host or the program and nothing else of an address, because an address
may be a secret.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from caxton_llm.alerts.notice import Notice
from caxton_llm.errors import LlmError
from caxton_llm.protocols import Origin, Transport, WireRequest

__all__ = [
    "SIGNATURE_HEADER",
    "AlertNotSent",
    "AlertSink",
    "CommandSink",
    "LogSink",
    "SlackSink",
    "WebhookSink",
    "sign",
]

SIGNATURE_HEADER = "x-caxton-signature"

_LIMIT_S = 10.0
_ATTEMPTS = 3
_FIRST_WAIT_S = 0.5

_log = logging.getLogger("caxton_llm.alerts")


class AlertNotSent(Exception):
    """A channel did not take an alert; the message says why."""


class AlertSink(Protocol):
    """One channel. Raises `AlertNotSent`; every call ends within a minute."""

    async def send(self, notice: Notice) -> None: ...


def sign(secret: str, body: bytes, at: int) -> str:
    """The value of `x-caxton-signature`: `t=<unix time>,v1=<hex>`, the HMAC-SHA256 of `<unix time>.<body>`."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class LogSink:
    """The log: what has begun is a WARNING, what has ended an INFO."""

    async def send(self, notice: Notice) -> None:
        level = logging.INFO if notice.status == "recovered" else logging.WARNING
        _log.log(level, "alert %s %s", notice.rule, notice.line)


class WebhookSink:
    """Posts the notice as JSON, signed when there is a secret. Three attempts of at most 10 s each."""

    def __init__(
        self,
        url: str,
        transport: Transport,
        *,
        secret: str | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._transport = transport
        self._secret = secret
        self._now = now
        self._sleep = sleep
        self._jitter = jitter

    async def send(self, notice: Notice) -> None:
        origin, path = _address(self._url)
        body = self._body(notice)
        for attempt in range(1, _ATTEMPTS + 1):
            problem, may_repeat = await self._post(origin, path, body)
            if not problem:
                return
            if attempt == _ATTEMPTS or not may_repeat:
                raise AlertNotSent(f"{origin.host}: {problem}")
            await self._sleep(_FIRST_WAIT_S * 2 ** (attempt - 1) * (0.5 + self._jitter() / 2))

    def _body(self, notice: Notice) -> bytes:
        return notice.encode()

    async def _post(self, origin: Origin, path: str, body: bytes) -> tuple[str, bool]:
        """What went wrong, if anything, and whether another attempt may help."""
        headers = [("content-type", "application/json"), ("user-agent", "caxton-llm")]
        if self._secret:
            headers.append((SIGNATURE_HEADER, sign(self._secret, body, int(self._now()))))
        request = WireRequest(method="POST", origin=origin, path=path, headers=tuple(headers), body=body)
        try:
            async with asyncio.timeout(_LIMIT_S):
                response = await self._transport.send(request, connect_timeout_s=_LIMIT_S, idle_timeout_s=_LIMIT_S)
                response.release()
        except TimeoutError:
            return f"no answer within {_LIMIT_S:g} s", True
        except LlmError as error:
            return error.kind, True
        status = response.status
        if 200 <= status < 300:
            return "", False
        return f"answered with status {status}", status in (408, 425, 429) or status >= 500


class SlackSink(WebhookSink):
    """The form that Slack's incoming webhooks take, and those of Mattermost, Rocket.Chat and others."""

    def _body(self, notice: Notice) -> bytes:
        text = _escaped(notice.line)
        facts = _escaped(f"{notice.rule} · since {notice.since}" + (f" · {notice.target}" if notice.target else ""))
        blocks = [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": facts}]},
        ]
        return msgspec.json.encode({"text": text, "blocks": blocks})


class CommandSink:
    """Runs a program, without a shell: the notice as JSON on its standard input, and in `CAXTON_ALERT_*` of its environment.

    What it writes goes nowhere. After 10 s it is killed, with what it has started.
    """

    def __init__(self, command: Sequence[str], *, limit_s: float = _LIMIT_S) -> None:
        self._command = tuple(command)
        self._limit_s = limit_s

    async def send(self, notice: Notice) -> None:
        program = Path(self._command[0]).name
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=os.environ | _variables(notice),
                start_new_session=True,
            )
        except OSError as error:
            raise AlertNotSent(f"{program}: cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._limit_s):
                await process.communicate(notice.encode())
        except TimeoutError:
            raise AlertNotSent(f"{program}: not done within {self._limit_s:g} s, and killed") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise AlertNotSent(f"{program}: exit code {process.returncode}")


def _variables(notice: Notice) -> dict[str, str]:
    fields: dict[str, str] = msgspec.structs.asdict(notice)
    return {f"CAXTON_ALERT_{name.upper()}": value for name, value in fields.items()}


def _address(url: str) -> tuple[Origin, str]:
    """Raises `AlertNotSent` for what is no http or https address, which only a fetched secret can be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
        raise AlertNotSent("the address is no http or https address (it is not shown)")
    origin = Origin(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _escaped(text: str) -> str:
    """Slack reads these three characters as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
