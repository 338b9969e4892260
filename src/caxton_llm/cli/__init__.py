"""The command line: what it understands. The modules of a command are imported when it runs."""

import errno
import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from caxton_llm.cli.context import context_commands
from caxton_llm.cli.conversations import conversation_commands
from caxton_llm.cli.memory import memory_commands
from caxton_llm.cli.options import Config
from caxton_llm.cli.screen import Screen, errors_reported

__all__ = ["app", "main"]

app = typer.Typer(
    name="caxton",
    help="One interface to every LLM provider: chat, check a configuration, serve a gateway.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

alert_commands = typer.Typer(name="alerts", help="Alerts: try whether they arrive.", no_args_is_help=True)
app.add_typer(alert_commands)
app.add_typer(context_commands)
app.add_typer(conversation_commands)
app.add_typer(memory_commands)

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """The `caxton` command."""
    # Azure's client tells every identity that it tried, in many lines; ours says which provider has none.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    try:
        app()
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        # What could not be written is still in Python's buffer, and would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        Screen().fail(f"the output cannot be written: {error.strerror}")
        sys.exit(1)


def _show_version(wanted: bool) -> None:
    if wanted:
        Screen().line(f"caxton {version('caxton-llm')}")
        raise typer.Exit


@app.callback()
def caxton(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # What is wrong with a server of tools is in what every command shows; `serve` sets up its own log.
    logging.getLogger("caxton_llm.tools").addHandler(logging.NullHandler())


@app.command()
def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="The question; standard input is added to it. Without one: a conversation.")
    ] = None,
    *,
    config: Config = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name that `caxton models` lists.", show_default=True)
    ] = "default",
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions for the model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit of the answer, in tokens.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, max=2.0)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON: usage, cost, parameters.")] = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Show the answer when it is complete.")] = False,
) -> None:
    """Ask a model, or converse with it."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.chat import ChatOptions, run_chat  # noqa: PLC0415

        options = ChatOptions(
            prompt=prompt,
            config=config,
            model=model,
            system=system,
            max_tokens=max_tokens,
            temperature=temperature,
            as_json=as_json,
            stream=not no_stream,
        )
        run_chat(options, screen)


@app.command()
def check(
    *,
    config: Config = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also fetch every secret and ask each provider's cheapest endpoint.")
    ] = False,
) -> None:
    """Check a configuration and show what it comes to. Exit code 2: it is wrong; 1: a provider failed."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.check import run_check  # noqa: PLC0415

        run_check(config, screen, live=live)


@app.command()
def models(
    *,
    config: Config = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole catalogue; needs no configuration.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the source of each fact.")] = False,
) -> None:
    """List the names that a request may use, and what is known of the models behind them."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.models import show_catalogue, show_names  # noqa: PLC0415

        if everything:
            show_catalogue(screen, as_json=as_json)
        else:
            show_names(config, screen, as_json=as_json)


@app.command()
def agents(
    *,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the capabilities in full.")] = False,
) -> None:
    """List the agents, what they can do, and what they may use."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.agents import show_agents  # noqa: PLC0415

        show_agents(config, screen, as_json=as_json)


@app.command()
def serve(
    *,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; else `server.host`.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; else `server.port`. 0: any free one.", min=0, max=65535)
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; else `server.workers`.", min=1)] = None,
) -> None:
    """Run the gateway for OpenAI and Anthropic clients."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.serve import run_gateway  # noqa: PLC0415
        from caxton_llm.server.serve import ServeOptions  # noqa: PLC0415

        run_gateway(config, ServeOptions(host=host, port=port, workers=workers), screen)


@app.command()
def providers(
    *,
    config: Config = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Address of the gateway; else the one in the configuration.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that the gateway tells, as JSON.")] = False,
) -> None:
    """Show how the providers of a running gateway are doing."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.providers import show_providers  # noqa: PLC0415

        show_providers(config, screen, url=url, as_json=as_json)


@alert_commands.callback()
def alerts_group() -> None:
    pass


@alert_commands.command("test")
def alerts_test(
    *,
    config: Config = None,
    channel: Annotated[int | None, typer.Option(help="Only this channel, counted from 1.", min=1)] = None,
) -> None:
    """Send a test alert through every channel. Exit code 1 when one did not take it."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.alerts import try_channels  # noqa: PLC0415

        try_channels(config, screen, only=channel)


@app.command()
def demo(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="A real provider: a key in the environment, or Ollama on its usual port.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the gateway running until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0: any free one.", min=0, max=65535)] = 0,
) -> None:
    """Show the gateway at work, with no key and no network."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.demo.run import DemoOptions, run_demo  # noqa: PLC0415

        run_demo(DemoOptions(live=live, keep=keep, port=port), screen)
