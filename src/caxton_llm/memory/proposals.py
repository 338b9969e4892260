"""What a model proposes to remember of an exchange: how it is asked, and what of its answer is believed.

Pure. The conversation stands in the question as data. Of the answer only that is taken which the exchange bears out: its
words, its numbers and its names must have been said.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.duplicates import statement
from caxton_llm.memory.lessons import GENERAL_ENTITIES, LONGEST_OBSERVATION, Stated, is_storable
from caxton_llm.memory.model import Turn
from caxton_llm.types import Json

__all__ = ["MOST_PROPOSALS", "PROPOSALS_SCHEMA", "PROPOSE", "Proposals", "UnreadableProposals", "read_proposals"]

MOST_PROPOSALS = 20
"""Of one exchange."""
_LONGEST_NAME = 200
_SURE = 0.95
"""No model's word makes a thing certain."""
_SUPPORT = 0.7
"""The share of an observation's terms that the exchange must have."""
_ALWAYS_SAID = frozenset(terms_of("user users person says said states stated mentions mentioned wants"))
"""Terms that speak of a statement and not of what it states."""
_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)

PROPOSE = (
    "You choose what is worth remembering of a conversation: lasting preferences, facts about the user and about what is "
    "named, decisions. Leave out greetings, questions, what holds for the moment only, secrets such as passwords and keys, "
    "and everything that the agent alone has said. Use the words of the conversation, one fact an observation, each a short "
    'sentence that can be understood alone. Answer with JSON alone: {"memories": [{"entity": what it is about, "type": its '
    'kind in one word, "observation": the sentence, "confidence": 0 to 1}]}, with an empty list where nothing is worth it.'
)
"""The instructions; a note on data has to follow."""

_TEXT: dict[str, Json] = {"type": "string"}
PROPOSALS_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "memories": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "entity": _TEXT,
                    "type": _TEXT,
                    "observation": _TEXT,
                    "confidence": {"type": "number"},
                },
                "required": ["entity", "type", "observation", "confidence"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["memories"],
    "additionalProperties": False,
}
"""The JSON Schema of the answer."""


class UnreadableProposals(Exception):
    """The answer is not what was asked for; the message has nothing of it."""


class Proposals(Struct, frozen=True):
    """What is believed, and how many proposals were dropped."""

    stated: tuple[Stated, ...] = ()
    dropped: int = 0


class _Proposal(Struct, frozen=True, forbid_unknown_fields=True):
    entity: str
    type: str
    observation: str
    confidence: float


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    memories: list[_Proposal]


_decoder = msgspec.json.Decoder(_Answer)


def read_proposals(answer: str, turns: Sequence[Turn]) -> Proposals:
    """The proposals that `turns` bear out. Raises `UnreadableProposals` for an answer of another form."""
    fenced = _FENCE.fullmatch(answer.strip())
    try:
        memories = _decoder.decode(fenced[1] if fenced else answer).memories
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise UnreadableProposals(f"its answer is not the JSON that was asked for ({type(error).__name__})") from None
    said = "\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
    basis = _Basis(said)
    stated = [_stated(one) for one in memories[:MOST_PROPOSALS] if _is_sound(one) and basis.bears_out(one)]
    return Proposals(tuple(stated), len(memories) - len(stated))


class _Basis:
    """What was said, for comparison."""

    def __init__(self, said: str) -> None:
        whole = statement(said)
        self._terms = frozenset(terms_of(said))
        self._numbers = frozenset(whole.numbers)
        self._negates = bool(whole.negations)

    def bears_out(self, one: _Proposal) -> bool:
        """Most words were said, all numbers, and a denial only where something was denied."""
        claim = statement(one.observation)
        if not self._numbers.issuperset(claim.numbers) or (claim.negations and not self._negates):
            return False
        terms = set(terms_of(one.observation)) - _ALWAYS_SAID
        if not terms or len(terms & self._terms) < _SUPPORT * len(terms):
            return False
        return one.entity.strip() in GENERAL_ENTITIES or self._terms.issuperset({*terms_of(one.entity)} - _ALWAYS_SAID)


def _is_sound(one: _Proposal) -> bool:
    names = all(name.strip() and len(name) <= _LONGEST_NAME and name.isprintable() for name in (one.entity, one.type))
    if not names or not 0.0 <= one.confidence <= 1.0 or len(one.observation) > LONGEST_OBSERVATION:
        return False
    return one.observation.isprintable() and is_storable(one.observation) and is_storable(f"a name: {one.entity}")


def _stated(one: _Proposal) -> Stated:
    return Stated(
        entity=one.entity.strip(),
        type=one.type.strip(),
        text=one.observation.strip(),
        confidence=min(one.confidence, _SURE),
    )
