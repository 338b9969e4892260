"""The `anthropic` package proves the fake Anthropic server."""

from collections.abc import AsyncIterator

import anthropic
import pytest
from anthropic.types import ImageBlockParam, Message, MessageParam, ToolParam

from answer_fields import fields_of
from fakes import TINY_PNG, FakeAnthropic, Redacted, Text, ToolCall, Usage
from fakes.anthropic_answers import UsageShape
from fakes.anthropic_checks import ClaudeModel
from recorded import interactions

HAIKU, OPUS, SONNET = "claude-haiku-4-5", "claude-opus-5-5", "claude-sonnet-4-6"
WEATHER: ToolParam = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME: ToolParam = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
async def client(fake_anthropic: FakeAnthropic) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=fake_anthropic.base_url, api_key=fake_anthropic.api_key, max_retries=0, timeout=10
    ) as opened:
        yield opened


def user(content: str) -> MessageParam:
    return {"role": "user", "content": content}


def texts(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_a_plain_answer_repeats_what_was_said(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic
) -> None:
    answer = await client.messages.create(
        model=HAIKU, max_tokens=50, system="Be brief.", messages=[user("good morning")]
    )
    assert texts(answer) == "You said: good morning"
    assert (answer.stop_reason, answer.model) == ("end_turn", "claude-haiku-4-5-20251001")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 4)
    assert answer._request_id is not None
    request = fake_anthropic.last_request
    assert request.headers["anthropic-version"] in ("2023-06-01", "2026-10-21")
    assert request.json["system"] == "Be brief."


async def test_a_stream_is_put_together_to_the_same_message(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic
) -> None:
    fake_anthropic.reply("one two", usage=Usage(100, 2, cached=60, cache_write=30))
    async with client.messages.stream(model=HAIKU, max_tokens=50, messages=[user("hi")]) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert pieces == ["one", " two"]
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)
    assert usage.output_tokens == 2
    assert fake_anthropic.last_request.json["stream"] is True


@pytest.mark.parametrize(("shape", "first", "last"), [("repeated", 10, 10), ("start", 10, None), ("split", 100, 10)])
async def test_streamed_usage_comes_in_three_shapes(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic, shape: UsageShape, first: int, last: int | None
) -> None:
    fake_anthropic.usage_shape = shape
    fake_anthropic.reply("x", usage=Usage(100, 2, cached=60, cache_write=30))
    stream = await client.messages.create(model=HAIKU, max_tokens=50, messages=[user("hi")], stream=True)
    events = [event async for event in stream]
    assert events[0].type == "message_start"
    assert events[0].message.usage.input_tokens == first
    assert events[-2].type == "message_delta"
    assert events[-2].usage.input_tokens == last
    assert events[-2].usage.output_tokens == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_parallel_tool_calls_are_called_by_name_and_answered(
    client: anthropic.AsyncAnthropic, streamed: bool
) -> None:
    ask = user('use get_weather {"city": "Oslo"} and use get_time')
    tools = [WEATHER, TIME]
    if streamed:
        async with client.messages.stream(model=HAIKU, max_tokens=50, messages=[ask], tools=tools) as stream:
            answer: Message = await stream.get_final_message()
    else:
        answer = await client.messages.create(model=HAIKU, max_tokens=50, messages=[ask], tools=tools)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [("get_weather", {"city": "Oslo"}), ("get_time", {})]
    final = await client.messages.create(
        model=HAIKU,
        max_tokens=50,
        tools=tools,
        messages=[
            ask,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.input} for c in calls],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": calls[1].id, "content": "noon"},
                    {"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "rain"}]},
                ],
            },
        ],
    )
    assert texts(final) == "The tools say: noon; rain"


async def test_forced_tools_and_a_single_call(client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic) -> None:
    answer = await client.messages.create(
        model=HAIKU, max_tokens=50, messages=[user("hi")], tools=[WEATHER, TIME], tool_choice={"type": "any"}
    )
    assert [block.name for block in answer.content if block.type == "tool_use"] == ["get_weather"]
    answer = await client.messages.create(
        model=HAIKU,
        max_tokens=50,
        messages=[user("use get_time and use get_weather")],
        tools=[WEATHER, TIME],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )
    assert [block.name for block in answer.content if block.type == "tool_use"] == ["get_time"]
    fake_anthropic.reply("Let me see. ", Text("Now."), tools=[ToolCall("get_time", id="toolu_mine")])
    answer = await client.messages.create(model=HAIKU, max_tokens=50, messages=[user("hi")], tools=[TIME])
    assert [block.type for block in answer.content] == ["text", "text", "tool_use"]


