"""`caxton memory export`, `import`, `rebuild`, `purge` and `verify`."""

from pathlib import Path

import typer
from msgspec import Struct

from caxton_llm.cli.files import is_stream, pieces_of, reading, writing
from caxton_llm.cli.memory.opened import opened_memory, shown_progress
from caxton_llm.cli.memory.place import Place
from caxton_llm.cli.screen import Screen
from caxton_llm.errors import LlmError
from caxton_llm.memory.transfer import Format, lines_of

__all__ = ["ImportOptions", "export", "load", "purge", "rebuild", "verify"]


class ImportOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    file: Path
    format: Format
    tenant: str | None
    keep_going: bool


def export(place: Place, output: Path, screen: Screen, *, tenant: str | None, history: bool) -> None:
    """Everything as JSON Lines."""
    with opened_memory(place, screen) as memory:
        count = 0
        with writing(output) as file, shown_progress(screen, "exporting") as told:
            for line in memory.export(tenant=tenant, history=history, progress=told):
                file.write(line)
                count += 1
        where = "" if is_stream(output) else f" to {output}"
        screen.note(f"{count} records exported{where}")


def load(place: Place, options: ImportOptions, screen: Screen) -> None:
    """Import a file, or standard input. Exit code 1 when lines could not be used."""
    with reading(options.file) as file, opened_memory(place, screen, create=True) as memory:
        size = options.file.stat().st_size if options.file.is_file() else None
        try:
            with shown_progress(screen, "importing", unit="lines" if size is None else "bytes") as told:
                imported = memory.load(
                    lines_of(pieces_of(file, size, told)),
                    format=options.format,
                    tenant=options.tenant,
                    strict=not options.keep_going,
                    progress=told if size is None else None,
                )
        except (LlmError, KeyboardInterrupt):
            screen.note(
                "What was imported before stays. Importing the whole file again is safe: nothing is written twice."
            )
            raise
        for problem in imported.problems:
            screen.warn(problem)
        if imported.problems_total > len(imported.problems):
            screen.warn(f"{imported.problems_total - len(imported.problems)} more lines could not be used")
        counts = f"{imported.created} created, {imported.changed} changed, {imported.unchanged} there already"
        passed_over = f", {imported.problems_total} problems" if imported.problems else ""
        screen.line(f"{imported.lines} lines: {counts}{passed_over}")
        if imported.problems:
            raise typer.Exit(1)


def rebuild(place: Place, screen: Screen) -> None:
    """Make the indexes anew from the records."""
    with opened_memory(place, screen, mend=False) as memory:
        with shown_progress(screen, "making the indexes anew") as told:
            memory.rebuild(told)
        screen.line("the indexes were made anew")


def purge(place: Place, screen: Screen) -> None:
    """Rewrite what may hold traces of deleted records."""
    with opened_memory(place, screen) as memory:
        with shown_progress(screen, "rewriting the indexes") as told:
            memory.purge(told)
        screen.line("no traces of deleted records are left in the indexes")


def verify(place: Place, screen: Screen) -> None:
    """Everything that is wrong with the store. Exit code 1 when something is."""
    with opened_memory(place, screen, mend=False) as memory:
        with shown_progress(screen, "checking") as told:
            problems = memory.verify(told)
        for problem in dict.fromkeys([*memory.problems, *problems]):
            screen.line(problem)
        if problems or memory.problems:
            screen.note(
                "`caxton memory rebuild` makes the indexes anew; anything else needs a backup or an export.", style=""
            )
            raise typer.Exit(1)
        screen.line("nothing is wrong")
