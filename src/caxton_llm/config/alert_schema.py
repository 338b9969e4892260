"""The alerts of the configuration as people write them."""

from typing import Annotated, Literal

from msgspec import Meta

from caxton_llm.alerts.rules import AlertRule
from caxton_llm.providers.settings import SecretReference, SettingsBlock

__all__ = ["AlertChannelBlock", "AlertsBlock"]


class AlertChannelBlock(SettingsBlock, frozen=True, kw_only=True):
    """Where alerts go. `log`: a line in the gateway's log. `webhook`: JSON by POST. `slack`: the form of Slack's incoming
    webhooks, which others take too. `command`: a program on this machine, with the alert on its standard input.
    """

    type: Literal["log", "webhook", "slack", "command"]
    """The kind of channel."""
    url: str | SecretReference | None = None
    """`webhook`, `slack`: the address; a secret, because whoever knows it can write there."""
    secret: str | SecretReference | None = None
    """`webhook`: signs every alert in the header `x-caxton-signature`."""
    command: tuple[str, ...] = ()
    """`command`: the program and its arguments; there is no shell."""
    only: tuple[AlertRule, ...] = ()
    """The alerts that go here. Default: all."""


class AlertsBlock(SettingsBlock, frozen=True, kw_only=True):
    """What is told to whom when providers fail, are slow, or come back."""

    enabled: bool = True
    """Whether anything is watched."""
    channels: tuple[AlertChannelBlock, ...] = ()
    """Where alerts go. Default: the log."""
    error_rate: Annotated[float, Meta(gt=0, le=1)] = 0.2
    """Share of a provider's answers in the window that may fail before it is told."""
    error_rate_window_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """The time over which the rate is counted."""
    min_requests: Annotated[int, Meta(ge=1, le=256)] = 20
    """Answers in the window without which there is no rate; the p95 is that of so many last answers, too."""
    latency_factor: Annotated[float, Meta(gt=1)] = 3.0
    """How many times slower than usual a provider may be."""
    hold_seconds: Annotated[float, Meta(ge=0)] = 5.0
    """How long something must be wrong before it is told, and right again before that is told."""
    repeat_minutes: Annotated[float, Meta(ge=0)] = 60.0
    """After how long a lasting alert is told again; 0: never."""
