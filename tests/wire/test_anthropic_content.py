"""What Anthropic gets of the content of a conversation: tool calls and their results, images, documents."""

from typing import Any

import msgspec
import pytest

from anthropic_models import ADAPTIVE, BUDGETED, UNKNOWN, encoded, part, user
from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import (
    AudioInput,
    ChatRequest,
    FileInput,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    Message,
    Role,
    Tool,
    ToolCall,
)
from caxton_llm.wire import anthropic_messages

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
JPEG = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgGBgUGCQgKCgkI"


def message(role: Role, content: Any = None, **fields: Any) -> Message:
    return Message(role=role, content=content, **fields)


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall(name, arguments))


def tool(name: str = "f", **fields: Any) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, **fields))


def turns(*messages: Message, model: Any = UNKNOWN, **fields: Any) -> list[dict[str, Any]]:
    body = encoded(ChatRequest(messages=list(messages), **fields), model).body
    found: list[dict[str, Any]] = body["messages"]
    return found


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


# -- tool calls in the history ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('{"a": 1.50}', {"a": 1.5}),
        ('{"a":', {"_raw": '{"a":'}),
        ("[1]", {"_raw": "[1]"}),
        ('"text"', {"_raw": '"text"'}),
        ("[" * 3000, {"_raw": "[" * 3000}),
    ],
)
def test_arguments_become_an_object_and_are_never_invented(arguments: str, sent: dict[str, Any]) -> None:
    content = turns(
        message("user", "q"),
        message("assistant", None, tool_calls=[call("a", "f", arguments)]),
        message("tool", "r", tool_call_id="a"),
        tools=[tool()],
    )[1]["content"]
    assert content == [{"type": "tool_use", "id": "a", "name": "f", "input": sent}]


def test_ids_that_anthropic_refuses_are_replaced_in_call_and_result() -> None:
    sent = turns(
        message("user", "q"),
        message("assistant", None, tool_calls=[call("call:1/ä"), call("call:2/ä"), call("_-")]),
        message("tool", "1", tool_call_id="call:1/ä"),
        message("tool", "2", tool_call_id="call:2/ä"),
        message("tool", "3", tool_call_id="_-"),
        tools=[tool()],
    )
    called = [block["id"] for block in sent[1]["content"]]
    assert [block["tool_use_id"] for block in sent[2]["content"]] == called
    assert len(set(called)) == 3
    assert called[2] == "_-"
    assert all(each.isascii() and each.replace("_", "a").replace("-", "a").isalnum() for each in called)


