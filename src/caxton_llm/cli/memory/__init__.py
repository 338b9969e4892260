"""`caxton memory`: what its commands understand. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from caxton_llm.cli.memory.place import Place
from caxton_llm.cli.options import Config
from caxton_llm.cli.screen import Screen, errors_reported

__all__ = ["memory_commands"]

memory_commands = typer.Typer(
    name="memory",
    help="The memory: what is known and what was said, found again by meaning and by words.",
    no_args_is_help=True,
)

_Folder = Annotated[
    Path | None,
    typer.Option("--path", metavar="FOLDER", help="The memory's folder; else as configured, else ./caxton-memory."),
]
_Tenant = Annotated[str, typer.Option("--tenant", help="Whose records; else those of the tenant without a name.")]
_SomeTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant; else all.")]
_Agent = Annotated[str, typer.Option("--agent", help="Who writes it; needed for the scope agent.")]
_Workspace = Annotated[str, typer.Option("--workspace", help="The workspace that it belongs to.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_Purge = Annotated[bool, typer.Option("--purge", help="Rewrite index files that may hold traces, at once.")]
_Kinds = Annotated[list[str] | None, typer.Option("--kind", help="entity, relation or turn; may be repeated.")]


@memory_commands.callback()
def memory_group() -> None:
    pass


@memory_commands.command()
def search(  # noqa: PLR0913 - options
    query: Annotated[str, typer.Argument(help="A question, a sentence or a few words.")],
    *,
    path: _Folder = None,
    config: Config = None,
    max_results: Annotated[
        int | None, typer.Option("--max-results", "-n", min=1, max=10_000, help="Default: as configured, else 10.")
    ] = None,
    min_similarity: Annotated[
        float | None, typer.Option(help="Only what is at least so similar, 0 to 1.", min=0.0, max=1.0)
    ] = None,
    tenant: _Tenant = "",
    agent: Annotated[str | None, typer.Option(help="Only what this agent may see.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Only what belongs to this workspace, or to all.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="agent, workspace or global; may be repeated.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Types of entities; may be repeated.")] = None,
    kind: _Kinds = None,
    area: Annotated[list[str] | None, typer.Option(help="Types or tags, however written; may be repeated.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only turns of this conversation.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From this ISO date or time on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Up to this ISO date or time, inclusive.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    as_json: _Json = False,
) -> None:
    """Search by meaning and by words."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.asked import FilterOptions  # noqa: PLC0415
        from caxton_llm.cli.memory.reading import SearchOptions, run_search  # noqa: PLC0415

        filters = FilterOptions(
            tenant=tenant,
            agent=agent,
            workspace=workspace,
            scopes=scope,
            types=type_,
            kinds=kind,
            areas=area,
            conversation=conversation,
            since=since,
            until=until,
        )
        options = SearchOptions(
            query=query,
            filters=filters,
            max_results=max_results,
            min_similarity=min_similarity,
            explain=explain,
            as_json=as_json,
        )
        run_search(Place(path, config), options, screen)


@memory_commands.command()
def show(
    who: Annotated[str, typer.Argument(metavar="NAME_OR_ID")],
    *,
    path: _Folder = None,
    config: Config = None,
    tenant: _Tenant = "",
    history: Annotated[bool, typer.Option("--history", help="With its earlier versions, the newest first.")] = False,
    as_json: _Json = False,
) -> None:
    """Show a record with what it is related to."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.reading import show_record  # noqa: PLC0415

        show_record(Place(path, config), who, screen, tenant=tenant, history=history, as_json=as_json)


@memory_commands.command()
def stats(*, path: _Folder = None, config: Config = None, as_json: _Json = False) -> None:
    """Show how much there is."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.reading import show_stats  # noqa: PLC0415

        show_stats(Place(path, config), screen, as_json=as_json)


