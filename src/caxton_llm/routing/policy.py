"""What a failure leads to: the same target again, its next key, the next target, or the end of the request.

`RULES` is the whole policy, one line per kind of error; `docs/routing.md` is printed from it. `decide` applies it to one
failure. Pure.
"""

from collections.abc import Collection
from typing import Literal

from msgspec import Struct

from caxton_llm.errors import LlmError

__all__ = [
    "RULES",
    "Rule",
    "Situation",
    "Step",
    "allows_repeat",
    "counts_against_target",
    "decide",
    "ends_request",
    "is_callers_fault",
    "names_a_key",
]

Step = Literal["repeat", "other_key", "next", "end"]

_Same = Literal["yes", "alone", "no"]
_Onward = Literal["yes", "later", "no"]


class Rule(Struct, frozen=True):
    """The policy for one kind of error.

    `same`: whether the same target may be asked again, by `retry_policy`: `yes`, `alone` (only when no other target is left,
    because waiting for it once has cost enough), `no`. `keys`: whether the next key of the same target is tried first.
    `onward`: whether the next target is asked: `yes`, `later` (not when the first target says so, but when a fallback does,
    whose API may be narrower), `no` (unless `fallback_on` names the kind). `counts`: whether it is the target's failure.
    `why` is for people.
    """

    same: _Same
    onward: _Onward
    why: str
    keys: bool = False
    counts: bool = False


_FAULT = Rule("yes", "yes", "the provider failed; another attempt may do", counts=True)
_SLOW = Rule("alone", "yes", "waiting once has cost enough time", counts=True)
_CALLER = Rule("no", "no", "nothing but a changed request helps")
_END = Rule("no", "no", "our own decision, which no provider changes")

RULES: dict[str, Rule] = {
    "rate_limited": Rule("yes", "yes", "Retry-After is obeyed, unless another target is quicker", keys=True),
    "overloaded": _FAULT,
    "provider_failure": _FAULT,
    "malformed_response": _FAULT,
    "transport": _FAULT,
    "stream_interrupted": _FAULT,
    "idle_timeout": _SLOW,
    "provider_error": _FAULT,
    "connect_failed": Rule("alone", "yes", "nobody is there", counts=True),
    "connect_timeout": _SLOW,
    "first_byte_timeout": _SLOW,
    "authentication": Rule("no", "yes", "the operator's key is refused", keys=True, counts=True),
    "permission": Rule("no", "yes", "the key may not do this", keys=True),
    "quota_exhausted": Rule("no", "yes", "the account is used up", keys=True, counts=True),
    "model_not_found": Rule("no", "yes", "another target has its own model"),
    "context_window_exceeded": Rule("no", "yes", "where the prompt fits, or trimmed"),
    "unsupported_feature": Rule("no", "yes", "another target may be able to"),
    "request_too_large": Rule("no", "later", "another target may take more"),
    "content_filtered": Rule("no", "no", "another provider is not asked to say what one refused to say"),
    "invalid_request": Rule("no", "later", "nothing but a changed request helps"),
    "limit_exceeded": Rule("no", "yes", "our own queue for the target is full"),
    "deadline_exceeded": Rule("no", "no", "the time is over", counts=True),
    "unknown_model": _CALLER,
    "access_denied": _END,
    "content_blocked": _END,
    "memory_store": Rule("no", "no", "the memory's own disk, which no provider changes"),
    "configuration": _END,
}
"""Every kind that an attempt can end with."""

_CALLERS_FAULT = frozenset(
    {"invalid_request", "unsupported_feature", "context_window_exceeded", "request_too_large", "content_filtered"}
)


class Situation(Struct, frozen=True):
    """What else could be done."""

    more_targets: bool
    more_keys: bool = False
    first_target: bool = True
    fallback_on: Collection[str] = ()
    """Kinds that go on to the next target although the rule says no (`fallback_on`)."""


def decide(error: LlmError, situation: Situation, *, may_repeat: bool) -> Step:
    """What comes after a failure. `may_repeat`: `retry_policy`, the limits and the time allow the same target again."""
    rule = _rule(error)
    if rule.keys and situation.more_keys:
        return "other_key"
    if may_repeat and allows_repeat(error, more_targets=situation.more_targets):
        return "repeat"
    if not situation.more_targets:
        return "end"
    onward = rule.onward == "yes" or (rule.onward == "later" and not situation.first_target)
    return "next" if onward or error.kind in situation.fallback_on else "end"


def allows_repeat(error: LlmError, *, more_targets: bool) -> bool:
    """Whether the rule lets the same target be asked again at all."""
    same = _rule(error).same
    return error.should_retry and (same == "yes" or (same == "alone" and not more_targets))


def names_a_key(error: LlmError) -> bool:
    """Whether another key of the same target might not meet it."""
    return _rule(error).keys


def ends_request(error: LlmError) -> bool:
    """Whether no other target is asked after it, unless `fallback_on` says so."""
    return _rule(error).onward == "no"


def counts_against_target(error: LlmError) -> bool:
    """Whether the failure is the target's own, for its circuit breaker."""
    return _rule(error).counts


def is_callers_fault(error: LlmError) -> bool:
    """Whether a changed request is what would help."""
    return error.kind in _CALLERS_FAULT


def _rule(error: LlmError) -> Rule:
    """A kind of error that a plug-in has made up is treated as its class is."""
    for kind in type(error).__mro__:
        if issubclass(kind, LlmError) and kind.kind in RULES:
            return RULES[kind.kind]
    return _FAULT if error.should_retry else _END
