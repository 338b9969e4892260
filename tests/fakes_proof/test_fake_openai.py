"""The `openai` package proves the fake OpenAI server."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from answer_fields import fields_of
from fakes import TINY_PNG, FakeOpenAI, ToolCall, Usage
from recorded import interactions

WEATHER: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
TIME: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
async def client(fake_openai: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=fake_openai.base_url, api_key=fake_openai.api_key, max_retries=0, timeout=10
    ) as opened:
        yield opened


def user(text: str) -> openai.types.chat.ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


async def test_a_plain_answer_repeats_what_was_said(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    answer = await client.chat.completions.create(model="gpt-4o", messages=[user("good morning")])
    assert answer.choices[0].message.content == "You said: good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 4, 6)
    request = fake_openai.last_request
    assert request.headers["authorization"] == f"Bearer {fake_openai.api_key}"
    assert request.json["model"] == "gpt-4o"
    assert request.outcome == "answered"


async def test_a_stream_comes_in_words_and_ends_with_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=[user("good morning")], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert [c.choices[0].delta.content for c in chunks if c.choices] == ["", "You", " said:", " good", " morning", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 6
    assert len({chunk.id for chunk in chunks}) == 1


async def test_parallel_tool_calls_are_called_by_name_and_answered(client: openai.AsyncOpenAI) -> None:
    ask = user('use get_weather {"city": "Oslo", "days": 2} and use get_time')
    answer = await client.chat.completions.create(model="gpt-4o", messages=[ask], tools=[WEATHER, TIME])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    calls = [call for call in message.tool_calls if call.type == "function"]
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("get_weather", '{"city":"Oslo","days":2}'),
        ("get_time", "{}"),
    ]
    assert calls[0].id != calls[1].id
    final = await client.chat.completions.create(
        model="gpt-4o",
        tools=[WEATHER, TIME],
        messages=[
            ask,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in calls
                ],
            },
            {"role": "tool", "tool_call_id": calls[1].id, "content": "noon"},
            {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
        ],
    )
    assert final.choices[0].message.content == "The tools say: noon; rain"


def collect_calls(chunks: list[ChatCompletionChunk]) -> dict[int, tuple[str, str]]:
    calls: dict[int, tuple[str, str]] = {}
    for chunk in chunks:
        for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            assert delta.function is not None
            name, arguments = calls.get(delta.index, ("", ""))
            calls[delta.index] = (name + (delta.function.name or ""), arguments + (delta.function.arguments or ""))
    return calls


async def test_parallel_tool_calls_are_streamed_in_fragments(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=[user("use get_weather and use get_time")], tools=[WEATHER, TIME], stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert collect_calls(chunks) == {0: ("get_weather", '{"city":"city","days":7}'), 1: ("get_time", "{}")}
    assert len(chunks) > 5
    assert chunks[0].choices[0].delta.tool_calls is None
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_head_of_a_single_streamed_call_comes_with_the_role(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=[user("hello")], tools=[WEATHER, TIME], tool_choice="required", stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.tool_calls is not None
    assert collect_calls(chunks) == {0: ("get_weather", '{"city":"city","days":7}')}


async def test_images_are_described_by_type_and_size(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="gpt-4o",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TINY_PNG}", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            }
        ],
    )
    text = "You said: look I see: image/png of 70 bytes, image at https://example.org/a.png."
    assert answer.choices[0].message.content == text


async def test_a_json_schema_is_obeyed(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
        "required": ["city", "tags"],
        "additionalProperties": False,
    }
    answer = await client.chat.completions.create(
        model="gpt-4o",
        messages=[user("where?")],
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}},
    )
    assert answer.choices[0].message.content == '{"city": "city", "tags": ["a"]}'


async def test_a_scripted_answer_has_its_refusal_usage_model_and_finish(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply(refusal="I cannot help with that.", model="gpt-4o-2024-11-20", usage=Usage(50, 9, cached=40))
    fake_openai.reply("cut off", finish="length")
    refused = await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    assert refused.choices[0].message.refusal == "I cannot help with that."
    assert refused.choices[0].message.content is None
    assert refused.choices[0].finish_reason == "stop"
    assert refused.model == "gpt-4o-2024-11-20"
    assert refused.usage is not None
    assert refused.usage.prompt_tokens_details is not None
    assert (refused.usage.prompt_tokens, refused.usage.prompt_tokens_details.cached_tokens) == (50, 40)
    cut = await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("cut off", "length")


async def test_scripted_arguments_may_be_invalid_json(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply("wait", tools=[ToolCall("get_time", '{"zone": ', "call_x")], chunks=2)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], tools=[TIME], stream=True)
    chunks = [chunk async for chunk in stream]
    assert [c.choices[0].delta.content for c in chunks][:3] == ["", "wa", "it"]
    assert collect_calls(chunks) == {0: ("get_time", '{"zone": ')}


async def test_a_reasoning_model_counts_its_reasoning_and_hides_it(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="gpt-5-mini", messages=[user("hello")], reasoning_effort="low", max_completion_tokens=100
    )
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.completion_tokens, answer.usage.completion_tokens_details.reasoning_tokens) == (6, 3)


@pytest.mark.parametrize(
    ("name", "error_class", "code"),
    [
        ("invalid_request", openai.BadRequestError, "invalid_value"),
        ("authentication", openai.AuthenticationError, "invalid_api_key"),
        ("permission", openai.PermissionDeniedError, "unsupported_country_region_territory"),
        ("model_not_found", openai.NotFoundError, "model_not_found"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota_exhausted", openai.RateLimitError, "insufficient_quota"),
        ("context_window_exceeded", openai.BadRequestError, "context_length_exceeded"),
        ("content_filtered", openai.BadRequestError, "invalid_prompt"),
        ("overloaded", openai.InternalServerError, "server_is_overloaded"),
        ("provider_failure", openai.InternalServerError, None),
    ],
)
async def test_a_scripted_failure_is_the_packages_own_error(
    client: openai.AsyncOpenAI,
    fake_openai: FakeOpenAI,
    name: str,
    error_class: type[openai.APIStatusError],
    code: str | None,
) -> None:
    fake_openai.fail(name, headers={"retry-after": "3"})
    with pytest.raises(error_class) as caught:
        await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    assert caught.value.code == code
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")
    assert caught.value.response.headers["retry-after"] == "3"


async def test_models_are_listed_and_shown(client: openai.AsyncOpenAI) -> None:
    assert "gpt-4o" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("gpt-4o")).owned_by == "system"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-0")


async def test_a_wrong_or_missing_key_is_refused(fake_openai: FakeOpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=fake_openai.base_url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list(extra_headers={"Authorization": openai.Omit()})
        assert caught.value.code is None


def turn(role: str, **fields: object) -> dict[str, object]:
    return {"role": role, **fields}


_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [turn("oracle", content="x")]}, "messages[0].role", "invalid_value"),
        ({"messages": [turn("user", content=None)]}, "messages.[0].content", None),
        ({"messages": [turn("user", content=7)]}, "messages[0].content", "invalid_type"),
        ({"messages": [turn("user", content="x", cache_control={})]}, "messages[0].cache_control", "unknown_parameter"),
        ({"messages": [turn("user", content=[{"type": "image"}])]}, "messages[0].content[0].type", "invalid_value"),
        ({"messages": [turn("assistant", content=None, tool_calls=[_CALL])]}, "messages", None),
        ({"messages": [turn("tool", content="x", tool_call_id="c1")]}, "messages.[0].role", None),
        (
            {"messages": [turn("assistant", tool_calls=[{**_CALL, "function": {"name": "f", "arguments": {}}}])]},
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        ({"model": "gpt-0"}, None, "model_not_found"),
        ({"model": "o3", "max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"model": "gpt-5", "temperature": 0.2}, "temperature", "unsupported_value"),
        ({"model": "gpt-4o", "reasoning_effort": "low"}, None, None),
        ({"model": "gpt-5", "reasoning_effort": "none"}, "reasoning_effort", "unsupported_value"),
        ({"temperature": 3}, "temperature", "integer_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"max_tokens": 99_999}, "max_tokens", "invalid_value"),
        ({"top_k": 4}, "top_k", "unknown_parameter"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"tools": []}, "tools", "empty_array"),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "tools[0].function.name", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": _OBJECT, "strict": True}}]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": _OBJECT, "strict": True},
                }
            },
            "response_format",
            None,
        ),
    ],
)
async def test_a_wrong_request_is_refused_with_the_path_of_the_mistake(
    client: openai.AsyncOpenAI, change: dict[str, object], param: str | None, code: str | None
) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], **change}
    with pytest.raises(openai.APIStatusError) as caught:
        await client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.status_code == (404 if code == "model_not_found" else 400)
    assert (caught.value.param, caught.value.code) == (param, code)


async def read(stream: openai.AsyncStream[ChatCompletionChunk], seen: list[str | None]) -> None:
    async for chunk in stream:
        seen.append(chunk.choices[0].delta.content)


async def test_an_error_in_the_middle_of_a_stream_is_raised(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply("one two three").error_after(2, "overloaded")
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
    seen: list[str | None] = []
    with pytest.raises(openai.APIError, match="overloaded"):
        await read(stream, seen)
    assert seen == ["", "one"]


async def test_a_cut_stream_breaks_the_connection(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply("one two three").cut_after(2, into=10)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
    seen: list[str | None] = []
    with pytest.raises(openai.APIConnectionError):
        await read(stream, seen)
    assert seen == ["", "one"]
    assert fake_openai.last_request.outcome == "broken off"


async def test_a_stream_without_end_marker_and_one_byte_at_a_time_is_still_read(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply("äöü €").without_end_marker().byte_at_a_time()
    fake_openai.reply("one two").insert(0, b": keep-alive\n\n").crlf()
    for expected in ("äöü €", "one two"):
        stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == expected


async def test_garbage_in_a_stream_is_an_error(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply("one two").garbage_after(1)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
    with pytest.raises(ValueError):
        _ = [chunk async for chunk in stream]


async def test_html_with_status_200_is_no_answer(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply_raw(b"<html>login</html>")
    answer: object = await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    assert answer == "<html>login</html>"


async def test_a_client_that_leaves_before_the_headers_is_seen_at_once(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    held = fake_openai.reply("never").hold()
    call = asyncio.create_task(client.chat.completions.create(model="gpt-4o", messages=[user("x")]))
    await held.wait_reached()
    call.cancel()
    assert (await fake_openai.wait_closed_by_client()).outcome == "abandoned"
    await fake_openai.wait_no_connections()


async def test_a_client_that_leaves_in_a_stalled_stream_is_seen_at_once(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    reply = fake_openai.reply("one two three").stall_after(2)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
    assert (await anext(stream)).choices[0].delta.content == ""
    assert (await anext(stream)).choices[0].delta.content == "one"
    await reply.wait_reached()
    await stream.close()
    await fake_openai.wait_closed_by_client()


async def test_a_held_answer_goes_on_when_it_is_released(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    reply = fake_openai.reply("here").stall_after(1)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[user("x")], stream=True)
    await reply.wait_reached()
    reply.release()
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "here"


async def test_a_reset_a_closed_port_and_a_closed_idle_connection(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply("never").reset()
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    await fake_openai.refuse_connections()
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    await fake_openai.accept_connections()
    await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    assert fake_openai.requests[-1].connection == fake_openai.requests[-2].connection == fake_openai.connections_made
    await fake_openai.close_idle_connections()
    assert fake_openai.open_connections == 0


async def test_a_failure_may_last_for_several_requests(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.fail(502, times=2)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="gpt-4o", messages=[user("x")])
    await client.chat.completions.create(model="gpt-4o", messages=[user("x")])


@pytest.mark.parametrize(
    ("recording", "number", "tools"),
    [
        ("openai__test_valid_response", 0, []),
        ("openai__test_max_completion_tokens.o3-mini", 0, []),
        ("openai__test_tool_choice_matrix.list_single-openai", 0, []),
        ("openai__test_run_stream_sync_streams_real_model", 0, [ToolCall("get_capital", {"country": "UK"})]),
        ("openai__test_run_stream_sync_streams_real_model", 1, []),
        ("openai__test_openai_native_output", 0, [ToolCall("get_user_country")]),
        ("openai__test_openai_native_output", 1, []),
        ("openai__test_model_name_suggestion.openai-chat", 0, []),
    ],
)
async def test_a_recorded_request_gets_an_answer_with_the_recorded_fields(
    client: openai.AsyncOpenAI, fake_openai: FakeOpenAI, recording: str, number: int, tools: list[ToolCall]
) -> None:
    recorded = interactions(recording)[number]
    if tools:
        fake_openai.reply(tools=tools)
    answer = await client._client.post(
        f"{fake_openai.base_url}/chat/completions",
        json=recorded.request,
        headers={"Authorization": f"Bearer {fake_openai.api_key}"},
    )
    assert answer.status_code == recorded.status
    assert fields_of(recorded.body) - fields_of(answer.content) == set()
