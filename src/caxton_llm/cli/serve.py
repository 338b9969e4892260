"""`caxton serve`: says where the gateway listens and how clients reach it, then runs it."""

import contextlib
import signal
from pathlib import Path
from types import FrameType

from caxton_llm.cli.screen import Screen
from caxton_llm.config.addresses import is_this_machine
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.locate import locate
from caxton_llm.config.offline import offline_sources
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.server.serve import ServeOptions, serve

__all__ = ["run_gateway"]

_OPEN = "the gateway asks for no key (listen on 127.0.0.1, or let a proxy check who is calling)"


def run_gateway(config: Path | None, options: ServeOptions, screen: Screen) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP; answers under way are finished first. Raises `ConfigurationError`."""
    path = locate(config)
    # Uvicorn drains on both signals and then sends itself the signal again: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # with nohup it is not
        signal.signal(signal.SIGHUP, _stop)
    with contextlib.suppress(KeyboardInterrupt):
        serve(path, options, announce=lambda address, found: _announce(address, path, found, options.host, screen))
    screen.line("stopped")


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(_number: int, _frame: FrameType | None) -> None:
    """The terminal is closed: running answers are finished all the same."""
    signal.raise_signal(signal.SIGTERM)


def _announce(address: str, path: Path, configuration: Configuration, host: str | None, screen: Screen) -> None:
    """`host` is the option's."""
    for problem in resolve_secrets(configuration, sources=offline_sources()).warnings:  # no store is asked again
        if host is None or problem.path != "server.host":
            screen.warn(str(problem))
    if host is not None and not is_this_machine(host):
        screen.warn(f"--host {host}: whoever reaches this address can use the configured providers: {_OPEN}")
    screen.line(f"Caxton serves {path} at {address}")
    screen.line(f"  OpenAI clients:    base_url={address}/v1")
    screen.line(f"  Anthropic clients: base_url={address}")
    screen.line(f"  models: {address}/v1/models   metrics: {address}/metrics   Ctrl-C stops after the running answers")
