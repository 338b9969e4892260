"""What a model is asked when it reads a request in parts: notes of each part, notes of notes, the answer from them.

Material and notes are data, fenced. System messages go with every request; the earlier conversation, tools and the form of
the answer go with the last one only.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from caxton_llm.context.conversation.exchanges import exchanges_of
from caxton_llm.context.long_texts.seams import shortened_end
from caxton_llm.context.long_texts.splitting import Part, TakenApart, with_material
from caxton_llm.context.render.fence import DATA_NOTE, fenced
from caxton_llm.discreet import Discreet
from caxton_llm.tokens import frame_tokens, message_tokens
from caxton_llm.types import ChatRequest, ContentPart, Message

__all__ = ["Note", "PartialRequests", "current_tokens", "numbers", "shortened"]

_SYSTEM_ROLES = ("system", "developer")
_SEEN = ("image_url", "input_audio", "file")

_READ = (
    "The request at the end comes with material that is too long to be read at once, so you read one part of it. Do not "
    "answer the request yet. Write notes of what the answer needs from this part, in at most {words} words: facts, figures, "
    "names and wording as they stand there. If the part has nothing of use, say so in one sentence."
)
_MERGE = (
    "The request at the end comes with material that was too long to be read at once. Notes were taken of its parts. Do not "
    "answer the request yet. Merge the notes into one, in at most {words} words; keep what the answer needs: facts, figures, "
    "names and wording."
)
_ANSWER = (
    "[The material that stood here was too long to be read at once. It was read in {total} parts, and notes were taken of "
    "each for this request. {missing}Answer from the notes.]"
)
_ABOVE = "[The notes above cover what stood here, too.]"
_NO_INSTRUCTION = "(Nothing is said beside the material; the system message says what it is for.)"
_CUT = "\n[... the rest of these notes is left out ...]"
_WORDS_PER_TOKEN = 0.6
_FEWEST_WORDS = 40


class Note(Discreet, Struct, frozen=True):
    """What a model wrote down of some parts."""

    parts: tuple[int, ...]
    text: str

    def fenced(self) -> str:
        """The note as data, with the parts that it is about."""
        return fenced("notes", f"{numbers(self.parts)}:\n{self.text}")


class PartialRequests:
    """The requests of one that is read in parts. A note should have `note_tokens` tokens; `limit` is the limit of its output,
    where it has one."""

    def __init__(self, request: ChatRequest, taken: TakenApart, *, note_tokens: int, limit: int | None = None) -> None:
        self._request = request
        self._taken = taken
        self._words = max(_FEWEST_WORDS, int(note_tokens * _WORDS_PER_TOKEN))
        self._limit = limit
        self._system = [message for message in request.messages if message.role in _SYSTEM_ROLES]
        self._seen = _seen(request)

    def reading(self, part: Part) -> ChatRequest:
        """Asks for notes of one part. Images of the current request go with the first."""
        material = fenced("material", part.header + part.text)
        asked = f"{self._rules(_READ)}\n\nPart {part.number} of {part.total}:\n{material}\n\n{self._asked}"
        if part.number > 1 or not self._seen:
            return self._asking(asked)
        return self._asking([ContentPart(type="text", text=asked), *self._seen])

    def merging(self, notes: Sequence[Note]) -> ChatRequest:
        """Asks for one note instead of several."""
        return self._asking(f"{self._rules(_MERGE)}\n\n{_told(notes)}\n\n{self._asked}")

    def answering(self, notes: Sequence[Note], *, total: int, missing: Sequence[int] = ()) -> ChatRequest:
        """The request with notes in the place of its material. `missing` are the parts that nothing is known of."""
        gap = f"Of {numbers(missing).lower()} there are none: say so where it matters. " if missing else ""
        text = f"{_ANSWER.format(total=total, missing=gap)}\n{DATA_NOTE}\n\n{_told(notes)}"
        return with_material(self._request, self._taken, [text, *[_ABOVE] * (len(self._taken.material) - 1)])

    @property
    def _asked(self) -> str:
        return f"Request:\n{self._taken.instruction or _NO_INSTRUCTION}"

    def _rules(self, text: str) -> str:
        return f"{text.format(words=self._words)} {DATA_NOTE}"

    def _asking(self, content: str | list[ContentPart]) -> ChatRequest:
        """Only who asks, and how words are chosen, goes along: whatever else there is may hold an answer to a form."""
        request = self._request
        return ChatRequest(
            model=request.model,
            messages=[*self._system, Message(role="user", content=content)],
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            user=request.user,
            safety_identifier=request.safety_identifier,
            metadata=request.metadata,
            reasoning_effort=request.reasoning_effort,
            service_tier=request.service_tier,
            prompt_cache_key=request.prompt_cache_key,
            store=request.store,
            max_completion_tokens=self._limit,
        )


def current_tokens(request: ChatRequest, count: Callable[[str], int]) -> int:
    """Tokens of a prompt without the earlier conversation."""
    current = next(reversed(exchanges_of(request.messages)), [])
    messages = [
        message for place, message in enumerate(request.messages) if place in current or message.role in _SYSTEM_ROLES
    ]
    return frame_tokens(request, count) + sum(message_tokens(message, count) for message in messages)


def shortened(note: Note, room: int, count: Callable[[str], int]) -> Note:
    """The note with at most `room` tokens as it is told, cut at its end where it has more."""
    if count(note.fenced()) <= room:
        return note
    left = room - count(Note(note.parts, _CUT).fenced())
    text = shortened_end(note.text, left, lambda text: count(fenced("notes", text)) - count(fenced("notes", "")))
    return Note(note.parts, text.rstrip() + _CUT)


def numbers(parts: Sequence[int]) -> str:
    """Parts by their numbers: "Part 3", "Parts 1 to 4, 7"."""
    runs: list[list[int]] = []
    for part in sorted(parts):
        if runs and part == runs[-1][-1] + 1:
            runs[-1].append(part)
        else:
            runs.append([part])
    told = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return f"Part{'' if len(parts) == 1 else 's'} {', '.join(told)}"


def _told(notes: Sequence[Note]) -> str:
    return "\n".join(note.fenced() for note in notes)


def _seen(request: ChatRequest) -> list[ContentPart]:
    """Images, sound and documents of the current request."""
    found: list[ContentPart] = []
    for place in next(reversed(exchanges_of(request.messages)), []):
        message = request.messages[place]
        if message.role == "user" and isinstance(message.content, list):
            found += [part for part in message.content if part.type in _SEEN]
    return found
