"""What an agent has done since a request, in the room that its context leaves: results are shortened where they must be."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from caxton_llm.context.render.fence import fenced
from caxton_llm.types import Message

__all__ = ["fitted_steps"]

_LEFT_OUT = fenced("tool", "[this result was left out, because the conversation is too long for the model]")
_CUT = "\n[the rest of this result was left out, because it is too long for the model]\n</data>"
_LEAST = 64
"""Tokens of a result that is cut rather than left out."""
_TRIES = 6


def fitted_steps(
    steps: Sequence[Message], room: int, cost: Callable[[Message], int]
) -> tuple[list[Message], tuple[str, ...]] | None:
    """The steps in `room` tokens as `cost` counts them, and what was done; `None` where that is not possible.

    Of older rounds the largest results are left out first, of the last round results are cut. Calls stay as they are.
    """
    fitted = list(steps)
    costs = [cost(message) for message in steps]
    changed = 0
    placeholder = cost(Message(role="tool", content=_LEFT_OUT))
    older, last = _results(steps)
    for place in sorted(older, key=lambda place: -costs[place]):
        if sum(costs) <= room:
            break
        if costs[place] > placeholder:
            fitted[place] = replace(fitted[place], content=_LEFT_OUT)
            costs[place] = cost(fitted[place])
            changed += 1
    for place in sorted(last, key=lambda place: -costs[place]):
        excess = sum(costs) - room
        if excess <= 0:
            break
        fitted[place] = _cut(fitted[place], costs[place] - excess, cost)
        costs[place] = cost(fitted[place])
        changed += 1
    if sum(costs) > room:
        return None
    note = f"{changed} results of tools were shortened, because the conversation is too long for the model"
    return fitted, (note,) if changed else ()


def _results(steps: Sequence[Message]) -> tuple[list[int], list[int]]:
    """The places of results of earlier rounds, and of the last."""
    places = [place for place, message in enumerate(steps) if message.role == "tool"]
    calls = [place for place, message in enumerate(steps) if message.role == "assistant"]
    begin = calls[-1] if calls else 0
    return [place for place in places if place < begin], [place for place in places if place > begin]


def _cut(message: Message, room: int, cost: Callable[[Message], int]) -> Message:
    """The beginning of a result, its fence closed."""
    content = message.content if isinstance(message.content, str) else ""
    keep = len(content)
    for _ in range(_TRIES):
        shorter = replace(message, content=content[:keep].rstrip() + _CUT)
        spent = cost(shorter)
        if spent <= room:
            return shorter
        keep = keep * max(0, room - _LEAST) // spent
        if keep < _LEAST:
            break
    return replace(message, content=_LEFT_OUT)