async def test_images_are_described_by_type_and_size(client: anthropic.AsyncAnthropic) -> None:
    picture: ImageBlockParam = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": TINY_PNG},
    }
    answer = await client.messages.create(
        model=HAIKU,
        max_tokens=50,
        messages=[{"role": "user", "content": [picture, {"type": "text", "text": "look"}]}],
    )
    assert texts(answer) == "You said: look I see: image/png of 70 bytes."
    wrong: ImageBlockParam = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg", "data": TINY_PNG},
    }
    with pytest.raises(anthropic.BadRequestError, match="appears to be a image/png image"):
        await client.messages.create(model=HAIKU, max_tokens=50, messages=[{"role": "user", "content": [wrong]}])


async def test_a_json_schema_is_obeyed(client: anthropic.AsyncAnthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    answer = await client.messages.create(
        model=HAIKU,
        max_tokens=50,
        messages=[user("count")],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert texts(answer) == '{"n": 7}'


@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_is_signed_and_must_come_back_unchanged(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic, streamed: bool
) -> None:
    fake_anthropic.reply(
        reasoning="Weather first.", redacted="c2VjcmV0", tools=[ToolCall("get_weather", {"city": "Oslo"})]
    )
    budget: anthropic.types.ThinkingConfigParam = {"type": "enabled", "budget_tokens": 1024}
    ask = user("think")
    if streamed:
        async with client.messages.stream(
            model=SONNET, max_tokens=2000, messages=[ask], tools=[WEATHER], thinking=budget
        ) as stream:
            answer: Message = await stream.get_final_message()
    else:
        answer = await client.messages.create(
            model=SONNET, max_tokens=2000, messages=[ask], tools=[WEATHER], thinking=budget
        )
    thought, redacted, call = answer.content
    assert thought.type == "thinking"
    assert thought.thinking == "Weather first."
    assert redacted.type == "redacted_thinking"
    assert call.type == "tool_use"
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}],
    }
    use: anthropic.types.ToolUseBlockParam = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}

    async def go_on(*content: anthropic.types.ContentBlockParam) -> Message:
        turn: MessageParam = {"role": "assistant", "content": [*content, use]}
        messages = [ask, turn, result]
        return await client.messages.create(
            model=SONNET, max_tokens=2000, messages=messages, tools=[WEATHER], thinking=budget
        )

    kept: anthropic.types.ThinkingBlockParam = {
        "type": "thinking",
        "thinking": thought.thinking,
        "signature": thought.signature,
    }
    final = await go_on(kept, {"type": "redacted_thinking", "data": redacted.data})
    assert texts(final) == "The tools say: rain"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await go_on({**kept, "thinking": "Something else."})
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking` or `redacted_thinking`"):
        await go_on()


async def test_a_newer_model_thinks_by_itself_and_omits_the_text(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model=OPUS, max_tokens=500, messages=[user("hi")])
    assert answer.content[0].type == "thinking"
    assert answer.content[0].thinking == ""
    assert answer.content[0].signature
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.thinking_tokens == 3


async def test_every_stop_reason(client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.reply(refusal="Too dangerous.")
    fake_anthropic.reply("x", finish="pause_turn")
    fake_anthropic.reply("x", finish="model_context_window_exceeded")
    reasons = []
    for _ in range(3):
        answer = await client.messages.create(model=HAIKU, max_tokens=9, messages=[user("a b c d e f g h i")])
        reasons.append(answer.stop_reason)
    assert reasons == ["refusal", "pause_turn", "model_context_window_exceeded"]
    cut = await client.messages.create(model=HAIKU, max_tokens=3, messages=[user("a b c d e f g h i")])
    assert (texts(cut), cut.stop_reason) == ("You said: a", "max_tokens")
    stopped = await client.messages.create(
        model=HAIKU, max_tokens=9, messages=[user("one STOP two")], stop_sequences=["STOP"]
    )
    assert (texts(stopped), stopped.stop_reason, stopped.stop_sequence) == ("You said: one ", "stop_sequence", "STOP")


async def test_tokens_are_counted_and_models_described(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic
) -> None:
    counted = await client.messages.count_tokens(model=HAIKU, system="a b", messages=[user("c d e")])
    assert counted.input_tokens == 5
    with pytest.raises(anthropic.NotFoundError, match="claude-0"):
        await client.messages.count_tokens(model="claude-0", messages=[user("x")])
    listed = [model.id async for model in client.models.list(limit=2)]
    assert listed == [model.id for model in fake_anthropic.models.values()]
    model = await client.models.retrieve(HAIKU)
    assert (model.id, model.max_input_tokens, model.max_tokens) == ("claude-haiku-4-5-20251001", 200_000, 64_000)
    assert model.capabilities is not None
    assert model.capabilities.thinking.types.enabled.supported
    assert not model.capabilities.effort.supported


@pytest.mark.parametrize(
    ("name", "error_class", "kind"),
    [
        ("invalid_request", anthropic.BadRequestError, "invalid_request_error"),
        ("authentication", anthropic.AuthenticationError, "authentication_error"),
        ("permission", anthropic.PermissionDeniedError, "permission_error"),
        ("model_not_found", anthropic.NotFoundError, "not_found_error"),
        ("rate_limited", anthropic.RateLimitError, "rate_limit_error"),
        ("quota_exhausted", anthropic.BadRequestError, "invalid_request_error"),
        ("context_window_exceeded", anthropic.BadRequestError, "invalid_request_error"),
        ("content_filtered", anthropic.BadRequestError, "invalid_request_error"),
        ("overloaded", anthropic.InternalServerError, "overloaded_error"),
        ("provider_failure", anthropic.InternalServerError, "api_error"),
    ],
)
async def test_a_scripted_failure_is_the_packages_own_error(
    client: anthropic.AsyncAnthropic,
    fake_anthropic: FakeAnthropic,
    name: str,
    error_class: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    fake_anthropic.fail(name)
    with pytest.raises(error_class) as caught:
        await client.messages.create(model=HAIKU, max_tokens=9, messages=[user("x")])
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.request_id == caught.value.body["request_id"]


async def test_an_error_event_and_a_cut_stream_are_raised(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic
) -> None:
    fake_anthropic.reply("one two").error_after(4)
    stream = await client.messages.create(model=HAIKU, max_tokens=9, messages=[user("x")], stream=True)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        _ = [event async for event in stream]
    fake_anthropic.reply("one two").cut_after(4, cleanly=True)
    stream = await client.messages.create(model=HAIKU, max_tokens=9, messages=[user("x")], stream=True)
    kinds = [event.type async for event in stream]
    assert kinds == ["message_start", "content_block_start", "content_block_delta"]


async def test_a_client_that_leaves_in_a_stalled_stream_is_seen_at_once(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic
) -> None:
    reply = fake_anthropic.reply("one two").stall_after(1)
    stream = await client.messages.create(model=HAIKU, max_tokens=9, messages=[user("x")], stream=True)
    assert (await anext(stream)).type == "message_start"
    await reply.wait_reached()
    await stream.close()
    await fake_anthropic.wait_closed_by_client()


def says(*messages: dict[str, object]) -> dict[str, object]:
    return {"messages": list(messages)}


def turn(role: str, *blocks: dict[str, object]) -> dict[str, object]:
    return {"role": role, "content": list(blocks)}


_X = turn("user", {"type": "text", "text": "x"})
_USE: dict[str, object] = {"type": "tool_use", "id": "t1", "name": "get_time", "input": {}}
_RESULT: dict[str, object] = {"type": "tool_result", "tool_use_id": "t1", "content": "noon"}
_TOOLS = {"tools": [TIME]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 99_999}, "which is the maximum allowed number of output tokens"),
        ({"seed": 1}, "seed: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        ({"model": "claude-opus-5", "temperature": 0.5}, "deprecated for this model"),
        ({"stop_sequences": [" "]}, "must contain non-whitespace"),
        ({"metadata": {"user_id": "a@b.c"}}, "email address"),
        (says(), "at least one message is required"),
        (says(turn("assistant", {"type": "text", "text": "x"}), _X), 'first message must use the "user" role'),
        (says({"role": "developer", "content": "x"}), "messages.0.role: Input should be"),
        (says({"role": "system", "content": "x"}, _X), "not supported on this model"),
        (says({**_X, "name": "bob"}), "messages.0.name: Extra inputs are not permitted"),
        (says(turn("user", {"type": "text", "text": ""})), "must be non-empty"),
        (says({"role": "user", "content": ""}), "must have non-empty content"),
        (says(turn("user", {"type": "image_url", "image_url": {}})), "Input tag 'image_url'"),
        (says(turn("user", {"type": "text"})), "messages.0.content.0.text.text: Field required"),
        ({**says(_X, turn("assistant", _USE), _X), **_TOOLS}, "without `tool_result` blocks immediately after: t1"),
        ({**says(_X, turn("assistant", _USE)), **_TOOLS}, "without `tool_result` blocks immediately after: t1"),
        ({**says(turn("user", _RESULT)), **_TOOLS}, "unexpected `tool_use_id`"),
        (
            {**says(_X, turn("assistant", _USE), turn("user", {"type": "text", "text": "x"}, _RESULT)), **_TOOLS},
            "must come before any other content",
        ),
        (says(_X, turn("assistant", _USE), turn("user", _RESULT)), "must define tools"),
        ({**says(_X, turn("assistant", {**_USE, "input": "{}"}), turn("user", _RESULT)), **_TOOLS}, "valid dictionary"),
        (
            {**says(_X, turn("assistant", {**_USE, "id": "a.b"}), turn("user", _RESULT)), **_TOOLS},
            "should match pattern",
        ),
        (says(_X, turn("assistant", {"type": "text", "text": "and "})), "trailing whitespace"),
        (
            {**says(_X, turn("assistant", {"type": "text", "text": "and"})), "model": SONNET},
            "does not support assistant message prefill",
        ),
        (
            says(_X, turn("assistant", {"type": "thinking", "thinking": "t", "signature": "other"}), _X),
            "Invalid `signature`",
        ),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "should match pattern"),
        ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type"),
        ({"tools": [TIME, TIME]}, "must be unique"),
        ({"tool_choice": {"type": "auto"}}, "only be specified while providing `tools`"),
        ({**_TOOLS, "tool_choice": {"type": "required"}}, "tool_choice: Input tag"),
        ({**_TOOLS, "tool_choice": {"type": "any"}, "model": OPUS}, "not supported for this model"),
        ({"thinking": {"type": "adaptive"}}, "is not supported for this model"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "must be greater than `thinking.budget_tokens`"),
        ({"output_config": {"effort": "high"}}, "does not support effort level"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "additionalProperties"),
        ({"system": [{"type": "text", "text": ""}]}, "system.0.text: text content blocks must be non-empty"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
            "maximum of 4 blocks with cache_control",
        ),
    ],
)
async def test_a_wrong_request_is_refused_in_anthropics_words(
    client: anthropic.AsyncAnthropic, change: dict[str, object], message: str
) -> None:
    body = {"model": HAIKU, "max_tokens": 500, "messages": [{"role": "user", "content": "x"}], **change}
    old = {"anthropic-version": "2023-06-01"}
    with pytest.raises(anthropic.BadRequestError) as caught:
        await client.post("/v1/messages", body=body, cast_to=object, options={"headers": old})
    assert message in caught.value.message


async def test_the_newer_version_knows_no_sampling_and_a_version_is_needed(
    client: anthropic.AsyncAnthropic,
) -> None:
    body = {"model": HAIKU, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "temperature": 1}
    for version, message in (
        ("2026-10-21", "temperature: Extra inputs are not permitted"),
        ("", 'anthropic-version: "" is not a valid version'),
    ):
        with pytest.raises(anthropic.BadRequestError, match=message):
            await client.post(
                "/v1/messages", body=body, cast_to=object, options={"headers": {"anthropic-version": version}}
            )


async def test_a_wrong_key_is_refused(fake_anthropic: FakeAnthropic) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=fake_anthropic.base_url, api_key="sk-ant-wrong", max_retries=0
    ) as client:
        with pytest.raises(anthropic.AuthenticationError, match="invalid"):
            await client.models.list()


async def test_redacted_thinking_comes_whole(client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.reply("done", Redacted("AAAA"))
    stream = await client.messages.create(model=SONNET, max_tokens=9, messages=[user("x")], stream=True)
    kinds = [event.content_block.type async for event in stream if event.type == "content_block_start"]
    assert kinds == ["text", "redacted_thinking"]


@pytest.mark.parametrize(
    ("recording", "tools"),
    [
        ("anthropic__test_anthropic_model_thinking_part_stream", []),
        ("anthropic__test_anthropic_opus_5_features", []),
        ("anthropic__test_image_url_input", []),
        ("anthropic__test_multiple_parallel_tool_calls", [ToolCall("retrieve_entity_info", {"name": "alice"})]),
        ("anthropic__test_tool_choice_matrix.required-anthropic", []),
        ("anthropic__test_request_stream_fallback_for_high_max_tokens", []),
        ("anthropic__test_anthropic_cache_real_api", []),
        ("anthropic__test_anthropic_count_tokens_error", []),
    ],
)
async def test_a_recorded_request_gets_an_answer_with_the_recorded_fields(
    client: anthropic.AsyncAnthropic, fake_anthropic: FakeAnthropic, recording: str, tools: list[ToolCall]
) -> None:
    recorded = interactions(recording)[0]
    older = ClaudeModel("claude-sonnet-4-20250514", 200_000, 64_000, ("enabled", "disabled"), thinks_by_default=False)
    fake_anthropic.models["claude-sonnet-4-0"] = older
    if tools:
        fake_anthropic.reply("Let me see.", tools=tools)
    answer = await client._client.post(
        fake_anthropic.base_url + recorded.uri.partition("api.anthropic.com")[2],
        json=recorded.request,
        headers={"x-api-key": fake_anthropic.api_key, "anthropic-version": "2023-06-01"},
    )
    assert answer.status_code == recorded.status
    assert fields_of(recorded.body) - fields_of(answer.content) == set()
