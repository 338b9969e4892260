"""What is left of a provider's rate limits, from the headers of its answer.

OpenAI and Azure: `x-ratelimit-{limit,remaining,reset}-{requests,tokens,...}`, resets as Go durations or seconds.
Anthropic: `anthropic-ratelimit-{requests,tokens,...}-{limit,remaining,reset}`, resets in RFC 3339. Other families
(`anthropic-priority-*`, `*_usage_based`) count against limits of their own and are not read here; nor is `retry-after`,
which is `retry_after`'s. What cannot be understood is unknown, and nothing raises.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from caxton_llm.wire.durations import finite, http_date, reset_in_s

__all__ = ["RateLimitInfo", "Window", "read_rate_limits"]

_KINDS = ("requests", "tokens", "input_tokens", "output_tokens")
_PARTS = ("limit", "remaining", "reset")
_OPENAI = [tuple(f"x-ratelimit-{part}-{kind.replace('_', '-')}" for part in _PARTS) for kind in _KINDS]
_ANTHROPIC = [tuple(f"anthropic-ratelimit-{kind.replace('_', '-')}-{part}" for part in _PARTS) for kind in _KINDS]
_OPENAI_NAMES = frozenset(name for names in _OPENAI for name in names)
_ANTHROPIC_NAMES = frozenset(name for names in _ANTHROPIC for name in names)
_LONGEST_S = 86400.0


class Window(Struct, frozen=True):
    """One limit: how much a window allows, what is left of it, and the seconds until it is whole again, 0 to a day.

    `None` is not said.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


class RateLimitInfo(Struct, frozen=True, kw_only=True):
    """The limits that an answer tells about; `None` is not said."""

    requests: Window | None = None
    tokens: Window | None = None
    """Of all tokens; Anthropic tells here of whichever of its token limits is the tightest at the moment."""
    input_tokens: Window | None = None
    output_tokens: Window | None = None

    @property
    def has_plenty(self) -> bool:
        """A fifth or more of every limit is left."""
        return all(
            window.limit is not None and window.remaining is not None and 5 * window.remaining >= window.limit
            for window in self._windows
        )

    @property
    def exhausted_for_s(self) -> float | None:
        """Seconds until something is left again where nothing is; `None` where something is, or nothing is known."""
        return max(
            (each.reset_s for each in self._windows if each.remaining == 0 and each.reset_s is not None), default=None
        )

    @property
    def _windows(self) -> tuple[Window, ...]:
        told = (self.requests, self.tokens, self.input_tokens, self.output_tokens)
        return tuple(window for window in told if window is not None)


def read_rate_limits(headers: Mapping[str, str], now_utc: Callable[[], float]) -> RateLimitInfo | None:
    """What the headers say, or `None` when they say nothing. Header names are lower case.

    `now_utc` is seconds since 1970, asked only where a reset is a date and the answer has no `Date` of its own: the
    provider's clock knows better than ours how far away the provider's reset is.
    """
    if not _OPENAI_NAMES.isdisjoint(headers):
        return _info(headers, _OPENAI, lambda: _moment(headers, now_utc))
    if not _ANTHROPIC_NAMES.isdisjoint(headers):
        moment = _moment(headers, now_utc)
        return _info(headers, _ANTHROPIC, lambda: moment)
    return None


def _moment(headers: Mapping[str, str], now_utc: Callable[[], float]) -> datetime:
    return http_date(headers.get("date")) or datetime.fromtimestamp(now_utc(), UTC)


def _info(
    headers: Mapping[str, str], names: list[tuple[str, ...]], now: Callable[[], datetime]
) -> RateLimitInfo | None:
    requests, tokens, input_tokens, output_tokens = (_window(headers, *each, now=now) for each in names)
    if requests is tokens is input_tokens is output_tokens is None:
        return None
    return RateLimitInfo(requests=requests, tokens=tokens, input_tokens=input_tokens, output_tokens=output_tokens)


def _window(
    headers: Mapping[str, str], limit_name: str, remaining_name: str, reset_name: str, *, now: Callable[[], datetime]
) -> Window | None:
    limit, remaining = finite(headers.get(limit_name)), finite(headers.get(remaining_name))
    reset = headers.get(reset_name)
    if limit is not None and limit < 1:  # Azure fills what it does not know with 0 or -1
        return None
    reset_s = None if reset is None else reset_in_s(reset, now)
    if remaining is not None and (remaining < 0 or (remaining == 0 and limit is None and not reset_s)):
        remaining = None  # a zero that stands alone is such a filler too
    if limit is remaining is None:  # a reset alone tells of nothing that could be used up
        return None
    return Window(
        None if limit is None else int(limit),
        None if remaining is None else int(remaining),
        None if reset_s is None else min(max(reset_s, 0.0), _LONGEST_S),
    )
