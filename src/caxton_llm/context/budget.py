"""How many tokens a prompt may have for one target, and what says so."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.requirements import Requirements
from caxton_llm.context.fit import possible_answer, prompt_limit
from caxton_llm.context.render.provider import Family, family_of
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens.calibrated import Factors
from caxton_llm.wire.anthropic_messages.settings import usual_limit

__all__ = ["ASSUMED_WINDOW", "TargetView", "limit_mend", "view_of"]

_STRICT = ("openai", "azure")
ASSUMED_WINDOW = 8_192
"""Tokens of a window of which nothing is known."""
_WINDOW, _ASSUMED, _OWN = "the model's window", "an assumed window", "the agent's budget"
_MENDS = {
    _WINDOW: "ask a model with a larger window",
    _ASSUMED: "say how large the model's window is (model_facts.context_window)",
    _OWN: "raise the agent's budget (context.budget)",
}
_LARGEST_SHARE = 4
"""Of a window, at most one part in so many is kept free for an answer that nobody has limited."""


class TargetView(Struct, frozen=True, kw_only=True):
    """What a context is made for: a model behind a kind of provider. `budget` are tokens of the whole prompt, as the target
    counts them; `limited_by` says what it follows from."""

    kind: str
    model: str
    family: Family
    factors: Factors
    budget: int
    limited_by: str
    answer_room: int | None = None
    """Tokens of the window that limits the prompt that are kept for the answer, where `max_tokens` says how many."""
    withheld_tools: frozenset[str] = frozenset()
    """Tools that ask not to be offered in the provider's own form; there is no other that would call them."""
    strict_tools: frozenset[str] = frozenset()
    """Tools whose arguments the provider is to hold to their schemas."""
    answer_limit: int | None = None
    """The output limit that a request without one must be given, because the usual one would not fit beside the prompt."""
    notes: tuple[str, ...] = ()


def limit_mend(view: TargetView) -> str:
    """What would give the prompt more room."""
    return _MENDS.get(view.limited_by, f"raise {view.limited_by} in the context_requirements")


def view_of(
    kind: str,
    info: ModelInfo,
    factors: Factors,
    *,
    requirements: Requirements,
    tools: Sequence[str] = (),
    budget: int | None,
    reserve: int,
    output_limit: int | None,
) -> TargetView:
    """The smallest of what the agent, its tools and the model's window permit.

    `tools` are the names of all that the agent has; `budget` is the agent's own, `reserve` stays free for the answer where
    neither `output_limit` nor the configuration says how long it may be.
    """
    limits = []
    if budget is not None:
        limits.append((budget, _OWN))
    asked = requirements.max_context_tokens(kind)
    if asked is not None:
        limits.append((asked, f"max_context_tokens for {kind}"))
    info, notes = _with_window(kind, info, is_limited=bool(limits))
    answer = _Answer(output_limit) if output_limit is not None else _usual_answer(kind, info, reserve)
    window = prompt_limit(info, answer.room)
    if window is not None:
        limits.append((window, _ASSUMED if notes else _WINDOW))
    notes = (*answer.notes, *notes)
    tools = requirements.with_wishes(tools)
    withheld = frozenset(tool for tool in tools if not requirements.offers(tool, kind))
    if withheld:
        names = ", ".join(sorted(withheld))
        notes = (*notes, f"not offered, because context_requirements switch calling off for {kind}: {names}")
    strict = (tool for tool in tools if kind in _STRICT and requirements.is_strict(tool, kind))
    least, limited_by = min(limits)
    is_said = output_limit is not None or info.usual_output_tokens is not None
    return TargetView(
        kind=kind,
        model=info.id,
        family=family_of(kind),
        factors=factors,
        budget=least,
        limited_by=limited_by,
        answer_room=answer.room if is_said and limited_by in (_WINDOW, _ASSUMED) else None,
        withheld_tools=withheld,
        strict_tools=frozenset(strict),
        answer_limit=answer.limit,
        notes=notes,
    )


def _with_window(kind: str, info: ModelInfo, *, is_limited: bool) -> tuple[ModelInfo, tuple[str, ...]]:
    """The model with a window to go by, where neither that nor anything else limits the prompt, and what to say of it."""
    if is_limited or info.max_input_tokens is not None:
        return info, ()
    window, said = info.context_window, info.sources.get("context_window")
    if window is None:
        note = f"the window of {info.id} is not known: {ASSUMED_WINDOW:,} tokens are assumed"
    elif kind == "ollama" and window > ASSUMED_WINDOW and said == "provider":
        # What a model could read is more than many a machine has memory for.
        note = (
            f"{ASSUMED_WINDOW:,} of the {window:,} tokens of {info.id} are used: context_window says how many it may be"
        )
    else:
        return info, ()
    return replace(info, context_window=ASSUMED_WINDOW), (note,)


class _Answer(NamedTuple):
    """What is kept free for an answer, the limit that the request must be given for it, and what the caller should know."""

    room: int
    limit: int | None = None
    notes: tuple[str, ...] = ()


def _usual_answer(kind: str, info: ModelInfo, reserve: int) -> _Answer:
    """For a request that does not limit its answer: it gets the configured limit.

    Anthropic is always told a limit, and refuses a prompt that leaves less than that of the window.
    """
    if info.usual_output_tokens is not None:
        room, notes = possible_answer(info, info.usual_output_tokens)
        return _Answer(room, room if notes else None, notes)
    if kind != "anthropic":
        return _Answer(reserve)
    usual = usual_limit(info)
    share = usual if info.context_window is None else info.context_window // _LARGEST_SHARE
    room = max(reserve, min(usual, share))
    return _Answer(room, room if room < usual else None)