def test_a_result_may_hold_parts_and_its_cache_breakpoint_is_its_own() -> None:
    result = turns(
        message("user", "q"),
        message("assistant", None, tool_calls=[call("a")]),
        message(
            "tool",
            [
                part("text", text="see", cache_control={"type": "ephemeral"}),
                part("image_url", image_url=ImageUrl(url="https://x/y.png")),
            ],
            tool_call_id="a",
        ),
        tools=[tool()],
    )[2]["content"][0]
    assert result == {
        "type": "tool_result",
        "tool_use_id": "a",
        "cache_control": {"type": "ephemeral"},
        "content": [text("see"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
    }


def test_an_empty_result_has_no_content() -> None:
    sent = turns(
        message("user", "q"),
        message("assistant", None, tool_calls=[call("a")]),
        message("tool", "", tool_call_id="a"),
        tools=[tool()],
    )
    assert sent[2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([message("tool", "r", tool_call_id="x")], "messages[0].tool_call_id"),
        (
            [message("user", "q"), message("assistant", None, tool_calls=[call("a")]), message("user", "b")],
            "messages[1].tool_calls[0].id",
        ),
        ([], "messages"),
    ],
    ids=["orphan result", "orphan call", "empty"],
)
def test_a_broken_conversation_is_refused_with_its_path(messages: list[Message], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encoded(ChatRequest(messages=messages))
    assert caught.value.param == param


def test_deprecated_functions_are_tools() -> None:
    request = ChatRequest(
        messages=[
            message("user", "q"),
            message("assistant", None, function_call=FunctionCall("f", '{"a":1}')),
            message("function", "result", name="f"),
        ],
        functions=[FunctionDefinition(name="f")],
        function_call={"name": "f"},
    )
    body = encoded(request).body
    use, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert (use["name"], use["input"]) == ("f", {"a": 1})
    assert result["tool_use_id"] == use["id"]
    assert body["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


def test_a_custom_tool_call_is_refused() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        turns(
            message("user", "q"),
            message("assistant", None, tool_calls=[ToolCall(id="a", type="custom", custom={"name": "x"})]),
            message("tool", "r", tool_call_id="a"),
        )
    assert caught.value.param == "messages[1].tool_calls[0]"


# -- parts --------------------------------------------------------------------------------------------------------------


def image(url: str, **fields: Any) -> Any:
    return turns(message("user", [part("image_url", image_url=ImageUrl(url=url, **fields))]))[0]["content"][0]


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        (f"data:image/png;base64,{PNG}", "image/png", PNG),
        (f"data:image/png;charset=utf-8;base64,{PNG}", "image/png", PNG),
        (f"data:image/png;base64,{JPEG}", "image/jpeg", JPEG),
        (f"DATA:application/octet-stream;base64,{JPEG}", "image/jpeg", JPEG),
        ("data:image/webp;base64,AAAA", "image/webp", "AAAA"),
    ],
    ids=["plain", "with parameters", "wrong type", "no type", "unrecognised bytes"],
)
def test_an_image_in_a_data_url_is_sent_with_its_real_type(url: str, media_type: str, data: str) -> None:
    assert image(url) == {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def test_an_image_type_that_anthropic_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        image("data:image/svg+xml;base64,PHN2Zz4=")
    assert caught.value.param == "messages[0].content[0]"


def test_what_anthropic_would_not_fetch_is_refused() -> None:
    for content in (
        part("image_url", image_url=ImageUrl(url="http://x/y.png")),
        part("file", file=FileInput(file_data="http://x/y.pdf")),
    ):
        with pytest.raises(UnsupportedFeature):
            turns(message("user", [content]))
    (block,) = turns(message("user", [part("file", file=FileInput(file_data="https://x/y.pdf"))]))[0]["content"]
    assert block == {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}


def test_an_image_that_is_no_address_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest) as caught:
        image("file:///etc/passwd")
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert "passwd" not in str(caught.value)


def test_a_corrected_type_of_an_image_is_reported() -> None:
    mislabelled = part("image_url", image_url=ImageUrl(url=f"data:image/png;base64,{JPEG}"))
    assert encoded(user(mislabelled)).mapped == {
        "messages[0].content[0].image_url.url": "image/jpeg, which the image is"
    }
    assert encoded(user(part("image_url", image_url=ImageUrl(url=f"data:image/png;base64,{PNG}")))).mapped == {}


def test_the_cache_hint_of_a_whole_message_stands_at_its_last_block() -> None:
    hint = {"type": "ephemeral"}
    asked, called, answered = turns(
        message("user", "q", cache_control=hint),
        message("assistant", "a", tool_calls=[call("c")], cache_control=hint),
        message("tool", "1", tool_call_id="c", cache_control=hint),
    )
    assert asked["content"] == [{**text("q"), "cache_control": hint}]
    assert [block.get("cache_control") for block in called["content"]] == [None, hint]
    assert answered["content"][0]["cache_control"] == hint


def test_the_detail_of_an_image_is_dropped_and_reported() -> None:
    url = ImageUrl(url="https://x/y.png", detail="high")
    sent = encoded(user(part("image_url", image_url=url)))
    assert list(sent.dropped) == ["messages[0].content[0].image_url.detail"]
    auto = encoded(user(part("image_url", image_url=ImageUrl(url="https://x/y.png", detail="auto"))))
    assert auto.dropped == {}


def test_a_pdf_is_a_document() -> None:
    file = FileInput(file_data="data:application/pdf;base64,JVBERi0=", filename="a.pdf")
    (block,) = turns(message("user", [part("file", file=file, cache_control={"type": "ephemeral"})]))[0]["content"]
    assert block == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "a.pdf",
        "cache_control": {"type": "ephemeral"},
    }


