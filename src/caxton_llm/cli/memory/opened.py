"""The memory that a command works on: where it is, opening it, and mending its indexes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from caxton_llm.cli.memory.place import Place
from caxton_llm.cli.screen import Screen
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.config.memory_configuration import MemoryConfiguration
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError, LlmError
from caxton_llm.memory.store import Progress as Told
from caxton_llm.memory_system import Memory

__all__ = ["opened_memory", "shown_progress"]

_DEFAULT = Path("caxton-memory")


@contextmanager
def opened_memory(place: Place, screen: Screen, *, create: bool = False, mend: bool = True) -> Iterator[Memory]:
    """The memory that is meant. Raises `ConfigurationError` when there is none and `create` is false.

    With `mend`, indexes that were found damaged are made anew when the command is done.
    """
    configuration, entries = _configured(place)
    if configuration.store == "sqlite" and not create and not Memory.is_in(configuration.folder):
        raise ConfigurationError(
            f"there is no memory in {configuration.folder}: name its folder with --path, or begin one with `caxton memory"
            " add` or `caxton memory import`"
        )
    with screen.waiting("opening the memory"):
        memory = Memory.from_configuration(configuration, entries)
    with memory:
        yield memory
        of_indexes = memory.store.problems if configuration.store == "sqlite" else []
        for problem in dict.fromkeys(memory.problems):
            if problem not in of_indexes:
                screen.warn(problem)
        if mend and of_indexes:
            _mend(memory, screen)


def _configured(place: Place) -> tuple[MemoryConfiguration, list[ProviderEntry]]:
    """The memory that is meant, and the configured providers, which its embedder may be reached through."""
    if place.path is None:
        try:
            file = locate(place.config)
        except ConfigurationError:
            if place.config is not None:
                raise
        else:
            configuration = resolve_secrets(load_file(file))
            if configuration.memory is not None:
                return configuration.memory, [entry.settings for entry in configuration.entries]
            if place.config is not None:
                raise ConfigurationError(
                    f"{file} has no `memory` block: add one, or name the memory's folder with --path"
                )
    return MemoryConfiguration(store="sqlite", folder=str(place.path or _DEFAULT)), []


def _mend(memory: Memory, screen: Screen) -> None:
    found = "; ".join(dict.fromkeys(memory.store.problems))
    try:
        with shown_progress(screen, "making the indexes anew") as told:
            memory.rebuild(told)
    except LlmError as error:
        screen.warn(f"{found}. Searches do without it; it could not be made anew: {error}")
        return
    screen.warn(f"{found}. It was made anew; no record is lost")


@contextmanager
def shown_progress(screen: Screen, label: str, *, unit: str = "records") -> Iterator[Told]:
    """A bar on standard error, on a terminal only. What it yields is called with what is done and what there is to do."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen.err, transient=True, disable=not screen.err_is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
