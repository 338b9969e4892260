"""A context document as people read it: a bar of the budget by source, and tables of what was kept and what was left out."""

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from caxton_llm.cli.screen import Screen, tokens
from caxton_llm.context.document_types import CandidateReport, ContextDocument
from caxton_llm.context.pieces import Source

__all__ = ["draw_context", "widths_of"]

_LOOKS: dict[Source, tuple[str, str]] = {
    "instructions": ("I", "blue"),
    "request": ("R", "magenta"),
    "conversation": ("C", "cyan"),
    "memory": ("M", "green"),
    "tools": ("T", "yellow"),
    "capabilities": ("A", "red"),
}
"""The letter of each source where there are no colours, and its colour."""
_FREE = "."
_BAR = 72
_SMALL = 4
"""A bar of the budget is drawn where at least one part in so many is used."""
_PIPE_TEXT = 120
"""Characters of a candidate's text in a pipe."""
_LEAST_TEXT = 30
_COLUMNS = ("#", "source", "score", "tokens", "stage", "reason", "text")


def draw_context(document: ContextDocument, screen: Screen) -> None:
    """Everything but the requests themselves, on standard output."""
    _draw_heading(document, screen)
    _draw_bar(document, screen)
    numbers = {candidate.id: str(number) for number, candidate in enumerate(document.candidates, 1)}
    kept = [one for one in document.candidates if one.kept]
    left_out = [one for one in document.candidates if not one.kept]
    _draw_candidates("Kept", kept, numbers, screen)
    _draw_candidates("Left out", left_out, numbers, screen)
    _draw_rest(document, screen)


def _draw_heading(document: ContextDocument, screen: Screen) -> None:
    asked, told = document.request_context, document.context_metadata
    who = asked.agent + (f", for {asked.requested_capability}" if asked.requested_capability else "")
    by = f", asked by {asked.requesting_agent}" if asked.requesting_agent else ""
    model = told.provider if told.target in ("", told.provider) else f"{told.provider} {told.target}"
    screen.line(f"{who}{by}, on {model}", "bold")
    used = _share(told.total_context_tokens, told.token_budget)
    screen.line(
        f"{tokens(told.total_context_tokens)} of {tokens(told.token_budget)} tokens ({used}), limited by"
        f" {told.budget_limited_by}; prepared in {told.preparation_time_ms:.0f} ms"
    )


def _draw_bar(document: ContextDocument, screen: Screen) -> None:
    """Of the whole budget, or of what is used where that would be a few cells."""
    told = document.context_metadata
    used, budget = told.total_context_tokens, told.token_budget
    is_small = used * _SMALL < budget
    whole = used if is_small else budget
    spent = [(source, told.tokens_by_source.get(source, 0)) for source in _LOOKS]
    room = min(_BAR, screen.out.width - 2)
    block, rest = ("█", "░") if _is_coloured(screen) else ("", _FREE)
    cells = widths_of([count for _, count in spent], whole, room)
    bar = Text("[")
    for (source, _), width in zip(spent, cells, strict=True):
        letter, colour = _LOOKS[source]
        bar.append((block or letter) * width, colour)
    bar.append(rest * (room - sum(cells)), "dim").append("]")
    screen.out.print(bar, soft_wrap=True)
    for source, count in spent:
        if count:
            letter, colour = _LOOKS[source]
            words = f"{source:<13}{tokens(count):>9} {_share(count, whole):>6}"
            screen.out.print(Text.assemble((block or letter, colour), f" {words}"))
    left = max(budget - used, 0)
    if is_small:
        screen.line(f"  {'free':<13}{tokens(left):>9}   (the bar and the shares are of what is used)", "dim")
    else:
        screen.out.print(Text.assemble((rest, "dim"), f" {'free':<13}{tokens(left):>9} {_share(left, budget):>6}"))


def widths_of(counts: Sequence[int], budget: int, room: int) -> list[int]:
    """The cells of each part in a bar of `room` cells: by their shares of the budget, at least one where there is anything,
    never more than the bar has."""
    widths = [max(round(room * count / budget), 1) if count and budget else 0 for count in counts]
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def _draw_candidates(
    title: str, candidates: Sequence[CandidateReport], numbers: dict[str, str], screen: Screen
) -> None:
    if not candidates:
        return
    screen.line()
    screen.line(f"{title}: {len(candidates)}", "bold")
    rows = [
        [numbers[one.id], one.source, f"{one.score:.2f}", tokens(one.tokens), one.stage, _reason(one, numbers)]
        for one in candidates
    ]
    room = _room_for_text(rows, screen)
    texts = (_begun(one.text, room) for one in candidates)
    screen.table(_COLUMNS, [[*row, text] for row, text in zip_longest(rows, texts, fillvalue="")])


def _reason(candidate: CandidateReport, numbers: dict[str, str]) -> str:
    other = None if candidate.repeats is None else numbers.get(candidate.repeats)
    return candidate.reason if other is None else f"{candidate.reason}, #{other}"


def _room_for_text(rows: Sequence[Sequence[str]], screen: Screen) -> int:
    """What the other columns leave; where that is too little, the text gets a table of its own."""
    if not screen.out_is_terminal:
        return _PIPE_TEXT
    widths = [
        max(cell_len(text) for text in (title, *(row[index] for row in rows)))
        for index, title in enumerate(_COLUMNS[:-1])
    ]
    left = screen.out.width - sum(widths) - 2 * len(widths)
    return left if left >= _LEAST_TEXT else max(screen.out.width - widths[0] - 2, _LEAST_TEXT)


def _begun(text: str, room: int) -> str:
    line = " ".join(text.split())
    return line if cell_len(line) <= room else set_cell_size(line, room - 1).rstrip() + "…"


def _draw_rest(document: ContextDocument, screen: Screen) -> None:
    told = document.context_metadata
    lines = [
        (f"missing: {gap.source}{f' {gap.name}' if gap.name else ''}: {gap.reason}", "yellow")
        for gap in told.sources_missing
    ]
    lines += [(f"note: {note}", "") for note in told.notes]
    if told.turns_not_relevant:
        count = told.turns_not_relevant
        what = "1 part of past turns has" if count == 1 else f"{count} parts of past turns have"
        lines.append((f"{what} less to do with the request than others, and no place among the candidates", "dim"))
    if lines:
        screen.line()
    for text, style in lines:
        screen.line(text, style)


def _is_coloured(screen: Screen) -> bool:
    console = screen.out
    return console.color_system is not None and not console.no_color and console.encoding.startswith("utf")


def _share(count: int, whole: int) -> str:
    if not whole:
        return "0 %"
    share = 100 * count / whole
    return f"{share:.0f} %" if share >= 1 or not count else "< 1 %"
