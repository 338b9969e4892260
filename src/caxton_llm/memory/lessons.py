"""What a conversation taught, without a model: its turns, and the sentences by which the user states something lasting.

Pure and deterministic. Every text stands so in a message of the user or the agent; results of tools and instructions never
become memories, nor does what looks like a secret.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from caxton_llm.memory.cues import Lasting, is_order, lasting, subject_of
from caxton_llm.memory.model import Entity, Observation, Record, Scope, Turn
from caxton_llm.memory.prose import holds_secret, prose_lines, sentences, shortened
from caxton_llm.memory.query_words import is_question
from caxton_llm.types import Message

__all__ = [
    "GENERAL_ENTITIES",
    "LONGEST_OBSERVATION",
    "Heard",
    "Stated",
    "entities_of",
    "is_storable",
    "lessons_of",
    "stated_in",
    "turns_of",
]

LONGEST_TURN = 4_000
"""Characters of a turn; of a longer one the beginning is kept."""
LONGEST_OBSERVATION = 300
"""Characters of a sentence that states something; a longer one is a text, and rather pasted than said."""
_PASTED = 2_000
"""Characters of prose from which on a message is taken for pasted: it may be anybody's words."""
_READ = 20_000
"""Characters of a message that are looked at; what comes after them would not be kept."""
_FEWEST_WORDS = 3
_LONGEST_NAME = 200
_LONGEST_QUOTE = 60
_QUOTES = ('"', "\u201c", "\u201e", "\u00ab", "\u00bb", "'", "\u2018")

_ENTITIES: dict[Lasting, tuple[str, str]] = {
    "preference": ("User preferences", "preferences"),
    "decision": ("Decisions", "decisions"),
    "fact": ("Facts about the user", "facts"),
    "request": ("Facts about the user", "facts"),
}
"""Name and type where no subject is named."""
GENERAL_ENTITIES = frozenset(name for name, _ in _ENTITIES.values())
"""Their names, which nobody has to have said."""
_CONFIDENCE: dict[Lasting, float] = {"preference": 0.7, "decision": 0.7, "fact": 0.7, "request": 0.9}

_INTRODUCING = (
    *(
        "translate",
        "summarize",
        "summarise",
        "proofread",
        "correct",
        "rewrite",
        "rephrase",
        "review",
        "explain",
        "classify",
    ),
    *(
        "says",
        "said",
        "wrote",
        "writes",
        "email",
        "e-mail",
        "mail",
        "letter",
        "article",
        "log",
        "output",
        "transcript",
        "text",
    ),
    *("document", "message", "quote", "\u00fcbersetze", "fasse", "korrigiere", "schreibt", "schrieb", "brief"),
)
"""Words of a line that ends with a colon, and after which others speak."""


class Heard(Struct, frozen=True, kw_only=True):
    """Where and when something was said, and whose memory it becomes part of. `at` in seconds since 1970.

    `conversation` is its name in the memory, which is unique in the owner's; `agent` must not be empty in the scope `agent`.
    """

    conversation: str
    agent: str = ""
    scope: Scope = "agent"
    workspace: str = ""
    tenant: str = ""
    at: float | None = None

    @property
    def source(self) -> str:
        """What an observation says of where it comes from."""
        return f"conversation {self.conversation}"


class Stated(Struct, frozen=True, kw_only=True):
    """Something lasting, with the entity that it is said of. `confidence` is below 1: it was inferred, not confirmed."""

    entity: str
    type: str
    text: str
    confidence: float


def lessons_of(messages: Sequence[Message], *, heard: Heard, first_index: int) -> list[Record]:
    """The turns of `messages`, from `first_index` on, and an entity for each subject that the user says something of."""
    return [*turns_of(messages, heard=heard, first_index=first_index), *entities_of(stated_in(messages), heard)]


