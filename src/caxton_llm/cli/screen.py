"""What commands show and where: answers and tables on standard output, everything else on standard error.

In a pipe the output is plain: no colours, no spinner, no cut-off columns. Text from outside (answers, providers' messages) is
never taken as markup, and control characters in it never reach a terminal.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self, TextIO

import msgspec
import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from caxton_llm.errors import ConfigurationError, InvalidRequest, LlmError

__all__ = ["INTERRUPTED", "Screen", "Waiting", "errors_reported", "money", "moment_of", "plain", "tokens", "utf8"]

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

_GAP = 2
"""Spaces between two columns."""
_PIPE_WIDTH = 2000
"""Columns of a table that no terminal limits."""
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Screen:
    """Standard output and standard error of one command."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # an answer that the terminal cannot show must not end the command
        # Asked of the streams themselves: FORCE_COLOR makes rich take a pipe for a terminal.
        self.in_is_terminal = _is_terminal(sys.stdin)
        self.out_is_terminal = _is_terminal(sys.stdout)
        self.err_is_terminal = _is_terminal(sys.stderr)
        self.is_watched = self.out_is_terminal and self.err_is_terminal
        """Somebody reads the answers here, so what moves or only informs may stand beside them."""
        self.out = Console(highlight=False, markup=False, width=None if self.out_is_terminal else _PIPE_WIDTH)
        self.err = Console(
            stderr=True, highlight=False, markup=False, width=None if self.err_is_terminal else _PIPE_WIDTH
        )

    def write(self, text: str) -> None:
        """A piece of an answer, at once. A pipe gets it as it is; where standard output is closed it goes nowhere."""
        if sys.stdout is None:
            return
        sys.stdout.write(plain(text) if self.out_is_terminal else text)
        sys.stdout.flush()

    def line(self, text: str = "", style: str = "", *, copied: bool = False) -> None:
        """A line on standard output. On a terminal it is wrapped between words, unless it is there to be `copied`."""
        self.out.print(Text(plain(text), style=style), soft_wrap=copied or not self.out_is_terminal)

    def note(self, text: str, style: str = "dim") -> None:
        """A line on standard error."""
        self.err.print(Text(plain(text), style=style), soft_wrap=not self.err_is_terminal)

    def warn(self, text: str) -> None:
        """Something that is not as it should be, and did not stop the command."""
        self._marked("warning: ", "yellow", text)

    def fail(self, text: str) -> None:
        """Why the command failed."""
        self._marked("error: ", "bold red", text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table on standard output, without the columns that are empty in every row.

        On a terminal that is too narrow for it: several tables one below the other, each beginning with the first column;
        where two columns do not fit beside each other, paragraphs, one per row.
        """
        used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
        widths = {
            index: max(cell_len(text) for text in (columns[index], *(row[index] for row in rows))) for index in used
        }
        parts = _side_by_side(used, widths, self.out.width)
        if parts is None:
            self._paragraphs(columns, rows, used)
            return
        for number, part in enumerate(parts):
            if number:
                self.line()
            self.out.print(_table(columns, rows, part))

    def _paragraphs(self, columns: Sequence[str], rows: Sequence[Sequence[str]], used: Sequence[int]) -> None:
        for row in rows:
            self.line(row[used[0]], "bold")
            rest = " · ".join(f"{columns[index]}: {row[index]}" for index in used[1:] if row[index])
            self.out.print(Padding(Text(plain(rest)), (0, 0, 0, 2)))

    def json(self, value: object) -> None:
        """A value on standard output, indented, for people and programs."""
        self.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the answer is yes. Raises `typer.BadParameter` where nobody can be asked, unless `yes` is given."""
        if yes:
            return
        if not self.in_is_terminal:
            raise typer.BadParameter("nobody can be asked here: say --yes")
        typer.confirm(plain(question), abort=True, err=True)

    def waiting(self, label: str) -> "Waiting":
        """A spinner with the elapsed time while something is under way; nothing when the output goes to a pipe or a file."""
        return Waiting(self.err, label, shown=self.is_watched)

    def _marked(self, mark: str, style: str, text: str) -> None:
        self.err.print(Text.assemble((mark, style), plain(text)), soft_wrap=not self.err_is_terminal)


class Waiting:
    """A line on standard error, for as long as the `with` block lasts or until `stop`; `label` may change meanwhile."""

    def __init__(self, console: Console, label: str, *, shown: bool) -> None:
        self.label = label
        self._started = time.monotonic()
        self._frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if console.encoding.startswith("utf") else "|/-\\"
        self._live: Live | None = None
        if shown:
            self._live = Live(
                self,
                console=console,
                transient=True,
                refresh_per_second=10,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __rich__(self) -> Text:
        seconds = time.monotonic() - self._started
        frame = self._frames[int(seconds * 10) % len(self._frames)]
        return Text(f"{frame} {plain(self.label)} {seconds:.1f} s", style="dim", no_wrap=True)

    def stop(self) -> None:
        """Take the line away. Safe to call twice."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


@contextmanager
def errors_reported(screen: Screen) -> Iterator[None]:
    """Ends the command with one message and an exit code: 2 for the configuration, 1 for a request, 130 for Ctrl-C."""
    try:
        yield
    except ConfigurationError as error:
        for problem in error.problems:
            screen.fail(str(problem))
        if len(error.problems) > 1:
            screen.note(f"{len(error.problems)} problems", style="")
        raise typer.Exit(2) from None
    except LlmError as error:
        screen.fail(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if screen.err_is_terminal:
            screen.note("")  # the shell's prompt begins on a line of its own
        raise typer.Exit(INTERRUPTED) from None


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], used: Sequence[int]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False
    )
    for index in used:
        table.add_column(columns[index], no_wrap=True)
    for row in rows:
        table.add_row(*(Text(plain(row[index])) for index in used))
    return table


def _side_by_side(used: Sequence[int], widths: Mapping[int, int], limit: int) -> list[list[int]] | None:
    """The columns in groups that are at most `limit` wide, the first column in each; `None` when that cannot be done."""
    first = used[0]
    parts = [[first]]
    taken = widths[first]
    for index in used[1:]:
        if taken + _GAP + widths[index] > limit and len(parts[-1]) > 1:
            parts.append([first])
            taken = widths[first]
        parts[-1].append(index)
        taken += _GAP + widths[index]
        if taken > limit:
            return None
    return parts


def plain(text: str) -> str:
    """Text without control characters, which could move a terminal's cursor or rename its window."""
    return text.translate(_CONTROLS)


def utf8(text: str, what: str) -> str:
    """The text itself. Raises `InvalidRequest` for bytes that are not UTF-8, which Python keeps as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} is not UTF-8 text") from None
    return text


def money(usd: float | None) -> str:
    """`$0.0012`; an unknown cost is said to be unknown."""
    if usd is None:
        return "cost unknown"
    if usd == 0:
        return "$0"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.6f}".rstrip("0") if usd >= 0.000001 else "< $0.000001"


def tokens(count: int | None) -> str:
    """`128 000`; `?` when it is not known."""
    return "?" if count is None else f"{count:,}".replace(",", " ")


def moment_of(seconds: float) -> str:
    """`2026-05-01 12:00:00Z`, of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
