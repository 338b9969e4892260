"""What is sent to Ollama's native API."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    Message,
    Tool,
    ToolCall,
)
from caxton_llm.wire.openai_chat import client as openai_chat_client
from ollama_calls import HELLO, WEATHER, encoded, info, refusal, sent, sent_messages

RESULT = Message(role="tool", tool_call_id="c", content="42")

# -- the whole request --------------------------------------------------------------------------------------------------


def test_a_full_request_has_the_shape_of_the_native_api() -> None:
    request = ChatRequest(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Weather?"),
            Message(
                role="assistant",
                content="",
                reasoning_content="Hm.",
                tool_calls=[ToolCall(id="call_1", function=FunctionCall("get_weather", '{"city": "Paris"}'))],
            ),
            Message(role="tool", tool_call_id="call_1", content="42"),
        ],
        tools=[WEATHER],
        tool_choice="auto",
        temperature=0,
        top_p=0.0,
        max_tokens=9,
        max_completion_tokens=512,
        seed=1,
        stop="\n\n",
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logprobs=True,
        top_logprobs=2,
        stream=True,
    )
    assert sent(request, stream=True) == {
        "model": "llama3.1:8b",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "thinking": "Hm.",
                "tool_calls": [{"id": "call_1", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}],
            },
            {"role": "tool", "content": "42", "tool_name": "get_weather", "tool_call_id": "call_1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
            }
        ],
        "logprobs": True,
        "top_logprobs": 2,
        "options": {
            "temperature": 0,
            "top_p": 0.0,
            "num_predict": 512,
            "seed": 1,
            "stop": ["\n\n"],
            "frequency_penalty": 0.5,
            "presence_penalty": -0.5,
            "num_ctx": 8192,
        },
    }


def test_stream_is_always_said_because_its_default_is_true() -> None:
    assert sent(ChatRequest(messages=HELLO))["stream"] is False
    assert sent(ChatRequest(messages=HELLO), stream=True)["stream"] is True


def test_the_same_request_gives_the_same_bytes() -> None:
    request = ChatRequest(messages=HELLO, tools=[WEATHER], temperature=0.1, seed=2)
    assert encoded(request).body == encoded(request).body


def test_thinking_that_anthropic_signed_is_stripped_and_reported() -> None:
    signed = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    own = [{"type": "thinking", "thinking": "Hm.", "signature": ""}]
    turns = [Message(role="assistant", content="a", reasoning_content="Hm.", thinking_blocks=b) for b in (signed, own)]
    request = ChatRequest(messages=[HELLO[0], turns[0], turns[1], HELLO[0]])
    messages = sent(request, strict=True)["messages"]
    assert messages[1:3] == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "a", "thinking": "Hm."},
    ]
    assert list(encoded(request).report.dropped) == ["messages[1].thinking_blocks"]


# -- messages -----------------------------------------------------------------------------------------------------------


def test_content_is_always_a_string() -> None:
    parts = [ContentPart(type="text", text="one"), ContentPart(type="text", text="two")]
    assert sent_messages(
        Message(role="developer", content="Rules"), Message(role="user", content=parts), Message(role="assistant")
    ) == [
        {"role": "system", "content": "Rules"},
        {"role": "user", "content": "one\ntwo"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize("url", ["data:image/png;base64,iVBORw0K", "data:image/png;charset=utf-8;base64,iVBORw0K"])
def test_images_travel_as_bare_base64(url: str) -> None:
    parts = [ContentPart(type="image_url", image_url=ImageUrl(url, "high")), ContentPart(type="text", text="What?")]
    assert sent_messages(Message(role="user", content=parts)) == [
        {"role": "user", "content": "What?", "images": ["iVBORw0K"]}
    ]


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:text/plain;base64,aGk="])
def test_an_image_that_was_not_fetched_or_is_none_is_refused(url: str) -> None:
    parts = [ContentPart(type="text", text="What?"), ContentPart(type="image_url", image_url=ImageUrl(url))]
    error = refusal(ChatRequest(messages=[*HELLO, Message(role="user", content=parts)]))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "messages[1].content[1].image_url.url"


def test_an_image_for_a_model_without_eyes_is_refused() -> None:
    parts = [ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,iVBORw0K"))]
    error = refusal(ChatRequest(messages=[Message(role="user", content=parts)]), info=info(vision=False))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "messages[0].content[0]"


@pytest.mark.parametrize("kind", ["input_audio", "file", "video_url"])
def test_content_that_ollama_lacks_is_refused_with_its_place(kind: str) -> None:
    error = refusal(ChatRequest(messages=[Message(role="user", content=[ContentPart(type=kind)])]))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "messages[0].content[0].type"
    assert kind in error.message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ('{"a": 12345678901234567890123}', None),
        ("not json", {"_raw": "not json"}),
        ("[1]", {"_raw": "[1]"}),
        ('{"a":', {"_raw": '{"a":'}),
        ("[" * 100_000, {"_raw": "[" * 100_000}),
    ],
)
def test_arguments_become_an_object_and_are_never_invented(arguments: str, expected: Any) -> None:
    call = ToolCall(id="c", function=FunctionCall("f", arguments))
    request = ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[call]), RESULT])
    if expected is None:  # verbatim, with all its digits
        assert f'"arguments":{arguments}'.encode() in encoded(request).body
    else:
        assert sent(request)["messages"][1]["tool_calls"][0]["function"]["arguments"] == expected


def test_parallel_results_find_the_name_of_their_own_call() -> None:
    calls = [ToolCall(id=f"c{name}", function=FunctionCall(name, "{}")) for name in ("a", "b")]
    messages = sent_messages(
        *HELLO,
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", tool_call_id="cb", content="B"),
        Message(role="tool", tool_call_id="ca", content=[ContentPart(type="text", text="A")]),
    )
    assert [(message["tool_name"], message["content"]) for message in messages[2:]] == [("b", "B"), ("a", "A")]


@pytest.mark.parametrize("call_id", [None, "other"])
def test_a_result_without_its_call_is_refused(call_id: str | None) -> None:
    error = refusal(ChatRequest(messages=[*HELLO, Message(role="tool", tool_call_id=call_id, content="42")]))
    assert type(error) is InvalidRequest
    assert error.param == "messages[1].tool_call_id"


def test_an_empty_conversation_is_refused_because_ollama_would_only_load_the_model() -> None:
    error = refusal(ChatRequest(messages=[]))
    assert type(error) is InvalidRequest
    assert error.param == "messages"


def test_the_deprecated_functions_are_tools() -> None:
    request = ChatRequest(
        messages=[
            *HELLO,
            Message(role="assistant", function_call=FunctionCall("f", '{"a":1}')),
            Message(role="function", name="f", content="42"),
        ],
        functions=[FunctionDefinition(name="f")],
        function_call="auto",
    )
    body = sent(request)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f"]
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert body["messages"][2]["tool_name"] == "f"


def test_a_strict_entry_takes_functions_and_only_reports_that_there_may_be_more_than_one_call() -> None:
    functions = [FunctionDefinition(name="f")]
    encoded_request = encoded(ChatRequest(messages=HELLO, functions=functions), strict=True)
    assert set(encoded_request.report.dropped) == {"parallel_tool_calls"}
    body = b'{"messages":[{"role":"user","content":"q"}],"functions":[{"name":"f"}]'
    from_client = openai_chat_client.decode_request(body + b"}", {})
    assert set(encoded(from_client, strict=True).report.dropped) == {"parallel_tool_calls"}
    with pytest.raises(UnsupportedFeature):
        encoded(openai_chat_client.decode_request(body + b',"parallel_tool_calls":false}', {}), strict=True)


def test_names_of_speakers_are_left_out_and_reported_even_when_strict() -> None:
    request = ChatRequest(messages=[Message(role="user", name="ann", content="Hi")])
    answer = encoded(request, strict=True)
    assert "messages[0].name" in answer.report.dropped
    assert b"ann" not in answer.body


# -- tools --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_no_key(tools: list[Tool] | None) -> None:
    assert "tools" not in sent(ChatRequest(messages=HELLO, tools=tools))


def test_a_tool_without_parameters_gets_an_empty_schema() -> None:
    tool = Tool(type="function", function=FunctionDefinition(name="now", description=""))
    assert sent(ChatRequest(messages=HELLO, tools=[tool]))["tools"][0]["function"] == {
        "name": "now",
        "parameters": {"type": "object", "properties": {}},
    }


def test_tool_choice_none_leaves_the_tools_out_and_says_so() -> None:
    answer = encoded(ChatRequest(messages=HELLO, tools=[WEATHER], tool_choice="none"))
    assert "tools" not in msgspec.json.decode(answer.body)
    assert answer.report.mapped["tool_choice"] == "tools left out"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_is_refused(choice: Any) -> None:
    error = refusal(ChatRequest(messages=HELLO, tools=[WEATHER], tool_choice=choice))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "tool_choice"


def test_tools_of_other_types_and_for_models_without_tools_are_refused() -> None:
    search = Tool(type="web_search")
    assert refusal(ChatRequest(messages=HELLO, tools=[WEATHER, search])).param == "tools[1].type"
    assert refusal(ChatRequest(messages=HELLO, tools=[WEATHER]), info=info(tools=False)).param == "tools"


def test_a_custom_tool_call_in_the_history_is_refused() -> None:
    call = ToolCall(id="c", type="custom", custom={"name": "x", "input": "y"})
    error = refusal(ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[call]), RESULT]))
    assert error.param == "messages[1].tool_calls[0]"


def test_a_call_without_its_result_is_refused() -> None:
    call = ToolCall(id="c", function=FunctionCall("f", "{}"))
    error = refusal(ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[call]), *HELLO]))
    assert error.param == "messages[1].tool_calls[0].id"


def test_the_detail_of_an_image_is_dropped_and_reported() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,iVBORw0K", detail="high"))
    answer = encoded(ChatRequest(messages=[Message(role="user", content=[image])]))
    assert list(answer.report.dropped) == ["messages[0].content[0].image_url.detail"]


def test_what_the_assistant_spoke_is_refused_unless_its_text_is_there() -> None:
    spoken = Message(role="assistant", audio={"id": "audio_1"})
    assert refusal(ChatRequest(messages=[*HELLO, spoken, *HELLO])).param == "messages[1].audio"
    written = Message(role="assistant", content="Hi.", audio={"id": "audio_1"})
    assert list(encoded(ChatRequest(messages=[*HELLO, written, *HELLO])).report.dropped) == ["messages[1].audio"]
