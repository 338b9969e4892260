"""The decision table of `docs/routing.md`, written by asking the code that decides."""

import inspect
from collections.abc import Iterator

from caxton_llm import errors
from caxton_llm.errors import LlmError
from caxton_llm.routing.policy import RULES, Situation, allows_repeat, counts_against_target, decide
from caxton_llm.routing.strategy import STRATEGIES

__all__ = ["decision_table", "strategy_table"]

_SITUATIONS = {
    "only target": Situation(more_targets=False),
    "first of several": Situation(more_targets=True),
    "a fallback, others left": Situation(more_targets=True, first_target=False),
    "keys left": Situation(more_targets=True, more_keys=True),
}

_WORDS = {"repeat": "again", "other_key": "next key", "next": "next target", "end": "error"}


def decision_table() -> str:
    """What each kind of error leads to, as a Markdown table; "again" is by `retry_policy`."""
    lines = [
        f"| error | {' | '.join(_SITUATIONS)} | breaker | why |",
        f"|---|{'---|' * (len(_SITUATIONS) + 2)}",
    ]
    classes = {kind.kind: kind for kind in _kinds()}
    for kind, rule in RULES.items():
        error = classes[kind]("") if kind != "configuration" else errors.ConfigurationError("")
        cells = [_steps(error, situation) for situation in _SITUATIONS.values()]
        counts = "counts" if counts_against_target(error) else ""
        lines.append(f"| `{kind}` | {' | '.join(cells)} | {counts} | {rule.why} |")
    return "\n".join(lines) + "\n"


def strategy_table() -> str:
    """The strategies, as a Markdown table."""
    rows = [f"| `{name}` | {what} |" for name, what in STRATEGIES.items()]
    return "\n".join(["| `fallback_strategy` | who comes first, and who next |", "|---|---|", *rows]) + "\n"


def _steps(error: LlmError, situation: Situation) -> str:
    may_repeat = allows_repeat(error, more_targets=situation.more_targets)
    first = decide(error, situation, may_repeat=may_repeat)
    if first != "repeat":
        return _WORDS[first]
    return f"again, then {_WORDS[decide(error, situation, may_repeat=False)]}"


def _kinds() -> Iterator[type[LlmError]]:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, LlmError):
            yield kind