def test_a_text_file_and_a_stored_file_are_documents() -> None:
    plain = FileInput(file_data="data:text/plain;base64,R3LDvMOfZQ==")
    stored = FileInput(file_id="file_011")
    sources = [
        block["source"]
        for block in turns(message("user", [part("file", file=plain), part("file", file=stored)]))[0]["content"]
    ]
    assert sources == [
        {"type": "text", "media_type": "text/plain", "data": "Grüße"},
        {"type": "file", "file_id": "file_011"},
    ]


@pytest.mark.parametrize(
    "file",
    [
        FileInput(file_data="data:application/zip;base64,AAAA"),
        FileInput(file_data="JVBERi0="),
        FileInput(filename="only a name"),
        FileInput(file_data="data:text/plain;base64,/////w=="),
    ],
)
def test_a_file_that_cannot_be_a_document_is_refused(file: FileInput) -> None:
    with pytest.raises(InvalidRequest) as caught:
        turns(message("user", [part("file", file=file)]))
    assert (caught.value.param or "").startswith("messages[0].content[0]")


def test_what_a_model_is_known_not_to_take_is_refused() -> None:
    blind = msgspec.structs.replace(
        UNKNOWN, capabilities=msgspec.structs.replace(UNKNOWN.capabilities, vision=False, pdf=False, tools=False)
    )
    pdf = FileInput(file_data="data:application/pdf;base64,JVBERi0=")
    for request in (
        user(part("image_url", image_url=ImageUrl(url="https://x/y.png"))),
        user(part("file", file=pdf)),
        user("q", tools=[tool()]),
    ):
        with pytest.raises(UnsupportedFeature):
            encoded(request, blind)


@pytest.mark.parametrize(
    "content",
    [
        part("input_audio", input_audio=AudioInput(data="AAAA", format="wav")),
        part("video_url"),
        part("server_tool_use"),
    ],
)
def test_content_that_has_no_place_is_refused_with_its_path(content: Any) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        turns(message("user", [part("text", text="see"), content]))
    assert caught.value.param == "messages[0].content[1]"


# -- the whole ----------------------------------------------------------------------------------------------------------


def test_the_same_request_has_the_same_bytes() -> None:
    def once() -> bytes:
        return encoded(
            ChatRequest(
                messages=[message("system", "s"), message("user", "q", name="n")],
                tools=[tool("a/b", parameters={"type": "object", "properties": {"x": {}, "a": {}}}), tool("c")],
                stop=["END"],
                user="u-1",
            )
        ).bytes

    assert once() == once()


def test_a_request_is_not_changed_by_encoding_it() -> None:
    request = ChatRequest(
        messages=[
            message("user", "q"),
            message("assistant", "a ", tool_calls=[call("x/1", "a/b")]),
            message("tool", [part("text", text="r", cache_control={"type": "ephemeral"})], tool_call_id="x/1"),
        ],
        tools=[tool("a/b", parameters={"properties": {}}, strict=True)],
        reasoning_effort="high",
        extra={"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}},
    )
    before = msgspec.json.encode(request)
    encoded(request, ADAPTIVE)
    encoded(request, BUDGETED)
    assert msgspec.json.encode(request) == before


def test_nothing_is_sent_as_null() -> None:
    assert b"null" not in encoded(user("q", tools=[tool("f", description="", parameters=None)])).bytes


def test_half_a_surrogate_pair_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest):
        encoded(user("\ud800"))


def test_counting_sends_only_what_counts() -> None:
    request = ChatRequest(
        messages=[message("system", "s"), message("user", "q")],
        tools=[tool()],
        tool_choice="auto",
        temperature=0.5,
        stop=["x"],
        max_tokens=10,
        user="u",
        reasoning_effort="low",
    )
    options = EncodeOptions(model=BUDGETED, send_model="claude-haiku-4-5")
    body = msgspec.json.decode(anthropic_messages.encode_count(request, options).body)
    assert set(body) == {"model", "system", "messages", "tools", "tool_choice", "thinking"}
