"""A provider in OpenAI's dialect that goes wrong in a way of its own for every model: the model's name is the fault.

`FAULTS` has one line per fault. Every answer that comes through is `TEXT`, a token a word, so that a cut, glued or repeated
answer shows. `Laboratory.asked_for` counts the requests of each model; `keys` has the API keys that they came with.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from msgspec import Struct

from fakes import ChatModel, FakeOpenAI
from fakes.http_server import Json, Received, Response

__all__ = ["ALWAYS_FAILING", "CUT_AFTER", "FAULTS", "FIRST_KEY", "KEYS", "SECOND_KEY", "TEXT", "TOKENS", "Laboratory"]

TOKENS = 60
CUT_AFTER = 40
"""Tokens that come before a stream is cut or falls silent."""
TEXT = " ".join(f"word{number}" for number in range(1, TOKENS + 1))

FIRST_KEY, SECOND_KEY = "sk-lab-a", "sk-lab-b"
KEYS = ("sk-lab-1", FIRST_KEY, SECOND_KEY)
"""All keys that the laboratory knows."""

_ROLE = 1
"""Events of a stream before its first token."""
_INTO = 20
"""Bytes of the next event that still come before a cut."""
_CLOCK_TOLERANCE_S = 0.002


class Asking(Struct, frozen=True):
    """One request: `number` counts those of its model, from 1."""

    body: dict[str, Json]
    key: str
    number: int

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def ends_with_answer(self) -> bool:
        """The last message is an assistant's: it is to be continued."""
        return bool(self.body["messages"][-1]["role"] == "assistant")


class Laboratory(FakeOpenAI):
    """The server. `up` switches the model `flaps`; `retry_after_s` is what the rate-limited models say."""

    def __init__(self) -> None:
        super().__init__(api_key=KEYS[0], models={name: ChatModel(f"{name}-2026-01-01") for name in FAULTS})
        self.up = True
        self.retry_after_s = 1.0
        self.asked_for: Counter[str] = Counter()
        self.asked_while_down = 0
        self.keys: defaultdict[str, list[str]] = defaultdict(list)
        self.opens_at: float | None = None
        """When `rate-limited-once` answers, in the time of the event loop; `None` until it was asked."""

    def start_over(self) -> None:
        super().start_over()
        self.up, self.retry_after_s, self.opens_at = True, 1.0, None
        self.asked_for.clear()
        self.asked_while_down = 0
        self.keys.clear()

    def authorize(self, request: Received) -> None:
        if _key_of(request) not in KEYS:
            raise self.refusal(401, "Incorrect API key provided: ****.", code="invalid_api_key")

    def route(self, request: Received) -> Response:
        if request.segments != ["v1", "chat", "completions"]:
            return super().route(request)
        self.authorize(request)
        body = self.body_of(request)
        self.checked(body)
        name = body["model"].removesuffix("-2026-01-01")
        self.asked_for[name] += 1
        self.keys[name].append(_key_of(request))
        FAULTS[name](self, Asking(body, _key_of(request), self.asked_for[name]))
        return self.chat(body)


def _key_of(request: Received) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


Fault = Callable[[Laboratory, Asking], object]
"""Scripts the answer to one request."""


# -- refusals -----------------------------------------------------------------------------------------------------------


def _answers(lab: Laboratory, _: Asking) -> None:
    lab.reply(TEXT)


def _fails_with(what: int | str) -> Fault:
    return lambda lab, _: lab.fail(what)


def _only(fault: Fault, when: Callable[[Laboratory, Asking], bool]) -> Fault:
    """The fault, as long as this holds; else a whole answer."""
    return lambda lab, asking: (fault if when(lab, asking) else _answers)(lab, asking)


def _is_first(_: Laboratory, asking: Asking) -> bool:
    return asking.number == 1


def _has_first_key(_: Laboratory, asking: Asking) -> bool:
    return asking.key != SECOND_KEY


def _rate_limited(lab: Laboratory, _: Asking) -> None:
    lab.fail("rate_limited", headers={"retry-after": f"{lab.retry_after_s:g}"})


