"""A request made to fit a model's window: the oldest exchanges are left out, as many as it takes.

What always stays: system messages, and the current request with everything since (see `exchanges`). Counts are those of one
vocabulary, which is not every vendor's, so they are taken with a margin. Nothing here shortens a message.
"""

from collections.abc import Callable
from math import ceil

from msgspec import Struct

from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.source import with_output_limit, without_messages
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import frame_tokens, message_tokens, prompt_tokens, uncounted_parts
from caxton_llm.types import ChatRequest

__all__ = ["CALIBRATION", "DoesNotFit", "Fitted", "fit", "fits_surely", "possible_answer", "prompt_limit"]

CALIBRATION = 1.1
"""By how much another vendor's count may exceed ours."""

_USUAL_ANSWER = 16_384
"""Tokens kept free for an answer that the caller has not limited: the most that is asked for in that case."""

_LARGEST_SHARE = 4
"""Of a window, at most one part in so many is kept free for such an answer."""

_SMALLEST_ANSWER = 256
"""Tokens of an answer for which it is still worth asking."""


class Fitted(Struct, frozen=True, kw_only=True):
    """A request that fits: the same object when nothing had to change.

    `prompt_tokens` is as counted, without the margin; `None` when counting was not needed. `notes` say what was done.
    """

    request: ChatRequest
    prompt_tokens: int | None = None
    notes: tuple[str, ...] = ()


class DoesNotFit(Struct, frozen=True):
    """Why a request cannot be made to fit."""

    reason: str


def fit(
    request: ChatRequest, info: ModelInfo, count: Callable[[str], int], *, calibration: float = CALIBRATION
) -> Fitted | DoesNotFit:
    """`request` so that it fits the model, as far as is known of it; `count` gives the tokens of a text.

    An output limit that the caller set is never changed. Where none is set and the current request leaves less than usual
    for the answer, the rest of the window is set as the limit. Takes time in proportion to the text that is counted: at most
    the window's and one exchange more. Raises `InvalidRequest` for a tool that JSON cannot express.
    """
    limit = prompt_limit(info, request.output_limit)
    if limit is None or _fits_by_bytes(request, limit, calibration):
        return Fitted(request=request)
    exchanges = exchanges_of(request.messages)
    earlier = exchanges[:-1]
    optional = {index for exchange in earlier for index in exchange}
    costs = (message_tokens(each, count) for index, each in enumerate(request.messages) if index not in optional)
    total = frame_tokens(request, count) + sum(costs)
    if total * calibration > limit:
        return _with_less_output(request, info, total, calibration, optional)
    while earlier:
        more = sum(message_tokens(request.messages[index], count) for index in earlier[-1])
        if (total + more) * calibration > limit:
            break
        total += more
        earlier.pop()
    return _without(request, {index for exchange in earlier for index in exchange}, info, total)


def fits_surely(request: ChatRequest, info: ModelInfo) -> bool:
    """Whether `fit` would leave the request as it is, told without counting: no text has more tokens than UTF-8 bytes.

    `False` is "perhaps not". Raises like `fit`.
    """
    limit = prompt_limit(info, request.output_limit)
    return limit is None or _fits_by_bytes(request, limit, CALIBRATION)


def prompt_limit(info: ModelInfo, output_limit: int | None) -> int | None:
    """The tokens that a prompt may have beside an answer of `output_limit` tokens (`None`: of the usual length, the
    configured one where there is one).

    At least 0; `None` when nothing is known, and then everything fits.
    """
    limits = [] if info.max_input_tokens is None else [info.max_input_tokens]
    if info.context_window is not None:
        limits.append(max(0, info.context_window - _room_for_answer(info.context_window, info, output_limit)))
    return min(limits, default=None)


def possible_answer(info: ModelInfo, limit: int) -> tuple[int, tuple[str, ...]]:
    """The tokens of an answer for which a model can be asked where `limit` are wanted, and what the caller should know.

    Who allows answers that fill more than half of the window leaves no room for a prompt: they get a quarter of it.
    """
    room = limit if info.max_output_tokens is None else min(limit, info.max_output_tokens)
    if info.context_window is not None and room > info.context_window // 2:
        room = max(1, info.context_window // _LARGEST_SHARE)
    if room == limit:
        return room, ()
    return room, (
        f"the answer is limited to {room:,} tokens instead of {limit:,}, because {info.id} takes no more beside a prompt",
    )


def _room_for_answer(window: int, info: ModelInfo, output_limit: int | None) -> int:
    said = info.usual_output_tokens if output_limit is None else output_limit
    room = min(_USUAL_ANSWER, window // _LARGEST_SHARE) if said is None else said
    return room if info.max_output_tokens is None else min(room, info.max_output_tokens)


def _fits_by_bytes(request: ChatRequest, limit: int, calibration: float) -> bool:
    if any(map(uncounted_parts, request.messages)):
        return False
    return prompt_tokens(request, _utf8_length) * calibration <= limit


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _with_less_output(
    request: ChatRequest, info: ModelInfo, total: int, calibration: float, optional: set[int]
) -> Fitted | DoesNotFit:
    """What must stay needs more than the limit: the answer's room may still give way."""
    needed = ceil(total * calibration)
    window, most = info.context_window, info.max_input_tokens
    left = 0 if window is None else window - needed
    if request.output_limit is not None or left < _SMALLEST_ANSWER or (most is not None and needed > most):
        return DoesNotFit(
            f"the system instructions and the current request alone are about {needed:,} tokens, {_capacity(info, request)}"
        )
    shorter = _without(request, optional, info, total)
    if isinstance(shorter, DoesNotFit):
        return shorter
    notes = (
        *shorter.notes,
        f"the answer is limited to the {left:,} tokens that the prompt leaves of {info.id}'s window",
    )
    return Fitted(request=with_output_limit(shorter.request, left), prompt_tokens=total, notes=notes)


def _without(request: ChatRequest, left_out: set[int], info: ModelInfo, total: int) -> Fitted | DoesNotFit:
    if not left_out:
        return Fitted(request=request, prompt_tokens=total)
    shorter = without_messages(request, left_out)
    if shorter is None:
        return DoesNotFit(
            f"the conversation must be shortened for {info.id}, and its messages are not found in the bytes of the request"
        )
    number = f"{len(left_out):,} message{'s' if len(left_out) > 1 else ''}"
    notes = [f"{number} left out to fit {_size(info):,} tokens of {info.id}"]
    uncounted = {kind for message in shorter.messages for kind in uncounted_parts(message)}
    if uncounted:
        notes.append(f"not counted: content of type {', '.join(sorted(uncounted))}")
    return Fitted(request=shorter, prompt_tokens=total, notes=tuple(notes))


def _size(info: ModelInfo) -> int:
    return info.context_window or info.max_input_tokens or 0


def _capacity(info: ModelInfo, request: ChatRequest) -> str:
    window, most = info.context_window, info.max_input_tokens
    if window is None or (most is not None and most <= (prompt_limit(info, request.output_limit) or 0)):
        return f"{info.id} takes {most or 0:,}"
    if request.output_limit is None:
        return f"{info.id} takes {window:,}, the answer included"
    room = _room_for_answer(window, info, request.output_limit)
    return f"{info.id} takes {window:,}, with the {room:,} that the answer may have"
