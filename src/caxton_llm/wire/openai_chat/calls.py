"""Fragments of tool calls in a stream -> fragments of the common model, whatever the server left out or repeated.

A call is known by its index, else by its id, else by its place. Servers that send every whole call under index 0 are
recognised by another id or name under an index that is taken. Each call's id, type and name go out once, with its first
fragment; a call whose name comes late waits for it.
"""

import msgspec

from caxton_llm.types import FunctionCallDelta, ToolCallDelta
from caxton_llm.wire.openai_chat.shapes import WireCall, WireFunction, arguments_text, synthetic_call_id

__all__ = ["CallFragments"]

_NO_FUNCTION = WireFunction()


class _Call:
    __slots__ = ("arguments", "id", "index", "name", "waits")

    def __init__(self, index: int, call_id: str, name: str, *, waits: bool) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.waits = waits
        """Nothing of it has gone out, because its name has not come."""
        self.arguments: list[str] | None = [] if waits or not call_id else None
        """Kept only while a call waits, and for one without an id of its own, to see where it ends and the next begins."""


class CallFragments:
    """The calls of one choice. `mended` says that the last fragments could not go to a client as they came."""

    __slots__ = ("_by_key", "_calls", "_choice", "mended")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_key: dict[int | str, _Call] = {}
        self.mended = False

    def feed(self, fragments: list[WireCall], answer_id: str) -> list[ToolCallDelta]:
        """The fragments of one event in the common model."""
        self.mended = False
        if len(fragments) == 1 and (delta := self._plain_delta(fragments[0])) is not None:
            return [delta]
        deltas = [self._delta(fragment, place, answer_id) for place, fragment in enumerate(fragments)]
        return [delta for delta in deltas if delta is not None]

    @property
    def unnamed(self) -> bool:
        """Whether a call still waits for its name."""
        return any(call.waits for call in self._calls)

    def _plain_delta(self, fragment: WireCall) -> ToolCallDelta | None:
        """What nearly every fragment is: more arguments of a call that is known by its index."""
        function = fragment.function
        if function is None or function.name or function.arguments.__class__ is not str or fragment.index is None:
            return None
        call = self._by_key.get(fragment.index)
        if call is None or call.arguments is not None or call.index != fragment.index:
            return None
        return ToolCallDelta(index=call.index, function=FunctionCallDelta(None, function.arguments))

    def _delta(self, fragment: WireCall, place: int, answer_id: str) -> ToolCallDelta | None:
        function = fragment.function or _NO_FUNCTION
        arguments = function.arguments
        if arguments.__class__ is not str:
            self.mended |= arguments is not None
            arguments = arguments_text(arguments)
        call = self._find(fragment, function.name, place)
        if call is None:
            call = self._begin(fragment, function.name or "", place)
            if call.arguments is not None:
                call.arguments.append(arguments)
            self.mended |= call.waits or not fragment.id or fragment.index != call.index or not fragment.type
            return None if call.waits else self._head(call, fragment, arguments, answer_id)
        if call.arguments is not None:
            call.arguments.append(arguments)
        if call.waits:
            return self._late_head(call, fragment, function.name, answer_id)
        self.mended |= fragment.index != call.index
        return ToolCallDelta(
            index=call.index,
            function=FunctionCallDelta(None, arguments) if fragment.function else None,
            custom=fragment.custom,
        )

    def _begin(self, fragment: WireCall, name: str, place: int) -> _Call:
        custom = fragment.function is None and fragment.custom is not None
        call = _Call(len(self._calls), fragment.id or "", name, waits=not name and not custom)
        self._calls.append(call)
        keys = [key for key in (fragment.index, fragment.id or None) if key is not None]
        for key in keys or [-1 - place]:
            self._by_key[key] = call
        return call

    def _head(self, call: _Call, fragment: WireCall, arguments: str, answer_id: str) -> ToolCallDelta:
        custom = fragment.function is None and fragment.custom is not None
        return ToolCallDelta(
            index=call.index,
            id=call.id or synthetic_call_id(answer_id, self._choice, call.index, call.name),
            type=fragment.type or ("custom" if custom else "function"),
            function=None if custom else FunctionCallDelta(call.name, arguments),
            custom=fragment.custom,
        )

    def _late_head(self, call: _Call, fragment: WireCall, name: str | None, answer_id: str) -> ToolCallDelta | None:
        """The head of a call that waited, with all of its arguments so far; `None` while it has to wait on."""
        self.mended = True
        if fragment.id and not call.id:
            call.id = fragment.id
            self._by_key[fragment.id] = call
        custom = fragment.function is None and fragment.custom is not None
        if not name and not custom:
            return None
        call.name, call.waits = name or "", False
        arguments = "".join(call.arguments or ())
        call.arguments = None if call.id else [arguments]
        return self._head(call, fragment, arguments, answer_id)

    def _find(self, fragment: WireCall, name: str | None, place: int) -> _Call | None:
        """The call that this fragment continues; `None` when it begins one."""
        if fragment.index is not None:
            call = self._by_key.get(fragment.index)
        elif fragment.id:
            call = self._by_key.get(fragment.id)
        else:
            call = self._by_key.get(-1 - place) or (self._calls[-1] if self._calls and not name else None)
        return None if call is None or (name and _is_another(call, fragment.id, name)) else call


def _is_another(call: _Call, call_id: str | None, name: str) -> bool:
    """Whether a fragment with a name begins another call under the key of `call`, rather than repeating its head."""
    if call_id and call.id:
        return call_id != call.id
    if call.waits:
        return False
    if name != call.name:
        return True
    return call.arguments is not None and _is_whole("".join(call.arguments))


def _is_whole(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return False
    return True
