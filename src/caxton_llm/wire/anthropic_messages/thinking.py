"""How much a model is to think: `reasoning_effort` and Anthropic's own `thinking` and `output_config.effort`.

Models differ in which kinds of thinking and which efforts they accept, and answer anything else with an error; what a model
accepts comes from `ParameterRules` and nowhere else. An effort that a model lacks becomes the next lower one that it has.
"""

from msgspec import Struct

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import Json
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["ThinkingPlan", "adapt_thinking", "budget_effort", "fit_effort", "think_with_effort"]

_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""Tokens of thinking for models that want a budget instead of an effort."""

_LEAST_BUDGET = 1024
_LOW_BUDGET = 2048
_MEDIUM_BUDGET = 8192


class ThinkingPlan(Struct, kw_only=True):
    """The two fields of the request; `None` leaves a field out."""

    thinking: dict[str, Json] | None = None
    effort: str | None = None

    @property
    def kind(self) -> str | None:
        return self.thinking.get("type") if self.thinking else None

    @property
    def is_on(self) -> bool:
        return self.kind in ("enabled", "adaptive")

    @property
    def budget(self) -> int | None:
        """Tokens, where thinking goes by a budget."""
        budget = self.thinking.get("budget_tokens") if self.thinking and self.kind == "enabled" else None
        return budget if isinstance(budget, int) else None

    def make_room(self, limit: int, most: int | None) -> int:
        """The limit of the output that holds the thinking and the answer; where `most` is too little, the budget shrinks."""
        budget = self.budget
        if budget is None or budget < limit or self.thinking is None:
            return limit
        wanted = limit + budget
        if most is not None and wanted > most:
            wanted = max(most, _LEAST_BUDGET + 1)
            if budget >= wanted:
                self.thinking = {**self.thinking, "budget_tokens": max(_LEAST_BUDGET, wanted // 2)}
        return wanted


def think_with_effort(effort: str, model: ModelInfo, notes: ParameterNotes, *, reported: bool) -> ThinkingPlan:
    """The plan for the common model's `reasoning_effort`; `reported` is false for an effort that only the configuration
    asks for. Raises `InvalidRequest` for an effort that nobody has."""
    if effort != "none" and effort not in _EFFORTS:
        raise InvalidRequest(
            f"reasoning_effort is {effort!r}, but must be none or one of {', '.join(_EFFORTS)}",
            param="reasoning_effort",
        )
    if model.capabilities.reasoning is False or model.parameters.thinking == []:
        plan = ThinkingPlan(effort=fit_effort(effort, model.parameters.efforts or []))
        if effort != "none" and plan.effort is None:
            _dropped("reasoning_effort", "this model does not reason", notes, reported=reported)
            return plan
    elif effort == "none":
        plan = _without_thinking(model)
    else:
        plan = _with_thinking(effort, model)
    if reported and (plan.thinking or plan.effort):
        notes.map("reasoning_effort", _shown(plan))
    return plan


def _without_thinking(model: ModelInfo) -> ThinkingPlan:
    kinds = model.parameters.thinking
    if kinds is None or "disabled" in kinds:
        return ThinkingPlan(thinking={"type": "disabled"})
    if "between_tools" in kinds:
        return ThinkingPlan(thinking={"type": "between_tools"})
    return ThinkingPlan(effort=fit_effort("low", model.parameters.efforts))  # it always thinks: as little as it can


def _with_thinking(effort: str, model: ModelInfo) -> ThinkingPlan:
    kinds = model.parameters.thinking
    fitted = fit_effort(effort, model.parameters.efforts)
    if kinds is None or "adaptive" in kinds:
        return ThinkingPlan(thinking={"type": "adaptive"}, effort=fitted)
    if "enabled" in kinds:
        # Without a word on efforts in its rules, a model that goes by a budget has none.
        effort_too = fitted if model.parameters.efforts else None
        return ThinkingPlan(thinking={"type": "enabled", "budget_tokens": _BUDGETS[effort]}, effort=effort_too)
    return ThinkingPlan(effort=fitted)


def adapt_thinking(
    thinking: dict[str, Json] | None, effort: str | None, model: ModelInfo, notes: ParameterNotes
) -> ThinkingPlan:
    """The caller's own `thinking` and `output_config.effort` as this model accepts them, changes reported."""
    plan = ThinkingPlan(thinking=thinking, effort=effort)
    kinds, efforts = model.parameters.thinking, model.parameters.efforts
    if effort is not None and efforts is not None and effort not in efforts:
        plan.effort = fit_effort(effort, efforts)
        _note_change("output_config.effort", plan.effort, notes)
    if plan.kind is None or kinds is None or plan.kind in kinds:
        return plan
    if plan.is_on:
        _adapt_active(plan, kinds, model, notes)
    else:
        other = {"disabled": "between_tools", "between_tools": "disabled"}.get(plan.kind, "")
        plan.thinking = {"type": other} if other in kinds else None
        if plan.thinking is None and kinds:
            plan.effort = fit_effort("low", efforts)
        notes.map("thinking", _shown(plan) or "left out: this model does not think")
    return plan


def _adapt_active(plan: ThinkingPlan, kinds: list[str], model: ModelInfo, notes: ParameterNotes) -> None:
    display = {"display": plan.thinking["display"]} if plan.thinking and "display" in plan.thinking else {}
    if "adaptive" in kinds:
        if plan.effort is None and plan.budget is not None:
            plan.effort = fit_effort(budget_effort(plan.budget), model.parameters.efforts)
        plan.thinking = {"type": "adaptive", **display}
    elif "enabled" in kinds:
        budget = _BUDGETS[plan.effort] if plan.effort in _BUDGETS else _BUDGETS["medium"]
        plan.thinking = {"type": "enabled", "budget_tokens": budget, **display}
    else:
        plan.thinking = None
    _note_change("thinking", _shown(plan) if plan.thinking else None, notes)


def budget_effort(budget_tokens: int) -> str:
    """The effort that a budget stands for: up to 2048 tokens low, up to 8192 medium, above high."""
    if budget_tokens <= _LOW_BUDGET:
        return "low"
    return "medium" if budget_tokens <= _MEDIUM_BUDGET else "high"


def fit_effort(effort: str, accepted: list[str] | None) -> str | None:
    """The effort itself, else the next lower that is accepted, else the lowest; `None` when none is."""
    if accepted is None:
        return "low" if effort == "minimal" else effort
    if effort in accepted or not accepted:
        return effort if accepted else None
    ranked = sorted((each for each in accepted if each in _EFFORTS), key=_EFFORTS.index)
    wanted = _EFFORTS.index(effort) if effort in _EFFORTS else 0
    lower = [each for each in ranked if _EFFORTS.index(each) < wanted]
    return lower[-1] if lower else next(iter(ranked), None)


def _shown(plan: ThinkingPlan) -> str:
    parts = []
    if plan.thinking is not None:
        budget = f" with {plan.budget} tokens" if plan.budget is not None else ""
        parts.append(f"thinking {plan.kind}{budget}")
    if plan.effort is not None:
        parts.append(f"output_config.effort {plan.effort}")
    return " and ".join(parts)


def _note_change(name: str, became: str | None, notes: ParameterNotes) -> None:
    if became is None:
        notes.drop(name, "this model does not accept it")
    else:
        notes.map(name, became)


def _dropped(name: str, why: str, notes: ParameterNotes, *, reported: bool) -> None:
    if reported:
        notes.drop(name, why)
    else:
        notes.strip(name, why)
