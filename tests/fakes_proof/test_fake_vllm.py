"""The `openai` package proves the fake vLLM server."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.chat_completion_message import ChatCompletionMessage

from fakes import ChatModel, FakeVllm, ToolCall, Usage

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]
TOOL: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
}
QWEN, LLAMA = "Qwen/Qwen3-8B", "llama-3.1-8b"


@pytest.fixture
async def client(fake_vllm: FakeVllm) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=fake_vllm.v1_url, api_key=fake_vllm.api_key, max_retries=0) as opened:
        yield opened


def reasoning_of(message: ChatCompletionMessage, field: str = "reasoning") -> object:
    return (message.model_extra or {}).get(field)


async def test_reasoning_stands_in_a_field_of_its_own(client: openai.AsyncOpenAI, fake_vllm: FakeVllm) -> None:
    answer = await client.chat.completions.create(model=QWEN, messages=HELLO, max_tokens=50)
    assert reasoning_of(answer.choices[0].message) == "Thinking about: hello there"
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is None
    off = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5, "guided_json": {}}
    answer = await client.chat.completions.create(model=QWEN, messages=HELLO, extra_body=off)
    assert reasoning_of(answer.choices[0].message) is None
    assert fake_vllm.ignored_fields == ["guided_json"]
    fake_vllm.reasoning_field = "reasoning_content"
    answer = await client.chat.completions.create(model=QWEN, messages=HELLO)
    assert reasoning_of(answer.choices[0].message, "reasoning_content") == "Thinking about: hello there"


async def test_reasoning_is_streamed_before_the_text(client: openai.AsyncOpenAI, fake_vllm: FakeVllm) -> None:
    fake_vllm.reply("Yes.", reasoning="Let me see", usage=Usage(20, 5, cached=16))
    stream = await client.chat.completions.create(
        model=QWEN, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert [(delta.model_extra or {}).get("reasoning") for delta in deltas] == [None, "Let", " me", " see", None, None]
    assert "".join(delta.content or "" for delta in deltas) == "Yes."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens_details is not None
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 16


async def test_tools_are_called_and_may_be_switched_off_at_the_server(
    client: openai.AsyncOpenAI, fake_vllm: FakeVllm
) -> None:
    fake_vllm.reply(tools=[ToolCall("look_up", {"word": "a"}), ToolCall("look_up", {"word": "b"})])
    answer = await client.chat.completions.create(model=LLAMA, messages=HELLO, tools=[TOOL])
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.arguments for call in calls if call.type == "function"] == ['{"word":"a"}', '{"word":"b"}']
    assert calls[0].id.startswith("chatcmpl-tool-")
    fake_vllm.auto_tool_choice = False
    with pytest.raises(openai.BadRequestError, match="--enable-auto-tool-choice"):
        await client.chat.completions.create(model=LLAMA, messages=HELLO, tools=[TOOL])


async def test_structured_outputs_are_obeyed(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    answer = await client.chat.completions.create(
        model=LLAMA, messages=HELLO, extra_body={"structured_outputs": {"json": schema}}
    )
    assert answer.choices[0].message.content == '{"n": 7}'


async def test_the_models_say_how_long_they_are_and_the_prompt_is_measured(
    client: openai.AsyncOpenAI, fake_vllm: FakeVllm
) -> None:
    models = {model.id: model async for model in client.models.list()}
    assert (models[LLAMA].model_extra or {})["max_model_len"] == 8192
    fake_vllm.models["tiny"] = ChatModel("tiny", window=10)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 10 tokens") as caught:
        await client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=9)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == 400
    counted = await client.post(
        f"{fake_vllm.root_url}/tokenize", body={"model": LLAMA, "prompt": "a b c"}, cast_to=dict[str, object]
    )
    assert (counted["count"], counted["max_model_len"]) == (3, 8192)


async def test_health_and_version_need_no_key(fake_vllm: FakeVllm) -> None:
    fake_vllm.fail(503, path="/health")
    async with openai.AsyncOpenAI(base_url=fake_vllm.root_url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError):
            await client.get("/health", cast_to=object)
        await client.get("/health", cast_to=object)
        assert await client.get("/version", cast_to=dict[str, str]) == {"version": "0.30.0"}
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.get("/v1/models", cast_to=object)
    assert caught.value.body == "Unauthorized"


@pytest.mark.parametrize(
    ("name", "error_class"),
    [
        ("invalid_request", openai.BadRequestError),
        ("authentication", openai.AuthenticationError),
        ("model_not_found", openai.NotFoundError),
        ("rate_limited", openai.RateLimitError),
        ("context_window_exceeded", openai.BadRequestError),
        ("overloaded", openai.InternalServerError),
        ("provider_failure", openai.InternalServerError),
    ],
)
async def test_a_scripted_failure_is_the_packages_own_error(
    client: openai.AsyncOpenAI, fake_vllm: FakeVllm, name: str, error_class: type[openai.APIStatusError]
) -> None:
    fake_vllm.fail(name)
    with pytest.raises(error_class):
        await client.chat.completions.create(model=LLAMA, messages=HELLO)


async def test_a_failure_in_the_middle_of_a_stream_is_followed_by_the_end_marker(
    client: openai.AsyncOpenAI, fake_vllm: FakeVllm
) -> None:
    fake_vllm.reply("one two").error_after(1, "provider_failure")
    stream = await client.chat.completions.create(model=LLAMA, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="EngineCore"):
        _ = [chunk async for chunk in stream]
    unknown = client.chat.completions.create(model="nobody", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await unknown