def turns_of(messages: Iterable[Message], *, heard: Heard, first_index: int) -> list[Turn]:
    """What the user and the agent said, as turns with consecutive indexes.

    Messages of one speaker, with nothing by the other in between, are one turn; messages without prose are none.
    """
    runs: list[tuple[str, str, list[str]]] = []
    for message in messages:
        lines = prose_lines(_text_of(message))
        if message.role not in ("user", "assistant") or not lines:
            continue
        speaker = _speaker(message, heard.agent)
        if not runs or runs[-1][:2] != (message.role, speaker):
            runs.append((message.role, speaker, []))
        runs[-1][2].extend(lines)
    return [
        Turn(
            conversation=heard.conversation,
            index=index,
            role=role,
            speaker=speaker,
            text=shortened("\n".join(lines), LONGEST_TURN),
            at=heard.at,
            scope=heard.scope,
            agent=heard.agent,
            workspace=heard.workspace,
            tenant=heard.tenant,
        )
        for index, (role, speaker, lines) in enumerate(runs, first_index)
    ]


def stated_in(messages: Iterable[Message]) -> list[Stated]:
    """The sentences of the user that state something lasting, in order, each once."""
    found: dict[str, Stated] = {}
    for message in messages:
        if message.role != "user":
            continue
        for sentence in _own_sentences(_text_of(message)):
            kind = lasting(sentence)
            if kind is not None and is_storable(sentence):
                found.setdefault(sentence, _stated(sentence, kind))
    return list(found.values())


def entities_of(stated: Iterable[Stated], heard: Heard) -> list[Entity]:
    """One entity for each name and type, with everything that is said of it."""
    gathered: dict[tuple[str, str], list[Observation]] = {}
    for one in stated:
        seen = Observation(one.text, at=heard.at, source=heard.source, confidence=one.confidence)
        gathered.setdefault((one.entity, one.type), []).append(seen)
    return [
        Entity(
            name=name,
            type=type_name,
            observations=tuple(observations),
            scope=heard.scope,
            agent=heard.agent,
            workspace=heard.workspace,
            tenant=heard.tenant,
        )
        for (name, type_name), observations in gathered.items()
    ]


def is_storable(text: str) -> bool:
    """Whether a sentence may become an observation, whoever has found it: it is short, and neither asks, nor orders, nor
    quotes, nor holds a secret."""
    if len(text) > LONGEST_OBSERVATION or len(text.split()) < _FEWEST_WORDS:
        return False
    return not (is_question(text) or is_order(text) or holds_secret(text) or _quotes(text))


def _stated(sentence: str, kind: Lasting) -> Stated:
    name, type_name = _ENTITIES[kind]
    subject = subject_of(sentence)
    if subject is not None:
        name, type_name = subject, "note"
    return Stated(entity=name, type=type_name, text=sentence, confidence=_CONFIDENCE[kind])


def _own_sentences(text: str) -> Iterator[str]:
    """The user's, without what he has pasted or introduced as another's words."""
    lines = prose_lines(text)
    if sum(map(len, lines)) > _PASTED:
        return
    for line in lines:
        for sentence in sentences(line):
            if _introduces(sentence):
                return
            yield sentence


def _introduces(sentence: str) -> bool:
    head, colon, _ = sentence.partition(":")
    return bool(colon) and not _INTRODUCES.isdisjoint(head.casefold().split())


_INTRODUCES = frozenset(_INTRODUCING)


def _quotes(text: str) -> bool:
    """Whether it is a quotation, or for a good part."""
    if text.startswith(_QUOTES):
        return True
    parts = text.translate(_ONE_QUOTE).split('"')
    return any(len(part) > _LONGEST_QUOTE for part in parts[1::2])


_ONE_QUOTE = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'))


def _speaker(message: Message, agent: str) -> str:
    name = "\n".join(prose_lines(message.name or ""))[:_LONGEST_NAME].strip()
    return name or ((agent or "assistant") if message.role == "assistant" else "user")


def _text_of(message: Message) -> str:
    content = message.content
    if isinstance(content, str):
        return content[:_READ]
    return "\n".join(part.text for part in content or () if part.type == "text" and part.text)[:_READ]
