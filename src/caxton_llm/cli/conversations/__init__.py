"""`caxton conversations`: what its commands understand. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from caxton_llm.cli.conversations.place import Whose
from caxton_llm.cli.options import Config
from caxton_llm.cli.screen import Screen, errors_reported

__all__ = ["conversation_commands"]

conversation_commands = typer.Typer(
    name="conversations", help="Stored conversations: list, show, move, delete.", no_args_is_help=True
)

_Folder = Annotated[
    Path | None,
    typer.Option("--path", metavar="FOLDER", help="Where they are; else as configured, else ./caxton-conversations."),
]
_Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's; else all.")]
_Agent = Annotated[str | None, typer.Option("--agent", "-a", help="Only this agent's; else all.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@conversation_commands.callback()
def conversations_group() -> None:
    pass


@conversation_commands.command("list")
def list_(
    *, path: _Folder = None, config: Config = None, tenant: _Tenant = None, agent: _Agent = None, as_json: _Json = False
) -> None:
    """List conversations, the oldest first."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.conversations.showing import list_conversations  # noqa: PLC0415

        list_conversations(Whose(path, config, tenant, agent), screen, as_json=as_json)


@conversation_commands.command()
def show(
    name: Annotated[str, typer.Argument(metavar="CONVERSATION")],
    *,
    path: _Folder = None,
    config: Config = None,
    tenant: _Tenant = None,
    agent: _Agent = None,
    as_json: _Json = False,
) -> None:
    """Show a conversation: what was said, the tools that were called, the summaries."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.conversations.showing import show_conversation  # noqa: PLC0415

        show_conversation(Whose(path, config, tenant, agent), name, screen, as_json=as_json)


@conversation_commands.command()
def export(
    *,
    path: _Folder = None,
    config: Config = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="-: standard output.")] = Path("-"),
    tenant: _Tenant = None,
    agent: _Agent = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Only the one of this name.")] = None,
) -> None:
    """Write conversations as JSON Lines, which `import` reads without loss."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.conversations.moving import export as run_export  # noqa: PLC0415

        run_export(Whose(path, config, tenant, agent), output, screen, conversation=conversation)


@conversation_commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="-: standard input.")],
    *,
    path: _Folder = None,
    config: Config = None,
    tenant: Annotated[str | None, typer.Option(help="Everything becomes this tenant's.")] = None,
) -> None:
    """Import JSON Lines of an export. It may be broken off and begun again: nothing is written twice."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.conversations.moving import load  # noqa: PLC0415

        load(Whose(path, config, tenant, None), file, screen)


@conversation_commands.command()
def delete(
    names: Annotated[list[str] | None, typer.Argument(metavar="CONVERSATION")] = None,
    *,
    path: _Folder = None,
    config: Config = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of --tenant (empty: the one without a name), or of its --agent.")
    ] = False,
    tenant: _Tenant = None,
    agent: _Agent = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete conversations for good, after asking."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.conversations.deleting import delete_all, delete_named  # noqa: PLC0415

        whose = Whose(path, config, tenant, agent)
        if everything and not names:
            delete_all(whose, screen, yes=yes, as_json=as_json)
        elif names and not everything:
            delete_named(whose, names, screen, yes=yes, as_json=as_json)
        else:
            raise typer.BadParameter("name conversations, or say --all with --tenant")
