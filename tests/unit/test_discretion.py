"""No `repr` of anything that can hold a prompt or an answer shows it."""

import dataclasses
import inspect
import types as python_types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from rich.console import Console

from caxton_llm import protocols, types
from caxton_llm.types import ChatResponse, Choice, Message, Usage

PLANTED = "what nobody may read"
NAMES = frozenset(
    {
        "id",
        "type",
        "role",
        "index",
        "format",
        "finish_reason",
        "tool_call_id",
        "reasoning_effort",
        "model",
        "provider",
        "dialect",
        "method",
        "path",
        "scheme",
    }
)
"""Fields that identify and say nothing."""
HARMLESS = frozenset(
    {
        "CompletionTokensDetails",
        "PromptTokensDetails",
        "Billing",
        "Usage",
        "ParameterReport",  # the server writes it into a header
        "StreamOptions",
        "Origin",
        "ModelInfo",
        "Quirks",
        "Restore",
        "EncodeOptions",
    }
)
"""Structs of figures, names of parameters, and configuration."""
STRUCTS = [
    pytest.param(kind, id=name)
    for module in (types, protocols)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct and name not in HARMLESS
]


def filled(kind: Any, text: str = PLANTED) -> Any:
    """A value of the struct that has the text wherever a text, bytes or anything can be."""
    text = "x" if kind.__name__ in HARMLESS else text
    hints = get_type_hints(kind)
    return kind(**{name: planted(hints[name], "x" if name in NAMES else text) for name in kind.__struct_fields__})


def planted(hint: Any, text: str) -> Any:
    options = list(alternatives(hint))
    simple: dict[Any, Any] = {Any: {"key": [text]}, str: text, bytes: text.encode(), int: 1, float: 1.0, bool: True}
    for option in options:
        if option in simple:
            return simple[option]
    return composed(options[0], text)


def composed(kind: Any, text: str) -> Any:
    if inspect.isclass(kind) and issubclass(kind, msgspec.Raw):
        return msgspec.Raw(msgspec.json.encode(text))
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return filled(kind, text)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return kind(**{each.name: text if each.type is str else 0.0 for each in dataclasses.fields(kind)})
    container, inner = get_origin(kind), get_args(kind)
    if container is list:
        return [planted(inner[0], text)]
    if container is tuple:
        return (("x-key", text),)
    return inner[0] if container is Literal else {"key": planted(inner[1], text)}


def alternatives(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (Union, python_types.UnionType):
        for inner in get_args(hint):
            yield from alternatives(inner)
    elif hint is not type(None):
        yield hint


@pytest.mark.parametrize("kind", STRUCTS)
def test_no_repr_shows_what_was_written(kind: Any) -> None:
    value = filled(kind)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(value)
    assert PLANTED not in repr(value)
    assert PLANTED not in captured.get().replace("\n", " ")


@pytest.mark.parametrize("kind", [protocols.Defaults, protocols.EncodedChat, types.Message])
def test_the_texts_are_there(kind: Any) -> None:
    assert PLANTED in str(msgspec.to_builtins(filled(kind), builtin_types=(bytes,)))


def test_a_printed_answer_still_says_who_answered_why_it_ended_and_what_it_used() -> None:
    message = Message(role="assistant", content="Hello")
    response = ChatResponse(
        id="c-1",
        model="gpt-4o",
        provider="main",
        choices=[Choice(index=0, message=message, finish_reason="stop")],
        usage=Usage(prompt_tokens=5, completion_tokens=2),
    )
    shown = repr(response)
    assert all(word in shown for word in ("gpt-4o", "main", "'stop'", "prompt_tokens=5", "completion_tokens=2"))
    assert repr(message) == "Message(role='assistant', content=<5 characters>)"
