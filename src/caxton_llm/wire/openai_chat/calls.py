"""Fragments of tool calls in a stream -> fragments of the common model, whatever the server left out or repeated.

A call is known by its index, else by its id, else by its place. Servers that send every whole call under index 0 are
recognised by another id or name under an index that is taken. Each call's id, type and name go out once, with its first
fragment.
"""

import msgspec

from caxton_llm.types import FunctionCallDelta, ToolCallDelta
from caxton_llm.wire.openai_chat.shapes import WireCall, WireFunction, arguments_text, synthetic_call_id

__all__ = ["CallFragments"]

_NO_FUNCTION = WireFunction()


class _Call:
    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int, call_id: str, name: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.arguments: list[str] | None = None if call_id else []
        """Kept only for a call without an id of its own, to see where it ends and the next begins."""


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
        return [self._delta(fragment, place, answer_id) for place, fragment in enumerate(fragments)]

    def _plain_delta(self, fragment: WireCall) -> ToolCallDelta | None:
        """What nearly every fragment is: more arguments of a call that is known by its index."""
        function = fragment.function
        if function is None or function.name or function.arguments.__class__ is not str or fragment.index is None:
            return None
        call = self._by_key.get(fragment.index)
        if call is None or call.arguments is not None or call.index != fragment.index:
            return None
        return ToolCallDelta(index=call.index, function=FunctionCallDelta(None, function.arguments))

    def _delta(self, fragment: WireCall, place: int, answer_id: str) -> ToolCallDelta:
        function = fragment.function or _NO_FUNCTION
        arguments = function.arguments
        if arguments.__class__ is not str:
            self.mended |= arguments is not None
            arguments = arguments_text(arguments)
        call = self._find(fragment, function.name, place)
        if call is not None:
            if call.arguments is not None:
                call.arguments.append(arguments)
            self.mended |= fragment.index != call.index
            return ToolCallDelta(
                index=call.index,
                function=FunctionCallDelta(None, arguments) if fragment.function else None,
                custom=fragment.custom,
            )
        return self._head(fragment, function.name or "", arguments, place, answer_id)

    def _head(self, fragment: WireCall, name: str, arguments: str, place: int, answer_id: str) -> ToolCallDelta:
        index = len(self._calls)
        call = _Call(index, fragment.id or "", name)
        if call.arguments is not None:
            call.arguments.append(arguments)
        self._calls.append(call)
        keys = [key for key in (fragment.index, fragment.id or None) if key is not None]
        for key in keys or [-1 - place]:
            self._by_key[key] = call
        self.mended |= not fragment.id or fragment.index != index or not fragment.type
        custom = fragment.function is None and fragment.custom is not None
        return ToolCallDelta(
            index=index,
            id=fragment.id or synthetic_call_id(answer_id, self._choice, index, name),
            type=fragment.type or ("custom" if custom else "function"),
            function=None if custom else FunctionCallDelta(name, arguments),
            custom=fragment.custom,
        )

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
    if name != call.name:
        return True
    return call.arguments is not None and _is_whole("".join(call.arguments))


def _is_whole(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return False
    return True
