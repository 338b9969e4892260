"""From the `alerts` block of a configuration to rules and channels."""

from caxton_llm.alerts.rules import AlertPolicy
from caxton_llm.alerts.sinks import AlertSink, CommandSink, LogSink, SlackSink, WebhookSink
from caxton_llm.alerts.watch import AlertChannel
from caxton_llm.config.alert_schema import AlertChannelBlock, AlertsBlock
from caxton_llm.protocols import Transport

__all__ = ["alert_policy", "make_channels", "needs_transport"]

_LOG = AlertChannelBlock(type="log")


def alert_policy(block: AlertsBlock) -> AlertPolicy:
    """When alerts begin and end."""
    return AlertPolicy(
        error_rate=block.error_rate,
        error_rate_window_s=block.error_rate_window_seconds,
        min_requests=block.min_requests,
        latency_factor=block.latency_factor,
        hold_s=block.hold_seconds,
        repeat_s=block.repeat_minutes * 60.0,
    )


def needs_transport(block: AlertsBlock) -> bool:
    """Whether a channel sends over HTTP."""
    return any(channel.type in ("webhook", "slack") for channel in block.channels)


def make_channels(block: AlertsBlock, transport: Transport | None) -> list[AlertChannel]:
    """The channels of a block whose secrets are in place, named by kind and number: `webhook-2`. `transport` may be `None`
    where none is needed."""
    return [
        AlertChannel(name=f"{channel.type}-{number}", sink=_sink(channel, transport), only=frozenset(channel.only))
        for number, channel in enumerate(block.channels or (_LOG,), 1)
    ]


def _sink(channel: AlertChannelBlock, transport: Transport | None) -> AlertSink:
    if channel.type == "command":
        return CommandSink(channel.command)
    if channel.type == "log" or transport is None:
        return LogSink()
    url = channel.url if isinstance(channel.url, str) else ""
    if channel.type == "slack":
        return SlackSink(url, transport)
    return WebhookSink(url, transport, secret=channel.secret if isinstance(channel.secret, str) else None)
