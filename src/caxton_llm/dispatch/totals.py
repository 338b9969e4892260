"""What the answers of one request took together. What one of them does not say is not known of all."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from caxton_llm.types import ChatResponse
from caxton_llm.usage import Billing, CompletionTokensDetails, PromptTokensDetails, Usage

__all__ = ["summed", "summed_usage"]

_Number = TypeVar("_Number", int, float)


def summed(answers: Sequence[ChatResponse], warnings: Sequence[str] = ()) -> ChatResponse:
    """The last of the answers, at least one, with what all of them took, and with further warnings."""
    last = answers[-1]
    if len(answers) == 1:
        return replace(last, warnings=[*last.warnings, *warnings])
    said = [warning for answer in answers for warning in answer.warnings]
    return replace(
        last,
        usage=summed_usage([answer.usage for answer in answers]),
        cost_usd=_sum([answer.cost_usd for answer in answers]),
        attempts=sum(answer.attempts for answer in answers),
        failed_attempts=[attempt for answer in answers for attempt in answer.failed_attempts],
        skipped=list(dict.fromkeys(skip for answer in answers for skip in answer.skipped)),
        warnings=list(dict.fromkeys([*said, *warnings])),
        upstream_s=_sum([answer.upstream_s for answer in answers]),
        dialect="",
        wire=None,  # it tells the usage of one answer
    )


def summed_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """`None` where one of them is not known; so is each figure."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None
    return Usage(
        prompt_tokens=_sum([usage.prompt_tokens for usage in known]),
        completion_tokens=_sum([usage.completion_tokens for usage in known]),
        total_tokens=_sum([usage.total_tokens for usage in known]),
        prompt_tokens_details=_prompt([usage.prompt_tokens_details for usage in known]),
        completion_tokens_details=_completion([usage.completion_tokens_details for usage in known]),
        estimated=any(usage.estimated for usage in known),
        billing=_billing([usage.billing for usage in known]),
    )


def _prompt(details: Sequence[PromptTokensDetails | None]) -> PromptTokensDetails | None:
    known = [one for one in details if one is not None]
    if len(known) < len(details):
        return None
    return PromptTokensDetails(
        cached_tokens=_sum([one.cached_tokens for one in known]),
        cache_write_tokens=_sum([one.cache_write_tokens for one in known]),
        cache_write_1h_tokens=_sum([one.cache_write_1h_tokens for one in known]),
        audio_tokens=_sum([one.audio_tokens for one in known]),
    )


def _completion(details: Sequence[CompletionTokensDetails | None]) -> CompletionTokensDetails | None:
    known = [one for one in details if one is not None]
    if len(known) < len(details):
        return None
    return CompletionTokensDetails(
        reasoning_tokens=_sum([one.reasoning_tokens for one in known]),
        audio_tokens=_sum([one.audio_tokens for one in known]),
        accepted_prediction_tokens=_sum([one.accepted_prediction_tokens for one in known]),
        rejected_prediction_tokens=_sum([one.rejected_prediction_tokens for one in known]),
    )


def _billing(billings: Sequence[Billing | None]) -> Billing | None:
    """What was the same for all, and the searches of all; each answer's cost is known by then."""
    if not any(billings):
        return None
    each = [one or Billing() for one in billings]
    searches = [one.web_searches for one in each if one.web_searches is not None]
    return Billing(
        tier=_same(one.tier for one in each),
        speed=_same(one.speed for one in each),
        region=_same(one.region for one in each),
        web_searches=sum(searches) if searches else None,
    )


def _same(values: Iterable[str | None]) -> str | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _sum(values: Sequence[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
