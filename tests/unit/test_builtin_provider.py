"""The `builtin` provider: answers from the request, tools, limits, and streams that say the same."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builtin_calls import Streamed, answer, provider, refusal, streamed, user
from caxton_llm.errors import (
    ContextWindowExceeded,
    InvalidRequest,
    UnsupportedFeature,
)
from caxton_llm.protocols import LlmProvider
from caxton_llm.providers.settings import BuiltinStep
from caxton_llm.types import (
    AudioInput,
    ChatRequest,
    ChatResponse,
    ContentPart,
    FileInput,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "note": {"type": "string"},
    },
    "required": ["city", "days", "unit"],
}
WEATHER = Tool(type="function", function=FunctionDefinition(name="get_weather", parameters=WEATHER_SCHEMA))
NEWS = Tool(type="function", function=FunctionDefinition(name="search-news"))
QUESTION = "What is the weather in Paris for 3 days in fahrenheit?"


# -- what it says -------------------------------------------------------------------------------------------------------


async def test_it_is_a_provider_that_knows_itself() -> None:
    subject: LlmProvider = provider(name="demo", model="tiny")
    assert isinstance(subject, LlmProvider)
    info = await subject.get_model_info()
    assert (info.id, info.provider, info.context_window) == ("tiny", "builtin", 131_072)
    assert info.capabilities.tools
    assert info.price is not None
    assert (info.price.input, info.price.output) == (0.0, 0.0)
    assert info.sources["context_window"] == "provider"
    assert subject.supports_function_calling()
    assert subject.supports_streaming()
    assert "demo" in repr(subject)


async def test_it_echoes_the_last_user_message_and_counts_what_it_received() -> None:
    request = ChatRequest(
        messages=[Message(role="system", content="classified"), user("first"), user("Hello there")],
        tools=[NEWS],
        temperature=0.5,
        max_tokens=100,
        max_completion_tokens=200,
    )
    response = await answer(request, model="tiny", name="demo")
    assert response.text == (
        "You said: Hello there\n\nThe builtin provider received 3 messages, 1 tool (search-news) and 2 parameters "
        "(temperature, max_completion_tokens)."
    )
    assert "classified" not in response.text
    assert response.choices[0].finish_reason == "stop"
    assert (response.model, response.provider, response.created) == ("tiny", "demo", 1_790_000_000)
    assert response.usage is not None
    assert response.usage.prompt_tokens == 3 * 4 + 4 + 2
    assert response.usage.completion_tokens == len(response.text.split(" "))
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens
    assert not response.usage.estimated
    assert list(response.params.dropped) == ["temperature"]


async def test_the_same_request_gives_the_same_answer_and_another_gives_another_id() -> None:
    request = ChatRequest(messages=[user("Hello")])
    first, second = await answer(request), await answer(request)
    assert first == second
    assert (await answer(ChatRequest(messages=[user("Hello!")]))).id != first.id


async def test_it_names_what_it_was_sent_besides_text() -> None:
    parts = [
        ContentPart(type="text", text="Look"),
        ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,iVBORw0K")),
        ContentPart(type="image_url", image_url=ImageUrl("https://example.com/private.jpg")),
        ContentPart(type="input_audio", input_audio=AudioInput("AAAA", "wav")),
        ContentPart(type="file", file=FileInput(file_data="data:application/pdf;base64,AAAA")),
    ]
    text = (await answer(ChatRequest(messages=[Message(role="user", content=parts)]))).text
    assert "an image (image/png), an image (by URL), audio (wav) and a file (application/pdf)." in text
    assert "private" not in text
    assert "iVBOR" not in text


async def test_a_requested_model_name_is_kept() -> None:
    assert (await answer(ChatRequest(model="other", messages=[user("Hi")]))).model == "other"
    assert (await answer(ChatRequest(messages=[user("Hi")]))).model == "builtin"


# -- tools --------------------------------------------------------------------------------------------------------------


async def test_it_calls_the_tool_that_the_words_name_with_arguments_out_of_the_text() -> None:
    response = await answer(ChatRequest(messages=[user(QUESTION)], tools=[NEWS, WEATHER]))
    assert response.choices[0].finish_reason == "tool_calls"
    assert response.choices[0].message.content is None
    (call,) = response.tool_calls
    assert call.function is not None
    assert call.function.name == "get_weather"
    assert msgspec.json.decode(call.function.arguments) == {"city": "Paris", "days": 3, "unit": "fahrenheit"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Use get_weather, please", ["get_weather"]),
        ("The WEATHER and the news?", ["get_weather", "search-news"]),
        ("Get set", []),
        ("Hello", []),
    ],
)
async def test_only_telling_words_name_a_tool(text: str, names: list[str]) -> None:
    response = await answer(ChatRequest(messages=[user(text)], tools=[WEATHER, NEWS]))
    assert [call.function.name for call in response.tool_calls if call.function] == names
    assert len({call.id for call in response.tool_calls}) == len(names)


async def test_one_call_at_a_time_when_parallel_calls_are_forbidden() -> None:
    request = ChatRequest(
        messages=[user("The weather and the news?")], tools=[WEATHER, NEWS], parallel_tool_calls=False
    )
    assert len((await answer(request)).tool_calls) == 1


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("required", "get_weather"),
        ({"type": "function", "function": {"name": "search-news"}}, "search-news"),
        ("none", None),
        ("auto", None),
    ],
)
async def test_a_tool_choice_is_obeyed(choice: Any, name: str | None) -> None:
    response = await answer(ChatRequest(messages=[user("Hello")], tools=[WEATHER, NEWS], tool_choice=choice))
    assert [call.function.name for call in response.tool_calls if call.function] == ([name] if name else [])


@pytest.mark.parametrize(
    ("choice", "tools"), [("required", None), ({"type": "function", "function": {"name": "other"}}, [WEATHER])]
)
async def test_a_choice_of_a_tool_that_is_not_there_is_refused(choice: Any, tools: list[Tool] | None) -> None:
    error = await refusal(ChatRequest(messages=[user("Hi")], tools=tools, tool_choice=choice))
    assert type(error) is InvalidRequest
    assert error.param == "tool_choice"


async def test_it_answers_with_the_results_of_its_calls() -> None:
    first = await answer(ChatRequest(messages=[user("The weather and the news?")], tools=[WEATHER, NEWS]))
    messages = [
        user("The weather and the news?"),
        first.choices[0].message,
        *(
            Message(role="tool", tool_call_id=call.id, content=f"result {number}")
            for number, call in enumerate(first.tool_calls)
        ),
    ]
    response = await answer(ChatRequest(messages=messages, tools=[WEATHER, NEWS]))
    assert response.text == "get_weather answered: result 0\nsearch-news answered: result 1"
    assert response.choices[0].finish_reason == "stop"
    again = await answer(ChatRequest(messages=[*messages, user("And the weather now?")], tools=[WEATHER]))
    assert again.tool_calls[0].id != first.tool_calls[0].id


async def test_the_deprecated_functions_are_called_too() -> None:
    request = ChatRequest(messages=[user("the weather")], functions=[FunctionDefinition(name="get_weather")])
    assert (await answer(request)).tool_calls[0].function == FunctionCall("get_weather", "{}")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([user("Hi"), Message(role="tool", tool_call_id="x", content="42")], "messages[1].tool_call_id"),
        (
            [Message(role="assistant", tool_calls=[ToolCall(id="c", function=FunctionCall("f"))])],
            "messages[0].tool_calls[0].id",
        ),
    ],
)
async def test_a_conversation_out_of_order_is_refused(messages: list[Message], param: str) -> None:
    error = await refusal(ChatRequest(messages=messages))
    assert isinstance(error, InvalidRequest)
    assert error.param == param
    assert error.provider == "builtin"


# -- formats, limits, parameters ----------------------------------------------------------------------------------------


async def test_answers_in_a_format() -> None:
    schema = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=WEATHER_SCHEMA))
    response = await answer(ChatRequest(messages=[user(QUESTION)], response_format=schema))
    assert msgspec.json.decode(response.text) == {"city": "Paris", "days": 3, "unit": "fahrenheit"}
    response = await answer(ChatRequest(messages=[user("Hi")], response_format=ResponseFormat(type="json_object")))
    assert msgspec.json.decode(response.text) == {"you_said": "Hi", "messages": 1}
    error = await refusal(ChatRequest(messages=[user("Hi")], response_format=ResponseFormat(type="json_schema")))
    assert error.param == "response_format.json_schema.schema"


async def test_the_limit_of_the_output_cuts_the_answer() -> None:
    response = await answer(ChatRequest(messages=[user("one two three four")], max_tokens=4))
    assert response.text == "You said: one two"
    assert response.choices[0].finish_reason == "length"
    assert response.usage is not None
    assert response.usage.completion_tokens == 4
    assert (await answer(ChatRequest(messages=[user("Hi")]), max_tokens=1)).text == "You"


async def test_a_stop_string_ends_the_answer_and_is_told() -> None:
    response = await answer(ChatRequest(messages=[user("one two three")], stop=["three", "two", ""]))
    assert response.text == "You said: one "
    assert response.choices[0].finish_reason == "stop"
    assert response.choices[0].stop_sequence == "two"


async def test_several_answers_are_given_and_counted() -> None:
    response = await answer(ChatRequest(messages=[user("the weather")], tools=[WEATHER], n=2))
    assert [choice.index for choice in response.choices] == [0, 1]
    ids = [call.id for choice in response.choices for call in choice.message.tool_calls or ()]
    assert len(set(ids)) == 2
    once = await answer(ChatRequest(messages=[user("the weather")], tools=[WEATHER]))
    assert response.usage is not None
    assert once.usage is not None
    assert response.usage.completion_tokens == 2 * (once.usage.completion_tokens or 0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_completion_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [Tool(type="web_search")]}, "tools[0].type"),
    ],
)
async def test_what_it_cannot_do_is_refused(fields: dict[str, Any], param: str) -> None:
    error = await refusal(ChatRequest(messages=[user("Hi")], **fields))
    assert isinstance(error, InvalidRequest)
    assert error.param == param


async def test_parameters_without_effect_are_reported_or_refused_when_strict() -> None:
    request = ChatRequest(messages=[user("Hi")], seed=1, extra={"top_k": 2, "thinking": {"type": "disabled"}})
    assert list((await answer(request)).params.dropped) == ["seed", "top_k"]
    assert type(await refusal(request, parameters="strict")) is UnsupportedFeature


async def test_it_reasons_when_it_is_asked_to() -> None:
    plain = ChatRequest(messages=[user("Hi")])
    assert (await answer(plain)).choices[0].message.reasoning_content is None
    for request in (
        ChatRequest(messages=[user("Hi")], reasoning_effort="low"),
        ChatRequest(messages=[user("Hi")], extra={"thinking": {"type": "enabled"}}),
    ):
        response = await answer(request)
        reasoning = response.choices[0].message.reasoning_content
        assert reasoning
        assert response.usage is not None
        assert response.usage.reasoning_tokens == len(reasoning.split(" "))
    assert (await answer(plain, reasoning_effort="high")).choices[0].message.reasoning_content
    quiet = ChatRequest(messages=[user("Hi")], reasoning_effort="none")
    assert (await answer(quiet, reasoning_effort="high")).choices[0].message.reasoning_content is None


async def test_a_prompt_beyond_the_window_does_not_fit() -> None:
    error = await refusal(ChatRequest(messages=[user("one two three four five")]), context_window=8)
    assert type(error) is ContextWindowExceeded
    assert "9 tokens" in error.message


# -- streams ------------------------------------------------------------------------------------------------------------


async def test_a_stream_comes_word_by_word_and_ends_with_the_usage() -> None:
    stream = await streamed(provider(), ChatRequest(messages=[user("Hello there")], max_tokens=4))
    deltas = [choice.delta for chunk in stream.chunks for choice in chunk.choices]
    assert [delta.content for delta in deltas] == ["You", " said:", " Hello", " there\n\nThe", None]
    assert [delta.role for delta in deltas] == ["assistant", None, None, None, None]
    assert stream.chunks[-1].choices == []
    assert stream.usage is not None
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in stream.chunks}) == 1


words = st.text(st.characters(codec="utf-8", categories=["L", "Zs", "P", "N"]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        ChatRequest,
        messages=st.lists(words.map(user), min_size=1, max_size=3),
        tools=st.none() | st.just([WEATHER, NEWS]),
        tool_choice=st.sampled_from([None, "auto", "none"]),
        n=st.none() | st.integers(1, 3),
        max_tokens=st.none() | st.integers(1, 12),
        stop=st.none() | st.text(min_size=1, max_size=2),
        reasoning_effort=st.sampled_from([None, "low"]),
        response_format=st.none() | st.just(ResponseFormat(type="json_object")),
    ),
    st.none() | st.integers(1, 9),
)
def test_a_stream_says_what_the_whole_answer_says(request: ChatRequest, chunks: int | None) -> None:
    async def both() -> tuple[ChatResponse, Streamed]:
        step = BuiltinStep(chunks=chunks)
        return await answer(request, step), await streamed(provider(step), request)

    whole, stream = asyncio.run(both())
    assert stream.error is None
    for choice in whole.choices:
        message = choice.message
        calls = [
            [call.id, call.function.name, call.function.arguments] for call in message.tool_calls or () if call.function
        ]
        assert stream.texts[choice.index] == (message.content or "")
        assert stream.reasoning[choice.index] == (message.reasoning_content or "")
        assert stream.calls[choice.index] == calls
        assert stream.reasons[choice.index] == choice.finish_reason
    assert stream.usage == whole.usage
    assert stream.chunks[0].id == whole.id


async def test_nothing_happens_before_the_first_iteration() -> None:
    subject = provider(BuiltinStep(text="one"), BuiltinStep(text="two"))
    stream = subject.stream_chat(ChatRequest(messages=[user("Hi")]))
    assert (await subject.complete_chat(ChatRequest(messages=[user("Hi")]))).text == "one"
    assert (await anext(stream)).choices[0].delta.content == "two"


async def test_a_stream_can_be_left() -> None:
    stream = provider().stream_chat(ChatRequest(messages=[user("Hello")]))
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
