"""`caxton alerts test`: sends a test alert through every configured channel."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from caxton_llm.alerting import make_channels
from caxton_llm.alerts.notice import sample_notice
from caxton_llm.alerts.sinks import AlertNotSent
from caxton_llm.alerts.watch import AlertChannel
from caxton_llm.cli.screen import Screen
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError
from caxton_llm.transport.lean import LeanTransport

__all__ = ["try_channels"]


def try_channels(config: Path | None, screen: Screen, *, only: int | None) -> None:
    """Raises `ConfigurationError` when no alerts are configured. Exit code 1 when a channel did not take the alert."""
    block = resolve_secrets(load_file(locate(config))).monitoring.alerts
    if block is None:
        raise ConfigurationError("no alerts are configured: give llm.monitoring.alerts with its channels")
    transport = LeanTransport()
    channels = make_channels(block, transport)
    if only is not None and only > len(channels):
        raise ConfigurationError(f"there is no channel {only}: {len(channels)} are configured")
    chosen = channels if only is None else [channels[only - 1]]
    with screen.waiting("sending"):
        results = asyncio.run(_send(chosen, transport))
    screen.table(
        ("channel", "result"), [(each.name, found or "sent") for each, found in zip(chosen, results, strict=True)]
    )
    if not block.enabled:
        screen.warn("llm.monitoring.alerts.enabled is false: the gateway itself sends nothing")
    if any(results):
        raise typer.Exit(1)


async def _send(channels: Sequence[AlertChannel], transport: LeanTransport) -> list[str]:
    """What went wrong, per channel; empty when nothing did."""
    notice = sample_notice(time.time())

    async def one(channel: AlertChannel) -> str:
        try:
            await channel.sink.send(notice)
        except AlertNotSent as error:
            return str(error)
        return ""

    try:
        return await asyncio.gather(*(one(channel) for channel in channels))
    finally:
        await transport.aclose()
