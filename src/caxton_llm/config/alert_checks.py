"""What the keys of an alert channel mean together, and which of them hold secrets."""

from collections.abc import Callable

from msgspec.structs import replace

from caxton_llm.config.addresses import address_fault
from caxton_llm.config.alert_schema import AlertChannelBlock, AlertsBlock
from caxton_llm.config.problems import Problems
from caxton_llm.config.secret_keys import Secret, check_reference
from caxton_llm.providers.settings import SecretReference

__all__ = ["ALERTS_PATH", "check_alerts", "replace_alert_secrets"]

ALERTS_PATH = "llm.monitoring.alerts"

_KEYS: dict[str, tuple[str, ...]] = {
    "log": (),
    "webhook": ("url", "secret"),
    "slack": ("url",),
    "command": ("command",),
}
_NEEDED = {"webhook": "url", "slack": "url", "command": "command"}


def check_alerts(alerts: AlertsBlock, problems: Problems) -> None:
    """The whole block."""
    for index, channel in enumerate(alerts.channels):
        _check_channel(channel, f"{ALERTS_PATH}.channels[{index}]", problems)


def replace_alert_secrets(alerts: AlertsBlock, read: Callable[[Secret, str], Secret | None]) -> AlertsBlock:
    """The block with every secret replaced by what `read(secret, path)` makes of it."""
    channels = []
    for index, channel in enumerate(alerts.channels):
        path = f"{ALERTS_PATH}.channels[{index}]"
        given = {key: value for key in ("url", "secret") if (value := getattr(channel, key)) is not None}
        channels.append(replace(channel, **{key: read(value, f"{path}.{key}") for key, value in given.items()}))
    return replace(alerts, channels=tuple(channels))


def _check_channel(channel: AlertChannelBlock, path: str, problems: Problems) -> None:
    if problems.reported(f"{path}.type"):
        return
    kind = channel.type
    for key in ("url", "secret", "command"):
        if getattr(channel, key) and key not in _KEYS[kind]:
            problems.add(f"{key!r} is not read by a channel of the type {kind}", path=f"{path}.{key}", hint="remove it")
    needed = _NEEDED.get(kind)
    if needed is not None and not getattr(channel, needed):
        problems.add_missing(f"{path}.{needed}", f"a channel of the type {kind} needs it")
    if channel.command and not channel.command[0].strip():
        problems.add("the program has no name", path=f"{path}.command")
    for key, secret in (("url", channel.url), ("secret", channel.secret)):
        if isinstance(secret, SecretReference):
            check_reference(secret, f"{path}.{key}", problems)
    if isinstance(channel.url, str) and channel.url:
        message, hint = address_fault(channel.url, query=True)
        if message:
            problems.add(message, path=f"{path}.url", hint=hint)
