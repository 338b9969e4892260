"""`caxton context`: what its commands understand. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from caxton_llm.cli.options import Config
from caxton_llm.cli.screen import Screen, errors_reported

__all__ = ["context_commands"]

context_commands = typer.Typer(
    name="context", help="What requests to agents are sent with, and why.", no_args_is_help=True
)


@context_commands.callback()
def context_group() -> None:
    pass


@context_commands.command()
def explain(
    request: Annotated[
        Path | None, typer.Argument(metavar="REQUEST", help="An OpenAI chat request as JSON; -: standard input.")
    ] = None,
    *,
    config: Config = None,
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", help="Who is asked; else as the request says, else the only agent.")
    ] = None,
    capability: Annotated[str | None, typer.Option("--capability", help="What is asked for, instead of whom.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="The question, without a REQUEST.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="The stored conversation.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", metavar="NAME=VALUE", help="A variable of the request; may be repeated."),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", "-p", help="An entry or a kind that the request is shown for; may be repeated."),
    ] = None,
    payloads: Annotated[bool, typer.Option("--payloads", help="Show the requests that are sent, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole context document as JSON.")] = False,
) -> None:
    """Show what a request would be sent with: the budget, what is kept and what is left out. Nothing is sent or kept."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.context.asked import AskedOptions  # noqa: PLC0415
        from caxton_llm.cli.context.explaining import run_explain  # noqa: PLC0415

        asked = AskedOptions(
            request=request,
            agent=agent,
            capability=capability,
            message=message,
            conversation=conversation,
            parameters=parameter or (),
        )
        run_explain(config, asked, screen, providers=provider or (), payloads=payloads, as_json=as_json)
