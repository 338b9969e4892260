"""`caxton demo`: a gateway in this process, two clients that ask it the same three things, what travels between them, and an
agent."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer
from msgspec import Struct

from caxton_llm.cli.demo.agent import show_agent
from caxton_llm.cli.demo.clients import AnthropicClient, OpenAiClient
from caxton_llm.cli.demo.live import OLLAMA, live_plan
from caxton_llm.cli.demo.plan import Plan, offline_plan
from caxton_llm.cli.demo.record import Exchange
from caxton_llm.cli.demo.tour import Tour
from caxton_llm.cli.demo.view import DemoView
from caxton_llm.cli.screen import Screen
from caxton_llm.config.load import load_mapping
from caxton_llm.protocols import Origin
from caxton_llm.server.serve import ServeOptions, address_of, listening_socket, make_app, make_server
from caxton_llm.transport.lean import LeanTransport

__all__ = ["DemoOptions", "run_demo"]

_STOP_S = 10.0


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    live: bool
    keep: bool
    port: int


def run_demo(
    options: DemoOptions, screen: Screen, *, environ: Mapping[str, str] | None = None, ollama: Origin = OLLAMA
) -> None:
    """Run it; `environ` is the process's environment unless given. Exit code 1 when an exchange went wrong; raises
    `ConfigurationError` when there is no provider to show."""
    plan = _live_plan(screen, environ, ollama) if options.live else offline_plan()
    view = DemoView(screen)
    with _gateway(plan, options.port, environ) as address:
        view.introduce(plan, address)
        exchanges = asyncio.run(_tour(address, plan, view))
        view.sum_up(exchanges)
        failure = "" if options.live else show_agent(screen)
        view.show_how_to_connect(address, kept=options.keep)
        if options.keep:
            _wait_for_interrupt(screen)
    if failure or any(exchange.failure for exchange in exchanges):
        raise typer.Exit(1)


def _live_plan(screen: Screen, environ: Mapping[str, str] | None, ollama: Origin) -> Plan:
    with screen.waiting("looking for a provider"):
        plan = asyncio.run(live_plan(environ, ollama=ollama))
    screen.line(f"Live with {plan.about}.")
    screen.line(plan.cost_bound())
    if plan.costs and screen.in_is_terminal and screen.out_is_terminal:
        typer.confirm("Go on?", default=True, abort=True)
    return plan


async def _tour(address: str, plan: Plan, view: DemoView) -> list[Exchange]:
    transport = LeanTransport()
    try:
        tour = Tour(address, transport, plan.max_tokens, view)
        for client in (OpenAiClient(), AnthropicClient()):
            await tour.visit(client)
        return tour.exchanges
    finally:
        await transport.aclose()


@contextmanager
def _gateway(plan: Plan, port: int, environ: Mapping[str, str] | None) -> Iterator[str]:
    """The address of a gateway that runs in a thread of its own, as it would in a process of its own."""
    configuration = load_mapping(plan.configuration, environ)
    options = ServeOptions(host="127.0.0.1", port=port, workers=1)
    server = make_server(make_app(configuration), configuration, options)
    sock = listening_socket(server.config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="caxton-gateway", daemon=True)
    thread.start()
    try:
        yield address_of(sock)
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        sock.close()


def _wait_for_interrupt(screen: Screen) -> None:
    try:
        screen.line("The gateway runs until Ctrl-C.")
        threading.Event().wait()
    except KeyboardInterrupt:
        screen.line("stopped")
