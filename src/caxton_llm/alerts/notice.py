"""An alert as it is sent: with the time of day, as JSON, and as a line for people."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from caxton_llm.alerts.rules import Alert

__all__ = ["Notice", "iso_time", "notice_of", "sample_notice"]

_MARKS = {"firing": "", "lasting": "still: ", "recovered": "recovered: "}


class Notice(Struct, frozen=True, kw_only=True):
    """What a channel gets. Times are ISO 8601 in UTC; an empty `target` means all of them."""

    rule: str
    target: str
    severity: str
    status: str
    """`firing`, `lasting` or `recovered`."""
    message: str
    since: str
    at: str

    @property
    def line(self) -> str:
        """The alert for people."""
        return f"[{self.severity}] {_MARKS.get(self.status, '')}{self.message}"

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def notice_of(alert: Alert, at: float) -> Notice:
    """The alert, sent at that time (seconds since the epoch)."""
    return Notice(
        rule=alert.rule,
        target=alert.target,
        severity=alert.severity,
        status=alert.status,
        message=alert.message,
        since=iso_time(at - alert.lasted_s),
        at=iso_time(at),
    )


def sample_notice(at: float) -> Notice:
    """What `caxton alerts test` sends."""
    message = "this is a test of the alerts of Caxton; nothing is wrong"
    return notice_of(Alert(rule="test", target="", severity="warning", status="firing", message=message), at)


def iso_time(at: float) -> str:
    """`2026-03-01T12:00:00.250Z` for seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
