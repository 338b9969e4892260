"""How a request that fits no window is read in parts: which parts, how long notes may be, what the last request holds.

Rooms are in tokens as `count` gives them. Nothing here is asked of a model; counting a long text takes its time, so callers
with an event loop do it beside it.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from caxton_llm.context.fit import DoesNotFit, fit
from caxton_llm.context.long_texts.partial_requests import Note, PartialRequests, current_tokens, shortened
from caxton_llm.context.long_texts.splitting import Part, no_room_for_material, split, take_apart, too_many_parts
from caxton_llm.context.render.fence import inside
from caxton_llm.model_info import ModelInfo
from caxton_llm.tokens import prompt_tokens
from caxton_llm.types import ChatRequest

__all__ = ["ReadingPlan", "plan_reading"]

_SHORTEST_NOTE = 128
_LONGEST_NOTE = 2_048
_NOTE_SHARE = 16
"""A note should have at most one part in so many of the window."""
_LEAST_ROOM = 64
"""Tokens of material for which it is still worth asking."""
_SLACK = 48
"""Tokens kept free for numbers of parts, and for texts that have a few more joined than each alone."""
_ASKED_SHARE = 4
"""What is asked may take one part in so many of what a window has for a prompt."""


class ReadingPlan(Struct, frozen=True, kw_only=True):
    """How one request is read. `material_tokens` are those of all material, `answer_limit` is the most of the last prompt."""

    requests: PartialRequests
    parts: tuple[Part, ...]
    model: str
    count: Callable[[str], int]
    material_tokens: int
    answer_limit: int
    merge_room: int
    note_room: int
    """The most of one note: three of them can be merged."""

    def note(self, parts: tuple[int, ...], text: str) -> Note:
        """A note as long as it may be, of what a model wrote about parts."""
        return shortened(Note(parts, text), self.note_room, self.count)

    def leaves_room(self, notes: Sequence[Note], missing: Sequence[int]) -> bool:
        """Whether the answer can be asked for with these notes."""
        return current_tokens(self._last(notes, missing), self.count) <= self.answer_limit

    def batches(self, notes: Sequence[Note]) -> list[list[Note]]:
        """Neighbouring notes that are merged at once: two at least, so that there are fewer each time."""
        batches: list[list[Note]] = []
        left = 0
        for note in notes:
            cost = self.count(note.fenced() + "\n")
            if not batches or (cost > left and len(batches[-1]) > 1):
                batches.append([])
                left = self.merge_room
            batches[-1].append(note)
            left -= cost
        return batches

    def answering(self, notes: Sequence[Note], missing: Sequence[int]) -> tuple[ChatRequest, tuple[str, ...]]:
        """The last request, with as much of the earlier conversation as fits, and what was done to it. Raises
        `ContextWindowExceeded` where not even the notes leave room."""
        last = self._last(notes, missing)
        excess = current_tokens(last, self.count) - self.answer_limit
        if excess > 0 and len(notes) == 1:
            last = self._last([shortened(notes[0], self.count(notes[0].fenced()) - excess, self.count)], missing)
        info = ModelInfo(id=self.model, provider="", max_input_tokens=self.answer_limit)
        fitted = fit(last, info, self.count, calibration=1.0)
        if isinstance(fitted, DoesNotFit):
            raise no_room_for_material(current_tokens(last, self.count), self.answer_limit, self.model)
        return fitted.request, fitted.notes

    def _last(self, notes: Sequence[Note], missing: Sequence[int]) -> ChatRequest:
        return self.requests.answering(notes, total=len(self.parts), missing=missing)


def plan_reading(
    request: ChatRequest, count: Callable[[str], int], *, window: int, answer: int, most_parts: int, standing: int = 0
) -> ReadingPlan:
    """A plan for a model with a window of so many tokens, of which the answer gets `answer`, and `standing` what the last
    request has beside its messages, at most half of the rest.

    Raises `ContextWindowExceeded` where there is no long text, too little is left for it, or it makes more than `most_parts`
    parts. Takes time in proportion to the text.
    """
    taken = take_apart(request, max(0, window - answer) // _ASKED_SHARE, count)
    if not taken.material:
        raise no_room_for_material(current_tokens(request, count), window - answer, request.model)
    note = min(_LONGEST_NOTE, max(_SHORTEST_NOTE, window // _NOTE_SHARE))
    reserve = max(answer, note)
    # A limit that was meant for the answer is not one for notes. Thinking counts for it too, so it never gets smaller.
    limit = None if request.output_limit is None else max(reserve, request.output_limit)
    requests = PartialRequests(request, taken, note_tokens=note, limit=limit)
    nothing = Part(number=1, total=most_parts, text="", tokens=0)
    reading = prompt_tokens(requests.reading(nothing), count)
    answering = current_tokens(requests.answering((), total=most_parts), count)
    answer_limit = window - answer - min(standing, (window - answer) // 2)
    room = window - reserve - reading - _SLACK
    merge_room = window - reserve - prompt_tokens(requests.merging(()), count) - _SLACK
    if min(room, merge_room // 3, answer_limit - answering - _SLACK) < _LEAST_ROOM:
        raise no_room_for_material(max(reading, answering), window - reserve, request.model)
    # In a fence a text may have more tokens than outside: its own tags are written so that they are none.
    parts = split(taken.text, room, lambda text: count(inside(text)))
    material = sum(part.tokens for part in parts)
    if len(parts) > most_parts:
        raise too_many_parts(material, len(parts), most=most_parts, room=room, model=request.model)
    return ReadingPlan(
        requests=requests,
        parts=parts,
        model=request.model,
        count=count,
        material_tokens=material,
        answer_limit=answer_limit,
        merge_room=merge_room,
        note_room=min(2 * note, merge_room // 3),
    )
