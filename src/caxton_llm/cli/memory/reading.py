"""`caxton memory search`, `show` and `stats`."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from caxton_llm.cli.memory.asked import FilterOptions, filters_of
from caxton_llm.cli.memory.named import named, title
from caxton_llm.cli.memory.opened import opened_memory
from caxton_llm.cli.memory.place import Place
from caxton_llm.cli.screen import Screen, moment_of, utf8
from caxton_llm.memory.hits import Found, Hit, Reasons
from caxton_llm.memory.model import Entity, Record, Relation
from caxton_llm.memory_system import Memory

__all__ = ["SearchOptions", "run_search", "show_record", "show_stats"]

_SHOWN = 100
"""Characters of a passage in a table on a terminal."""
_PARTS = tuple(name for name in Reasons.__struct_fields__ if name != "total")


class SearchOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    query: str
    filters: FilterOptions
    max_results: int | None
    min_similarity: float | None
    explain: bool
    as_json: bool


def run_search(place: Place, options: SearchOptions, screen: Screen) -> None:
    """A table of what was found, best first; a note when nothing was."""
    filters = filters_of(options.filters)
    query = utf8(options.query, "the query")
    with opened_memory(place, screen) as memory:
        found = memory.search(query, filters, max_results=options.max_results, min_similarity=options.min_similarity)
        if found.problem is not None:
            screen.warn(f"without similarities: {found.problem}")
        if options.as_json:
            screen.json(found)
        elif found.hits:
            _show_hits(found, screen, explain=options.explain)
        else:
            compared = f"{found.searched} records searched, {found.candidates} of them compared"
            reached = "" if options.min_similarity is None else f", none reaches {options.min_similarity:g}"
            screen.note(f"nothing found: {compared}{reached}", style="")


def _show_hits(found: Found, screen: Screen, *, explain: bool) -> None:
    columns = ["rank", "name", "similarity", "found by"]
    columns += ["score", *_PARTS] if explain else []
    columns.append("passage")
    rows = []
    for rank, hit in enumerate(found.hits, 1):
        near = "?" if hit.similarity is None else f"{hit.similarity:.2f}"
        row = [str(rank), title(hit.record), near, ", ".join(hit.found_by)]
        row += _explained(hit) if explain else []
        rows.append([*row, _passage(hit.passage, short=screen.out_is_terminal)])
    screen.table(columns, rows)


def _explained(hit: Hit) -> list[str]:
    """The score and its parts; a part that adds nothing is empty."""
    parts = [round(getattr(hit.reasons, name), 2) for name in _PARTS]
    return [f"{hit.score:.2f}", *(f"{part:+.2f}" if part else "" for part in parts)]


def _passage(text: str, *, short: bool) -> str:
    line = " ".join(text.split())
    return line if not short or len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def show_record(place: Place, who: str, screen: Screen, *, tenant: str, history: bool, as_json: bool) -> None:
    """A record by its id or an entity by its name, with what it is related to. Raises `InvalidRequest`."""
    with opened_memory(place, screen) as memory:
        record = named(memory, who, tenant)
        versions = memory.history(record.id, tenant=tenant) if history else []
        relations = memory.relations_of([record.id], tenant=tenant) if isinstance(record, Entity) else []
        if as_json:
            screen.json({"record": record, "relations": relations, **({"versions": versions} if history else {})})
            return
        _show_one(record, screen)
        _show_relations(memory, record, relations, screen)
        for version in versions[1:]:
            screen.line()
            _show_one(version, screen)


def _show_one(record: Record, screen: Screen) -> None:
    screen.line(title(record), "bold")
    owner = {"agent": record.agent, "workspace": record.workspace, "global": ""}[record.scope]
    facts = [f"id {record.id}", f"version {record.version}", f"scope {record.scope}{f' {owner}' if owner else ''}"]
    facts += [f"updated {moment_of(record.updated)}"] if record.updated is not None else []
    screen.line("  " + " · ".join(facts), "dim")
    if record.metadata:
        screen.line(f"  {msgspec.json.encode(record.metadata).decode()}", "dim")
    if isinstance(record, Entity):
        for seen in record.observations:
            notes = [
                *([] if seen.at is None else [moment_of(seen.at)]),
                *([] if seen.source is None else [f"from {seen.source}"]),
                *([] if seen.confidence is None else [f"confidence {seen.confidence:g}"]),
            ]
            noted = f" ({', '.join(notes)})" if notes else ""
            screen.line(f"  - {seen.text}{noted}")
    elif not isinstance(record, Relation):
        screen.line(f"  {record.text}")


def _show_relations(memory: Memory, record: Record, relations: Sequence[Relation], screen: Screen) -> None:
    ends = {end for relation in relations for end in (relation.source, relation.target)}
    names = {name: title(one) for name, one in memory.get(ends, tenant=record.tenant).items()}
    for relation in relations:
        source, target = names.get(relation.source, "?"), names.get(relation.target, "?")
        screen.line(f"  {source} --{relation.type}--> {target}")


def show_stats(place: Place, screen: Screen, *, as_json: bool) -> None:
    """How much there is."""
    with opened_memory(place, screen) as memory:
        stats = memory.stats()
        if as_json:
            screen.json(stats)
            return
        figures = {name: str(getattr(stats, name)) for name in stats.__struct_fields__}
        for name in ("database_bytes", "index_bytes"):
            figures[name.replace("_bytes", "")] = f"{int(figures.pop(name)) / 2**20:.1f} MiB"
        screen.table(("what", "how much"), [(name.replace("_", " "), figure) for name, figure in figures.items()])
