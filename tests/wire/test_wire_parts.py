"""The small shared parts of the dialects: tool names, data URLs, think tags, parameter notes, conversations."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.types import FunctionCall, FunctionDefinition, ChatRequest, Message, ToolCall
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.data_url import parse_data_url, sniff_image_type
from caxton_llm.wire.legacy_functions import modernized
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.think_tags import ThinkSplitter
from caxton_llm.wire.tool_names import wire_tool_names

# -- tool names ---------------------------------------------------------------------------------------------------------


def test_names_that_every_provider_accepts_stay() -> None:
    assert wire_tool_names(["get_weather", "a-b", "_", "x" * 64]) == {}


def test_a_foreign_name_becomes_a_readable_one_whatever_else_there_is() -> None:
    alone = wire_tool_names(["files/read"])
    among = wire_tool_names(["files.read", "get_weather", "files/read", "files_read"])
    assert alone["files/read"] == among["files/read"]
    assert alone["files/read"].startswith("files_read_")


def test_names_are_taken_from_any_iterable() -> None:
    assert set(wire_tool_names(name for name in ("a b", "ok"))) == {"a b"}


@given(names=st.lists(st.text(max_size=80), max_size=12), limit=st.sampled_from([24, 64, 128]))
@settings(max_examples=150, deadline=None)
def test_renaming_is_reversible_and_fits_the_alphabet(names: list[str], limit: int) -> None:
    renamed = wire_tool_names(names, limit=limit)
    wire = {name: renamed.get(name, name) for name in names}
    assert len(set(wire.values())) == len(wire)
    for name in wire.values():
        assert 0 < len(name) <= limit
        assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in name)
    assert wire_tool_names(reversed(names), limit=limit) == renamed


# -- data URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;charset=utf-8;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:IMAGE/PNG;BASE64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;base64,AA%2BA", ("image/png", "AA+A")),
        ("data:image/png;base64,AA\n AA", ("image/png", "AAAA")),
        ("data:,hello%20there", ("text/plain", base64.b64encode(b"hello there").decode())),
        ("data:text/plain;charset=utf-8,h%C3%A9", ("text/plain", base64.b64encode("hé".encode()).decode())),
        ("https://example.com/a.png", None),
        ("data:image/png;base64", None),
        ("", None),
    ],
)
def test_a_data_url_is_read_as_rfc_2397_says(url: str, expected: tuple[str, str] | None) -> None:
    assert parse_data_url(url) == expected


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n1234", "image/png"),
        (b"\xff\xd8\xff\xe0123456789", "image/jpeg"),
        (b"GIF89a123456", "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7 12345", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_what_an_image_is(head: bytes, kind: str | None) -> None:
    assert sniff_image_type(base64.b64encode(head).decode()) == kind


def test_what_is_not_base64_is_no_image() -> None:
    assert sniff_image_type("é" * 20) is None


# -- think tags ---------------------------------------------------------------------------------------------------------


def split(*pieces: str) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>why</think>because", ("because", "why")),
        ("no tags < at all", ("no tags < at all", "")),
        ("<think>cut off", ("", "cut off")),
        ("a<think>b</think>c<think>d</think>e", ("ace", "bd")),
        ("<thin", ("<thin", "")),
        ("<think>a</thin", ("", "a</thin")),
    ],
)
def test_reasoning_between_tags_is_taken_out(text: str, expected: tuple[str, str]) -> None:
    assert split(text) == expected
    assert split(*text) == expected


@given(
    parts=st.lists(st.sampled_from(["<think>", "</think>", "<", "think", ">", "a", "</", "<thi"]), max_size=12),
    cut=st.integers(0, 60),
)
@settings(max_examples=150, deadline=None)
def test_where_the_text_is_cut_never_changes_what_is_reasoning(parts: list[str], cut: int) -> None:
    text = "".join(parts)
    assert split(text[:cut], text[cut:]) == split(text) == split(*text)


# -- parameter notes ----------------------------------------------------------------------------------------------------


def test_a_dropped_parameter_is_reported_or_with_strict_refused() -> None:
    notes = ParameterNotes(strict=False)
    notes.drop("seed", "no such thing")
    notes.map("max_tokens", "max_completion_tokens")
    assert notes.report().dropped == {"seed": "no such thing"}
    assert notes.report().mapped == {"max_tokens": "max_completion_tokens"}
    with pytest.raises(UnsupportedFeature) as caught:
        ParameterNotes(strict=True).drop("seed", "no such thing")
    assert caught.value.param == "seed"


def test_what_belongs_to_the_history_is_reported_and_never_refused() -> None:
    notes = ParameterNotes(strict=True)
    notes.strip("thinking_blocks", "another vendor's")
    assert notes.report().dropped == {"thinking_blocks": "another vendor's"}


# -- conversations ------------------------------------------------------------------------------------------------------


def user(text: str = "hi") -> Message:
    return Message(role="user", content=text)


def calls(*ids: str) -> Message:
    return Message(role="assistant", tool_calls=[ToolCall(id=name, function=FunctionCall("f", "{}")) for name in ids])


def result(call_id: str | None) -> Message:
    return Message(role="tool", tool_call_id=call_id, content="42")


@pytest.mark.parametrize(
    "messages",
    [
        [user()],
        [user(), calls("a", "b"), result("b"), result("a"), user()],
        [user(), calls("a"), Message(role="system", content="note"), result("a")],
        [Message(role="system", content="only")],
    ],
)
def test_a_sound_conversation_passes(messages: list[Message]) -> None:
    check_conversation(messages)


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([], "messages"),
        ([user(), result("a")], "messages[1].tool_call_id"),
        ([user(), calls("a"), result("b")], "messages[2].tool_call_id"),
        ([user(), calls("a"), result("a"), result("a")], "messages[3].tool_call_id"),
        ([user(), calls("a"), result(None)], "messages[2].tool_call_id"),
        ([user(), calls("a", "b"), result("b"), user()], "messages[1].tool_calls[0].id"),
        ([user(), calls("a"), calls("b"), result("b")], "messages[1].tool_calls[0].id"),
        ([user(), calls("a")], "messages[1].tool_calls[0].id"),
        ([user(), calls("a", "a"), result("a")], "messages[1].tool_calls[1].id"),
        ([Message(role="user", content="x", tool_calls=[ToolCall(id="a")])], "messages[0].tool_calls"),
    ],
)
def test_calls_and_results_that_do_not_match_are_named(messages: list[Message], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_conversation(messages)
    assert caught.value.param == path


# -- the deprecated functions -------------------------------------------------------------------------------------------


def test_functions_become_tools_with_ids_that_match() -> None:
    request = modernized(
        ChatRequest(
            messages=[
                user(),
                Message(role="assistant", function_call=FunctionCall("f", '{"a":1}')),
                Message(role="function", name="f", content="42"),
                user(),
            ],
            functions=[FunctionDefinition(name="f")],
            function_call={"name": "f"},
        )
    )
    check_conversation(request.messages)
    assert [tool.type for tool in request.tools or ()] == ["function"]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert request.messages[2].role == "tool"
    assert (request.functions, request.function_call) == (None, None)


def test_a_request_without_functions_stays_itself() -> None:
    request = ChatRequest(messages=[user()])
    assert modernized(request) is request