@memory_commands.command()
def add(  # noqa: PLR0913 - options
    name: Annotated[
        str | None, typer.Argument(help="The entity's name. -: records from standard input, one JSON object a line.")
    ] = None,
    observations: Annotated[list[str] | None, typer.Argument(help="What is known of it.")] = None,
    *,
    path: _Folder = None,
    config: Config = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="What kind of thing it is; else that of its namesake, else note.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where the observations come from.")] = None,
    confidence: Annotated[float | None, typer.Option(help="How certain it is.", min=0.0, max=1.0)] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A focus area beside the type; may be repeated.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="The value may be JSON; may be repeated.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="NAME", help="A relation from this entity ...")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="NAME", help="... to this one ...")] = None,
    relation: Annotated[str | None, typer.Option("--relation", metavar="TYPE", help="... of this type.")] = None,
    strength: Annotated[float | None, typer.Option(help="How strong the relation is.", min=0.0, max=1.0)] = None,
    tenant: _Tenant = "",
    scope: Annotated[Literal["agent", "workspace", "global"], typer.Option(help="Who may find it.")] = "workspace",
    agent: _Agent = "",
    workspace: _Workspace = "",
    as_json: _Json = False,
) -> None:
    """Write an entity or a relation. An entity that is there already gets what is new."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.writing import AddOptions, run_add  # noqa: PLC0415

        options = AddOptions(
            name=name,
            observations=observations or (),
            type=type_,
            source=source,
            confidence=confidence,
            tags=tag or (),
            metadata=metadata or (),
            start=start,
            end=end,
            relation=relation,
            strength=strength,
            tenant=tenant,
            scope=scope,
            agent=agent,
            workspace=workspace,
            as_json=as_json,
        )
        run_add(Place(path, config), options, screen)


@memory_commands.command()
def forget(
    who: Annotated[list[str], typer.Argument(metavar="NAME_OR_ID")],
    *,
    path: _Folder = None,
    config: Config = None,
    tenant: _Tenant = "",
    yes: _Yes = False,
    purge_too: _Purge = False,
    as_json: _Json = False,
) -> None:
    """Delete records for good, and say whether index files may still hold traces."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.writing import forget as run_forget  # noqa: PLC0415

        run_forget(Place(path, config), who, screen, tenant=tenant, yes=yes, purge=purge_too, as_json=as_json)


@memory_commands.command()
def retain(
    *,
    path: _Folder = None,
    config: Config = None,
    max_age_days: Annotated[float | None, typer.Option(help="Since its last change.", min=0.0)] = None,
    max_records: Annotated[int | None, typer.Option(help="The newest of each owner.", min=0)] = None,
    kind: _Kinds = None,
    tenant: _SomeTenant = None,
    yes: _Yes = False,
    purge_too: _Purge = False,
    as_json: _Json = False,
) -> None:
    """Delete for good what is too old or too much."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.asked import retention_of  # noqa: PLC0415
        from caxton_llm.cli.memory.writing import retain as run_retain  # noqa: PLC0415

        retention = retention_of(max_age_days, max_records, kind, tenant)
        run_retain(Place(path, config), retention, screen, yes=yes, purge=purge_too, as_json=as_json)


@memory_commands.command()
def purge(*, path: _Folder = None, config: Config = None) -> None:
    """Rewrite index files that may hold traces of what was deleted."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.files import purge as run_purge  # noqa: PLC0415

        run_purge(Place(path, config), screen)


@memory_commands.command()
def export(
    *,
    path: _Folder = None,
    config: Config = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="-: standard output.")] = Path("-"),
    tenant: _SomeTenant = None,
    history: Annotated[bool, typer.Option(help="With earlier versions.")] = True,
) -> None:
    """Write everything as JSON Lines, which `import` reads without loss."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.files import export as run_export  # noqa: PLC0415

        run_export(Place(path, config), output, screen, tenant=tenant, history=history)


@memory_commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="-: standard input.")],
    *,
    path: _Folder = None,
    config: Config = None,
    format_: Annotated[
        Literal["auto", "caxton", "mcp"], typer.Option("--format", help="An export, or an MCP server's memory file.")
    ] = "auto",
    tenant: Annotated[str | None, typer.Option(help="Everything becomes this tenant's.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Pass over lines that cannot be used.")] = False,
) -> None:
    """Import JSON Lines. It may be broken off and begun again: nothing is written twice."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.files import ImportOptions, load  # noqa: PLC0415

        load(
            Place(path, config), ImportOptions(file=file, format=format_, tenant=tenant, keep_going=keep_going), screen
        )


@memory_commands.command()
def rebuild(*, path: _Folder = None, config: Config = None) -> None:
    """Make the indexes anew from the records."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.files import rebuild as run_rebuild  # noqa: PLC0415

        run_rebuild(Place(path, config), screen)


@memory_commands.command()
def verify(*, path: _Folder = None, config: Config = None) -> None:
    """Check records and indexes. Exit code 1 when something is wrong."""
    screen = Screen()
    with errors_reported(screen):
        from caxton_llm.cli.memory.files import verify as run_verify  # noqa: PLC0415

        run_verify(Place(path, config), screen)
