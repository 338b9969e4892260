"""What a demonstration looks like."""

import msgspec
from rich.syntax import Syntax
from rich.text import Text

from caxton_llm.cli.demo.clients import Answer
from caxton_llm.cli.demo.plan import Plan
from caxton_llm.cli.demo.record import Exchange
from caxton_llm.cli.screen import Screen, money, plain, tokens
from caxton_llm.types import Json

__all__ = ["DemoView"]

_WHAT = {
    "plain": "a plain question",
    "streamed": "the same question, streamed",
    "tool call": "a question with a tool",
    "tool result": "the tool's result goes back",
}
_SHOWN_LESS = ("x-caxton-request-id", "x-caxton-cost-usd")
"""Headers that say nothing to a reader, or are said again below."""


class DemoView:
    """Shows requests as JSON, answers as text, and the rest in one line."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._json = Syntax("", "json", theme="ansi_dark", background_color="default")
        self._streaming = False
        self._before: dict[str, Json] = {}

    def introduce(self, plan: Plan, address: str) -> None:
        screen = self._screen
        screen.line("Caxton: one gateway, any client, any provider", "bold")
        screen.line(f"A gateway listens at {address}. Behind it is {plan.about}.")
        screen.line("Two clients ask it the same things: one speaks OpenAI's API, the other Anthropic's.")

    def show_request(self, number: int, exchange: Exchange, body: dict[str, Json]) -> None:
        screen = self._screen
        screen.line()
        heading = Text.assemble(
            (f"{number}. {exchange.client} client: {_WHAT[exchange.what]}", "bold cyan"), f"   POST {exchange.path}"
        )
        screen.out.print(heading)
        code = self._json.highlight(plain(_compact(body, self._before)))
        code.highlight_words(["…"], "not underline default")
        screen.out.print(code, end="", soft_wrap=not screen.out_is_terminal)
        self._before = body

    def show_piece(self, text: str) -> None:
        """Text of a stream, as it comes."""
        if not self._streaming:
            self._streaming = True
            self._screen.write("← ")
        self._screen.write(text)

    def show_outcome(self, exchange: Exchange, answer: Answer) -> None:
        screen = self._screen
        if not self._end_stream() and answer.text:
            screen.line(f"← {answer.text}")
        if answer.call is not None:
            screen.line(f"← call {answer.call.name}({answer.call.arguments})", "green")
        headers = [f"{name}: {value}" for name, value in exchange.headers.items() if name not in _SHOWN_LESS]
        for line in _packed(headers, screen.out.width):
            screen.line(line, "dim")
        screen.line(f"{exchange.status} · {_facts(exchange)}", "dim")
        if exchange.failure:
            self.show_failure(exchange.failure)

    def show_failure(self, reason: str) -> None:
        self._end_stream()
        self._screen.line(f"failed: {reason}", "bold red")

    def sum_up(self, exchanges: list[Exchange]) -> None:
        """The table at the end."""
        columns = ("client", "request", "status", "first text", "whole", "in", "out", "cost", "overhead")
        self._screen.line()
        self._screen.table(columns, [_row(exchange) for exchange in exchanges])
        failed = sum(bool(exchange.failure) for exchange in exchanges)
        if failed:
            self._screen.line(f"{failed} of {len(exchanges)} exchanges failed", "bold red")
        else:
            self._screen.line(f"All {len(exchanges)} exchanges went as they should.", "bold green")

    def show_how_to_connect(self, address: str, *, kept: bool) -> None:
        self._screen.line()

        def line(text: str, style: str = "") -> None:
            self._screen.line(text, style, copied=True)

        line("Your own client, by changing its address only:" if kept else "Your own client", "bold")
        if not kept:
            line("  caxton demo --keep --port 8787   keeps this gateway until Ctrl-C")
            line("  caxton serve -c caxton.yaml      serves your providers; to begin with:")
            line("                                     llm:")
            line("                                       provider: builtin")
            address = "http://127.0.0.1:8787"
        line(f'  openai      OpenAI(base_url="{address}/v1", api_key="unused")')
        line(f'  anthropic   Anthropic(base_url="{address}", api_key="unused")')
        line(f"  curl        curl {address}/v1/chat/completions \\")
        line("    -H 'content-type: application/json' \\")
        line("""    -d '{"model":"default","messages":[{"role":"user","content":"Hello"}]}'""")

    def _end_stream(self) -> bool:
        """Whether a stream was being shown; its line is ended."""
        shown, self._streaming = self._streaming, False
        if shown:
            self._screen.write("\n")
        return shown


def _packed(parts: list[str], width: int) -> list[str]:
    """As many of them in a line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f"   {part}"
        else:
            lines.append(part)
    return lines


def _compact(body: dict[str, Json], before: dict[str, Json]) -> str:
    """JSON with one line per field, and one per message of a conversation; when the request before is continued, only what
    is new."""
    turns, earlier = body["messages"], before.get("messages", [])
    continued = len(turns) > len(earlier) > 0 and turns[: len(earlier)] == earlier
    shown = {name: value for name, value in body.items() if not (continued and before.get(name) == value)}
    fields = ["  …"] if len(shown) < len(body) else []
    for name, value in shown.items():
        if continued and name == "messages":
            lines = ["…", *(_spaced(turn) for turn in turns[len(earlier) :])]
            fields.append('  "messages": [\n    ' + ",\n    ".join(lines) + "\n  ]")
        else:
            fields.append(f"  {_spaced(name)}: {_spaced(value)}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _spaced(value: Json) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _facts(exchange: Exchange) -> str:
    parts = [
        f"{tokens(exchange.prompt_tokens)} + {tokens(exchange.completion_tokens)} tokens",
        money(exchange.cost_usd),
    ]
    if exchange.first_s is not None:
        parts.append(f"first text after {_time(exchange.first_s)}")
    parts.append(_time(exchange.total_s))
    return " · ".join(parts)


def _row(exchange: Exchange) -> tuple[str, ...]:
    overhead = exchange.headers.get("x-caxton-overhead-ms", "")
    return (
        exchange.client,
        exchange.what,
        exchange.failure or str(exchange.status),
        _time(exchange.first_s),
        _time(exchange.total_s),
        tokens(exchange.prompt_tokens),
        tokens(exchange.completion_tokens),
        money(exchange.cost_usd),
        f"{overhead} ms" if overhead not in ("", "unknown") else overhead,
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
