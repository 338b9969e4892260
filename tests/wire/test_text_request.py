"""What is sent to a text API of one's own."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import ConfigurationError, InvalidRequest, LlmError, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Defaults, EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    RequestSource,
    ResponseFormat,
    Tool,
    ToolCall,
)
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.paths import ABSENT, build, missing, read
from caxton_llm.wire.text.stream import TextStreamShape

HELLO = [Message(role="user", content="Hello")]
CONVERSATION = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Capital of France?"),
    Message(role="assistant", content="Paris."),
    Message(role="developer", content="Be polite."),
    Message(role="user", content=[ContentPart(type="text", text="And"), ContentPart(type="text", text="of Italy?")]),
]
TOOL = Tool(type="function", function=FunctionDefinition(name="f"))


def encoded(
    request: ChatRequest,
    api: TextApi | None = None,
    *,
    stream: bool = False,
    defaults: Defaults | None = None,
    quirks: Quirks | None = None,
    strict: bool = False,
) -> EncodedChat:
    options = EncodeOptions(
        model=ModelInfo(id="m", provider="custom"),
        send_model="custom-model-v1",
        defaults=defaults or Defaults(),
        quirks=quirks or Quirks(),
        strict=strict,
    )
    return TextDialect(api or TextApi()).encode_chat(request, options, stream=stream)


def sent(request: ChatRequest, api: TextApi | None = None, **how: Any) -> Any:
    return msgspec.json.decode(encoded(request, api, **how).body)


def refusal(request: ChatRequest, api: TextApi | None = None, **how: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        encoded(request, api, **how)
    return caught.value


# -- the body -----------------------------------------------------------------------------------------------------------


def test_values_are_set_at_their_dotted_paths() -> None:
    api = TextApi(
        model="meta.model_name",
        prompt="inputs.0.text",
        max_tokens="parameters.max_len",
        temperature="parameters.temp",
        stop="parameters.until",
        stream_flag="parameters.stream",
        stream=TextStreamShape(text="t"),
    )
    request = ChatRequest(messages=HELLO, max_completion_tokens=9, temperature=0, stop="END")
    assert sent(request, api, stream=True) == {
        "inputs": [{"text": "Hello"}],
        "parameters": {"max_len": 9, "temp": 0, "until": ["END"], "stream": True},
        "meta": {"model_name": "custom-model-v1"},
    }
    assert encoded(request, api).report.mapped == {
        "max_completion_tokens": "parameters.max_len",
        "temperature": "parameters.temp",
        "stop": "parameters.until",
    }


def test_the_stream_flag_is_said_only_where_the_api_streams() -> None:
    assert sent(ChatRequest(messages=HELLO), TextApi(stream_flag="stream")) == {
        "prompt": "Hello",
        "model": "custom-model-v1",
    }
    streaming = TextApi(stream_flag="stream", stream=TextStreamShape(text="t"))
    assert sent(ChatRequest(messages=HELLO), streaming)["stream"] is False
    silent = TextApi(stream=TextStreamShape(text="t"))
    assert "stream" not in sent(ChatRequest(messages=HELLO), silent, stream=True)


def test_values_are_never_joined_as_json_text() -> None:
    nasty = 'a"},"model":"evil\n\\'
    body = sent(ChatRequest(messages=[Message(role="user", content=nasty)]))
    assert body == {"prompt": nasty, "model": "custom-model-v1"}


def test_configured_values_are_sent_and_never_changed_by_a_request() -> None:
    shared: dict[str, Any] = {"parameters": {"top_k": 5, "list": [1]}, "mode": "fast"}
    defaults = Defaults(max_tokens=100, temperature=0.7, extra=shared)
    api = TextApi(max_tokens="parameters.max", temperature="parameters.list.0", model="")
    assert sent(ChatRequest(messages=HELLO, max_tokens=1), api, defaults=defaults) == {
        "parameters": {"top_k": 5, "list": [0.7], "max": 1},
        "mode": "fast",
        "prompt": "Hello",
    }
    assert shared == {"parameters": {"top_k": 5, "list": [1]}, "mode": "fast"}


def test_fields_outside_the_common_model_are_sent_unless_the_quirks_say_otherwise() -> None:
    request = ChatRequest(messages=HELLO, extra={"top_k": 3, "beams": msgspec.Raw(b"2")})
    assert sent(request) == {"top_k": 3, "beams": 2, "prompt": "Hello", "model": "custom-model-v1"}
    answer = encoded(request, quirks=Quirks(drop=("beams",)))
    assert msgspec.json.decode(answer.body) == {"top_k": 3, "prompt": "Hello", "model": "custom-model-v1"}
    assert list(answer.report.dropped) == ["beams"]
    assert list(encoded(request, quirks=Quirks(extra_parameters=False)).report.dropped) == ["top_k", "beams"]
    warm = ChatRequest(messages=HELLO, temperature=0.5, extra={"top_k": None})
    dropped = encoded(warm, TextApi(temperature="temperature"), quirks=Quirks(drop=("temperature",)))
    assert list(dropped.report.dropped) == ["temperature"]
    assert msgspec.json.decode(dropped.body) == {"prompt": "Hello", "model": "custom-model-v1"}


def test_fields_of_another_vendors_dialect_are_dropped_and_reported() -> None:
    request = ChatRequest(
        messages=HELLO, extra={"thinking": {"type": "enabled"}}, source=RequestSource("anthropic_messages", {})
    )
    assert list(encoded(request).report.dropped) == ["thinking"]
    openai = ChatRequest(messages=HELLO, extra={"top_k": 3}, source=RequestSource("openai_chat", {}))
    assert sent(openai)["top_k"] == 3


def test_a_caller_cannot_take_the_place_of_a_configured_field() -> None:
    error = refusal(ChatRequest(messages=HELLO, extra={"prompt": "evil"}))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "prompt"


@pytest.mark.parametrize(("model", "prompt"), [("a", "a.b"), ("a.b", "a.b.c"), ("a.0", "a.2"), ("a.0", "a.x")])
def test_paths_in_each_others_way_are_a_mistake_of_the_configuration(model: str, prompt: str) -> None:
    with pytest.raises(ConfigurationError, match="in the way"):
        TextDialect(TextApi(model=model, prompt=prompt))


# -- the prompt ---------------------------------------------------------------------------------------------------------


def test_a_transcript_names_the_speakers_and_ends_where_the_answer_belongs() -> None:
    assert sent(ChatRequest(messages=CONVERSATION))["prompt"] == (
        "System: Be brief.\n\nUser: Capital of France?\n\nAssistant: Paris.\n\nSystem: Be polite.\n\n"
        "User: And\nof Italy?\n\nAssistant:"
    )


def test_a_single_user_message_is_sent_as_it_is() -> None:
    assert sent(ChatRequest(messages=HELLO))["prompt"] == "Hello"


def test_system_text_goes_to_its_own_field_where_there_is_one() -> None:
    api = TextApi(system="instructions")
    body = sent(ChatRequest(messages=CONVERSATION[:2]), api)
    assert (body["instructions"], body["prompt"]) == ("Be brief.", "Capital of France?")
    assert sent(ChatRequest(messages=CONVERSATION), api)["instructions"] == "Be brief.\n\nBe polite."
    assert "instructions" not in sent(ChatRequest(messages=HELLO), api)


def test_the_last_user_message_alone_is_sent_and_the_rest_is_reported() -> None:
    answer = encoded(ChatRequest(messages=CONVERSATION), TextApi(prompt_style="last_user"), strict=True)
    assert msgspec.json.decode(answer.body)["prompt"] == "And\nof Italy?"
    assert "messages" in answer.report.dropped
    assert encoded(ChatRequest(messages=HELLO), TextApi(prompt_style="last_user")).report.dropped == {}
    error = refusal(ChatRequest(messages=CONVERSATION[:1]), TextApi(prompt_style="last_user"))
    assert type(error) is InvalidRequest


def test_messages_can_be_sent_as_a_list() -> None:
    assert sent(ChatRequest(messages=CONVERSATION[2:]), TextApi(prompt_style="messages"))["prompt"] == [
        {"role": "assistant", "content": "Paris."},
        {"role": "system", "content": "Be polite."},
        {"role": "user", "content": "And\nof Italy?"},
    ]


# -- what plain text cannot carry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (ChatRequest(messages=[]), "messages"),
        (ChatRequest(messages=HELLO, tools=[TOOL]), "tools"),
        (ChatRequest(messages=HELLO, functions=[FunctionDefinition(name="f")]), "functions"),
        (ChatRequest(messages=HELLO, n=2), "n"),
        (ChatRequest(messages=HELLO, logprobs=True), "logprobs"),
        (ChatRequest(messages=HELLO, response_format=ResponseFormat(type="json_object")), "response_format"),
        (
            ChatRequest(
                messages=HELLO, response_format=ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat())
            ),
            "response_format",
        ),
        (
            ChatRequest(messages=[*HELLO, Message(role="assistant", tool_calls=[ToolCall(id="c")])]),
            "messages[1].tool_calls",
        ),
        (
            ChatRequest(messages=[*HELLO, Message(role="assistant", function_call=FunctionCall("f"))]),
            "messages[1].tool_calls",
        ),
        (ChatRequest(messages=[*HELLO, Message(role="tool", tool_call_id="c", content="x")]), "messages[1].role"),
        (
            ChatRequest(
                messages=[
                    Message(
                        role="user",
                        content=[
                            ContentPart(type="text", text="a"),
                            ContentPart(type="image_url", image_url=ImageUrl("https://x/y.png")),
                        ],
                    )
                ]
            ),
            "messages[0].content[1].type",
        ),
    ],
)
def test_what_text_cannot_carry_is_refused_with_its_place(request_: ChatRequest, param: str) -> None:
    error = refusal(request_)
    assert isinstance(error, InvalidRequest)
    assert error.param == param


def test_a_stream_of_an_api_that_has_none_is_refused() -> None:
    error = refusal(ChatRequest(messages=HELLO), stream=True)
    assert isinstance(error, UnsupportedFeature)
    assert "stream_field" in error.message


def test_tools_that_must_not_be_called_are_left_out() -> None:
    answer = encoded(
        ChatRequest(messages=HELLO, tools=[TOOL], tool_choice="none", response_format=ResponseFormat(type="text"))
    )
    assert msgspec.json.decode(answer.body) == {"prompt": "Hello", "model": "custom-model-v1"}
    assert answer.report.mapped == {"tool_choice": "tools left out"}


def test_what_the_api_has_no_field_for_is_refused_where_the_answer_depends_on_it() -> None:
    assert refusal(ChatRequest(messages=HELLO, stop=["a"])).param == "stop"
    audio = ChatRequest(messages=HELLO, extra={"modalities": ["audio"]})
    assert refusal(audio, quirks=Quirks(extra_parameters=False)).param == "modalities"
    assert sent(audio, quirks=Quirks(drop=("modalities",))) == sent(ChatRequest(messages=HELLO))


def test_what_only_tunes_is_dropped_and_reported_or_refused_when_strict() -> None:
    request = ChatRequest(messages=HELLO, seed=1, top_p=0.5, user="ann", max_tokens=5, temperature=0.5, stop=[])
    api = TextApi()
    answer = encoded(request, api)
    assert set(answer.report.dropped) == {"seed", "top_p", "user", "max_tokens", "temperature"}
    assert "max_tokens_field" in answer.report.dropped["max_tokens"]
    assert msgspec.json.decode(answer.body) == {"prompt": "Hello", "model": "custom-model-v1"}
    assert isinstance(refusal(request, api, strict=True), UnsupportedFeature)


# -- paths --------------------------------------------------------------------------------------------------------------

keys = st.text(st.characters(exclude_characters=".", codec="utf-8"), min_size=1, max_size=4).filter(
    lambda key: not key.isdecimal()
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(keys, min_size=1, max_size=4), documents)
def test_what_is_built_at_a_path_is_read_there(segments: list[str], value: Any) -> None:
    path = ".".join(segments)
    assert read(build([(path, value)], {}), path) == value


@settings(max_examples=60, deadline=None)
@given(documents, st.lists(keys | st.just("0"), min_size=1, max_size=4))
def test_a_missing_path_is_described_and_never_raises(document: Any, segments: list[str]) -> None:
    path = ".".join(segments)
    if read(document, path) is ABSENT:
        assert repr(path) in missing(document, path)


def test_a_missing_path_names_the_keys_of_that_level_and_no_value() -> None:
    document = {"result": {"answer": "secret", "id": 7}, "status": "ok"}
    told = missing(document, "result.text")
    assert told == "there is nothing at 'result.text': at result there is an object with the keys answer, id"
    assert missing(document, "output") == (
        "there is nothing at 'output': at the top there is an object with the keys result, status"
    )
    assert missing({"a": ["x"]}, "a.1") == "there is nothing at 'a.1': at a there is a list of 1"
    assert missing({"a": "x"}, "a.b") == "there is nothing at 'a.b': at a there is a text"
    assert missing({}, "a").endswith("an empty object")
    assert missing(dict.fromkeys("abcdefghijklmnop"), "z").endswith("l, ...")


def test_reading_stops_where_there_is_nothing() -> None:
    assert read({"a": [{"b": None}]}, "a.0.b") is None
    assert read({"a": [{"b": 1}]}, "a.1.b") is ABSENT
    assert read({"0": "key"}, "0") == "key"
    assert read("text", "a") is ABSENT
    assert read(5, "") == 5
