"""What is sent to Ollama's native API."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import InvalidRequest, LlmError, UnsupportedFeature
from caxton_llm.protocols import Defaults, EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import (
    Capabilities,
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ModelInfo,
    ParameterRules,
    ResponseFormat,
    Tool,
    ToolCall,
)
from caxton_llm.wire import ollama_chat
from caxton_llm.wire.ollama_chat_encode import OllamaRestore

HELLO = [Message(role="user", content="Hello")]
WEATHER = Tool(
    type="function",
    function=FunctionDefinition(name="get_weather", parameters={"type": "object", "properties": {}}, strict=True),
)


def encoded(
    request: ChatRequest,
    *,
    stream: bool = False,
    info: ModelInfo | None = None,
    defaults: Defaults | None = None,
    quirks: Quirks | None = None,
    strict: bool = False,
) -> EncodedChat:
    options = EncodeOptions(
        model=info or ModelInfo(id="m", provider="ollama"),
        send_model="llama3.1:8b",
        quirks=quirks or Quirks(),
        defaults=defaults or Defaults(),
        strict=strict,
    )
    return ollama_chat.encode_chat(request, options, stream=stream)


def sent(request: ChatRequest, **how: Any) -> Any:
    return msgspec.json.decode(encoded(request, **how).body)


def sent_messages(*messages: Message, **how: Any) -> Any:
    return sent(ChatRequest(messages=list(messages)), **how)["messages"]


def refusal(request: ChatRequest, **how: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        encoded(request, **how)
    return caught.value


def info(**capabilities: bool) -> ModelInfo:
    return ModelInfo(id="m", provider="ollama", capabilities=Capabilities(**capabilities))


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
    request = ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[call])])
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
    error = refusal(ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[call])]))
    assert error.param == "messages[1].tool_calls[0]"


# -- parameters ---------------------------------------------------------------------------------------------------------


def test_parameters_are_mapped_and_the_report_says_into_what() -> None:
    report = encoded(ChatRequest(messages=HELLO, max_completion_tokens=5, stop=["a"], seed=0)).report
    assert report.mapped == {
        "seed": "options.seed",
        "max_completion_tokens": "options.num_predict",
        "stop": "options.stop",
    }
    assert report.dropped == {}


def test_parameters_that_only_tune_are_dropped_and_reported() -> None:
    request = ChatRequest(
        messages=HELLO,
        tools=[WEATHER],
        logit_bias={"1": 2.0},
        user="ann",
        metadata={},
        store=False,
        parallel_tool_calls=False,
        extra={"min_tokens": 3},
    )
    answer = encoded(request)
    assert set(answer.report.dropped) == {"logit_bias", "user", "metadata", "store", "parallel_tool_calls", "min_tokens"}
    assert not {"logit_bias", "user", "metadata", "store", "parallel_tool_calls", "min_tokens"} & set(
        msgspec.json.decode(answer.body)
    )


def test_strict_refuses_what_would_be_dropped() -> None:
    error = refusal(ChatRequest(messages=HELLO, user="ann"), strict=True)
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "user"


def test_more_than_one_answer_is_refused() -> None:
    assert refusal(ChatRequest(messages=HELLO, n=2)).param == "n"
    assert "n" not in sent(ChatRequest(messages=HELLO, n=1))


def test_what_the_server_or_the_model_does_not_accept_is_dropped() -> None:
    model = ModelInfo(id="m", provider="ollama", parameters=ParameterRules(refuses=["seed"]))
    request = ChatRequest(messages=HELLO, seed=1, temperature=0.5, extra={"top_k": 3})
    answer = encoded(request, info=model, quirks=Quirks(drop=("top_k", "temperature", "top_p")))
    assert set(answer.report.dropped) == {"seed", "temperature", "top_k"}
    assert msgspec.json.decode(answer.body)["options"] == {"num_ctx": 8192}


def test_ollamas_own_parameters_are_sent_where_they_belong() -> None:
    extra = {
        "top_k": 40,
        "min_p": msgspec.Raw(b"0.05"),
        "repetition_penalty": 1.1,
        "keep_alive": "5m",
        "options": {"num_thread": 4},
        "typical_p": None,
    }
    body = sent(ChatRequest(messages=HELLO, extra=extra))
    assert body["options"] == {
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
        "num_thread": 4,
        "num_ctx": 8192,
    }
    assert body["keep_alive"] == "5m"


def test_the_caller_wins_over_the_configuration() -> None:
    defaults = Defaults(
        max_tokens=100,
        temperature=0.7,
        top_p=0.5,
        extra={"num_ctx": 4096, "num_gpu": 0, "keep_alive": "1h", "options": {"top_k": 1}},
    )
    body = sent(ChatRequest(messages=HELLO, max_tokens=5, temperature=0.0, extra={"top_k": 2}), defaults=defaults)
    assert body["keep_alive"] == "1h"
    assert body["options"] == {
        "num_ctx": 4096,
        "num_gpu": 0,
        "num_predict": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 2,
    }


# -- formats and reasoning ----------------------------------------------------------------------------------------------


def test_output_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    as_schema = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=schema, strict=True))
    assert sent(ChatRequest(messages=HELLO, response_format=as_schema))["format"] == schema
    assert sent(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="json_object")))["format"] == "json"
    assert "format" not in sent(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="text")))


def test_formats_that_cannot_be_kept_are_refused() -> None:
    as_schema = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema={}))
    error = refusal(ChatRequest(messages=HELLO, response_format=as_schema), info=info(json_schema=False))
    assert isinstance(error, UnsupportedFeature)
    assert refusal(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="grammar"))).param
    missing = refusal(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="json_schema")))
    assert missing.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("effort", "efforts", "think"),
    [
        ("none", None, False),
        ("low", None, True),
        ("max", None, True),
        ("minimal", ["low", "medium", "high"], "low"),
        ("high", ["low", "medium", "high"], "high"),
        ("xhigh", ["low", "medium", "high"], "high"),
        ("max", ["low", "medium", "high"], True),
    ],
)
def test_efforts_become_levels_only_for_models_that_have_them(effort: str, efforts: list[str] | None, think: Any) -> None:
    model = ModelInfo(id="m", provider="ollama", parameters=ParameterRules(efforts=efforts))
    answer = encoded(ChatRequest(messages=HELLO, reasoning_effort=effort), info=model)
    assert msgspec.json.decode(answer.body)["think"] == think
    assert "reasoning_effort" in answer.report.mapped


def test_an_effort_for_a_model_that_does_not_reason_is_dropped() -> None:
    answer = encoded(ChatRequest(messages=HELLO, reasoning_effort="high"), info=info(reasoning=False))
    assert "think" not in msgspec.json.decode(answer.body)
    assert "reasoning_effort" in answer.report.dropped


def test_a_configured_effort_counts_when_the_caller_is_silent() -> None:
    quiet = Defaults(reasoning_effort="none")
    assert sent(ChatRequest(messages=HELLO), defaults=quiet)["think"] is False
    assert sent(ChatRequest(messages=HELLO, reasoning_effort="low"), defaults=quiet)["think"] is True
    assert "think" not in sent(ChatRequest(messages=HELLO), defaults=quiet, info=info(reasoning=False), strict=True)


def test_anthropics_thinking_switch_is_understood() -> None:
    assert sent(ChatRequest(messages=HELLO, extra={"thinking": {"type": "enabled", "budget_tokens": 9}}))["think"] is True
    assert sent(ChatRequest(messages=HELLO, extra={"thinking": {"type": "disabled"}}))["think"] is False


def test_an_unknown_effort_is_refused() -> None:
    assert refusal(ChatRequest(messages=HELLO, reasoning_effort="ultra")).param == "reasoning_effort"


# -- the context window -------------------------------------------------------------------------------------------------


def window(request: ChatRequest, **how: Any) -> Any:
    answer = encoded(request, **how)
    assert isinstance(answer.restore, OllamaRestore)
    size = msgspec.json.decode(answer.body)["options"]["num_ctx"]
    assert answer.restore.context_window == size
    return size


def text_of(tokens: int) -> list[Message]:
    return [Message(role="user", content="x" * 3 * tokens)]


def test_a_window_is_always_said_and_holds_prompt_and_answer() -> None:
    assert window(ChatRequest(messages=HELLO)) == 8192
    assert window(ChatRequest(messages=text_of(7000))) == 16_384
    assert window(ChatRequest(messages=text_of(6000), max_tokens=100)) == 8192
    assert window(ChatRequest(messages=text_of(6000), max_tokens=20_000)) == 32_768
    assert window(ChatRequest(messages=text_of(1_000_000))) == 262_144


def test_the_window_is_never_larger_than_the_models_own() -> None:
    small = ModelInfo(id="m", provider="ollama", context_window=4096)
    assert window(ChatRequest(messages=text_of(7000)), info=small) == 4096


def test_a_configured_window_is_sent_as_it_is() -> None:
    configured = Defaults(extra={"num_ctx": 2048})
    assert window(ChatRequest(messages=text_of(7000)), defaults=configured) == 2048
    assert window(ChatRequest(messages=HELLO, extra={"num_ctx": 3000}), defaults=configured) == 3000


def test_images_and_other_scripts_are_counted_generously() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,iVBORw0K"))
    assert window(ChatRequest(messages=[Message(role="user", content=[image] * 7)])) == 16_384
    assert window(ChatRequest(messages=[Message(role="user", content="語" * 7000)])) == 16_384