def _is_closed(lab: Laboratory, _: Asking) -> bool:
    """From the first request until Retry-After has passed: whoever comes back too early is refused again."""
    now = asyncio.get_running_loop().time()
    if lab.opens_at is None:
        lab.opens_at = now + lab.retry_after_s - _CLOCK_TOLERANCE_S
    return now < lab.opens_at


def _is_down(lab: Laboratory, _: Asking) -> bool:
    lab.asked_while_down += not lab.up
    return not lab.up


def _is_to_continue(_: Laboratory, asking: Asking) -> bool:
    return asking.ends_with_answer


def _resets(lab: Laboratory, _: Asking) -> None:
    lab.reply().reset()


def _refuses_prefill(lab: Laboratory, _: Asking) -> None:
    lab.fail("invalid_request", "This model does not support assistant message prefill.")


# -- silence and cuts ---------------------------------------------------------------------------------------------------


def _silent(lab: Laboratory, _: Asking) -> None:
    lab.reply().hold()


def _late(lab: Laboratory, asking: Asking) -> None:
    reply = lab.reply(TEXT)
    reply.stall_after(_ROLE) if asking.streams else reply.hold()


def _stalls(lab: Laboratory, asking: Asking) -> None:
    lab.reply(TEXT).stall_after(_ROLE + CUT_AFTER if asking.streams else 1)


def _cut(lab: Laboratory, asking: Asking) -> None:
    reply = lab.reply(TEXT)
    reply.cut_after(_ROLE + CUT_AFTER, into=_INTO) if asking.streams else reply.cut_after(1, into=_INTO)


def _cut_cleanly(lab: Laboratory, asking: Asking) -> None:
    lab.reply(TEXT).cut_after(_ROLE + CUT_AFTER if asking.streams else 1, cleanly=True)


def _cut_early(lab: Laboratory, asking: Asking) -> None:
    lab.reply(TEXT).cut_after(_ROLE if asking.streams else 0, into=_INTO)


def _malformed(lab: Laboratory, asking: Asking) -> None:
    lab.reply(TEXT).garbage_after(_ROLE + CUT_AFTER if asking.streams else 1)


def _no_done(lab: Laboratory, asking: Asking) -> None:
    reply = lab.reply(TEXT)
    if asking.streams:
        reply.without_end_marker()


FAULTS: Mapping[str, Fault] = {
    "healthy": _answers,
    "rate-limited-once": _only(_rate_limited, _is_closed),
    "rate-limited": _rate_limited,
    "fails-once": _only(_fails_with(500), _is_first),
    "unavailable": _fails_with(503),
    "resets": _resets,
    "silent": _silent,
    "late": _late,
    "cut": _cut,
    "cut-cleanly": _cut_cleanly,
    "cut-early": _cut_early,
    "stalls": _stalls,
    "malformed": _malformed,
    "no-done": _no_done,
    "too-long": _fails_with("context_window_exceeded"),
    "filtered": _fails_with("content_filtered"),
    "bad-key": _fails_with("authentication"),
    "bad-key-a": _only(_fails_with("authentication"), _has_first_key),
    "no-quota": _fails_with("quota_exhausted"),
    "no-quota-a": _only(_fails_with("quota_exhausted"), _has_first_key),
    "refuses-prefill": _only(_refuses_prefill, _is_to_continue),
    "flaps": _only(_fails_with(503), _is_down),
}
"""What each model does. Streams and plain answers alike, except:

- `late`: of a stream comes the role, of a plain answer nothing.
- `cut`, `cut-cleanly`, `stalls`: a stream ends, or falls silent, after `CUT_AFTER` tokens, a plain answer in the middle of
  its body; `cleanly` ends a stream's HTTP framing as if that were all. `cut-early`: before the first token.
- `malformed`: one event in the middle of a stream is none; a plain body is no JSON.
- `no-done`: a stream has no `[DONE]`.
- `bad-key-a`, `no-quota-a`: only `SECOND_KEY` is good.
- `rate-limited-once`: refused until the wait that it asked for is over.
"""

ALWAYS_FAILING = (
    *("rate-limited", "unavailable", "resets", "silent", "late", "cut", "cut-cleanly", "cut-early", "stalls"),
    *("too-long", "bad-key", "no-quota"),
)
"""Models that never give a whole answer, whose requests another provider may be asked."""
