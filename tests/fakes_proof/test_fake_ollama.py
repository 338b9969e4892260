"""The `ollama` package proves the fake Ollama server."""

from collections.abc import AsyncIterator, Mapping

import ollama
import pytest

from fakes import TINY_PNG, FakeOllama, ToolCall

QWEN, LLAMA, GEMMA = "qwen3:8b", "llama3.2", "gemma3:4b"
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
TIME = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture
async def client(fake_ollama: FakeOllama) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=fake_ollama.base_url) as opened:
        yield opened


def user(content: str, **more: object) -> dict[str, object]:
    return {"role": "user", "content": content, **more}


async def test_a_plain_answer_repeats_what_was_said(client: ollama.AsyncClient, fake_ollama: FakeOllama) -> None:
    answer = await client.chat(LLAMA, [user("good morning")], options={"num_ctx": 2048, "temperature": 0})
    assert answer.message.content == "You said: good morning"
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", "llama3.2:latest")
    assert (answer.prompt_eval_count, answer.eval_count) == (2, 4)
    assert fake_ollama.last_request.json["options"]["num_ctx"] == 2048
    assert fake_ollama.running["llama3.2:latest"]["context_length"] == 2048
    assert fake_ollama.ignored_fields == []


async def test_thinking_then_text_are_streamed_line_by_line(client: ollama.AsyncClient) -> None:
    stream = await client.chat(QWEN, [user("good morning")], stream=True)
    parts = [part async for part in stream]
    assert [part.message.thinking for part in parts[:4]] == ["Thinking", " about:", " good", " morning"]
    assert "".join(part.message.content or "" for part in parts) == "You said: good morning"
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == 8
    silent = await client.chat(QWEN, [user("good morning")], think=False)
    assert silent.message.thinking is None


@pytest.mark.parametrize("streamed", [False, True])
async def test_parallel_tool_calls_come_whole_and_are_answered(client: ollama.AsyncClient, streamed: bool) -> None:
    ask = user('use get_weather {"city": "Oslo"} and use get_time')
    calls: list[ollama.Message.ToolCall] = []
    if streamed:
        async for part in await client.chat(LLAMA, [ask], tools=[TOOL, TIME], stream=True):
            assert part.done_reason in (None, "stop")
            calls += part.message.tool_calls or []
    else:
        answer = await client.chat(LLAMA, [ask], tools=[TOOL, TIME])
        assert answer.done_reason == "stop"
        calls += answer.message.tool_calls or []
    assert [(c.function.name, c.function.arguments) for c in calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {}),
    ]
    history: list[Mapping[str, object] | ollama.Message] = [
        ask,
        ollama.Message(role="assistant", tool_calls=calls),
        {"role": "tool", "tool_name": "get_weather", "content": "rain"},
        {"role": "tool", "tool_name": "get_time", "content": "noon"},
    ]
    final = await client.chat(LLAMA, history, tools=[TOOL, TIME])
    assert final.message.content == "The tools say: rain; noon"


async def test_images_and_schemas(client: ollama.AsyncClient) -> None:
    answer = await client.chat(GEMMA, [user("look", images=[TINY_PNG])])
    assert answer.message.content == "You said: look I see: image/png of 70 bytes."
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    answer = await client.chat(GEMMA, [user("count")], format=schema)
    assert answer.message.content == '{"n": 7}'
    answer = await client.chat(GEMMA, [user("count")], format="json")
    assert answer.message.content == '{"said": "count"}'


async def test_models_are_shown_listed_and_running(client: ollama.AsyncClient, fake_ollama: FakeOllama) -> None:
    shown = await client.show(GEMMA)
    assert shown.modelinfo is not None
    assert shown.modelinfo["gemma3.context_length"] == 131_072
    assert shown.capabilities == ["completion", "vision"]
    assert shown.parameters is not None
    assert "num_ctx 8192" in shown.parameters
    assert [model.model for model in (await client.list()).models] == list(fake_ollama.models)
    assert (await client.ps()).models == []
    await client.chat(GEMMA, [user("x")], options={"num_gpu": 0}, keep_alive="5m")
    running = (await client.ps()).models[0]
    assert (running.model, running.size_vram, running.context_length) == (GEMMA, 0, 8192)
    loaded = await client.chat(GEMMA, [], keep_alive=0)
    assert loaded.done_reason == "load"
    assert (await client.ps()).models == []
    with pytest.raises(ollama.ResponseError, match="model 'x' not found"):
        await client.show("x")


async def test_a_long_prompt_is_cut_without_a_word(client: ollama.AsyncClient) -> None:
    answer = await client.chat(LLAMA, [user("a b c d e f g h")], options={"num_ctx": 5, "num_predict": 3})
    assert (answer.prompt_eval_count, answer.eval_count, answer.done_reason) == (5, 3, "length")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("invalid_request", 400),
        ("authentication", 401),
        ("model_not_found", 404),
        ("rate_limited", 429),
        ("context_window_exceeded", 400),
        ("overloaded", 503),
        ("provider_failure", 500),
    ],
)
async def test_a_scripted_failure_is_the_packages_own_error(
    client: ollama.AsyncClient, fake_ollama: FakeOllama, name: str, status: int
) -> None:
    fake_ollama.fail(name, "what happened")
    with pytest.raises(ollama.ResponseError) as caught:
        await client.chat(LLAMA, [user("x")])
    assert (caught.value.status_code, caught.value.error) == (status, "what happened")


async def test_an_error_line_in_the_middle_of_a_stream_is_raised(
    client: ollama.AsyncClient, fake_ollama: FakeOllama
) -> None:
    fake_ollama.reply("one two", tools=[ToolCall("get_time")]).error_after(1, "provider_failure")
    seen: list[str | None] = []

    async def read() -> None:
        async for part in await client.chat(LLAMA, [user("x")], stream=True):
            seen.append(part.message.content)

    with pytest.raises(ollama.ResponseError, match="more system memory"):
        await read()
    assert seen == ["one"]


_CALL = {"function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": [user("x") | {"content": [{"type": "text"}]}]}, "cannot unmarshal array into Go struct field"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "invalid role: developer"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "without tool_name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "cannot unmarshal string into Go struct field ToolCallFunction",
        ),
        ({"model": GEMMA, "messages": [user("x", images=[f"data:image/png;base64,{TINY_PNG}"])]}, "illegal base64"),
        ({"messages": [user("x", images=[TINY_PNG])]}, "does not support image input"),
        ({"model": GEMMA, "tools": [TOOL]}, "does not support tools"),
        ({"think": True}, "does not support thinking"),
        ({"model": QWEN, "think": "deeply"}, "invalid think value"),
        ({"format": "yaml"}, "invalid format"),
        ({"keep_alive": "soon"}, "invalid duration"),
        ({"options": {"num_ctx": "big"}}, 'option "num_ctx" must be of type integer'),
        (
            {"options": {"num_ctx": 1}, "truncate": False, "messages": [user("x y")]},
            "exceeds the available context size",
        ),
        ({"stream": 0}, "cannot unmarshal number"),
        ({"model": ""}, "model is required"),
        ({"model": "gpt-4o"}, "not found"),
    ],
)
async def test_a_wrong_request_is_refused_in_ollamas_words(
    client: ollama.AsyncClient, change: dict[str, object], message: str
) -> None:
    body = {"model": LLAMA, "messages": [user("x")], "stream": False, **change}
    answer = await client._client.post("/api/chat", json=body)
    assert answer.status_code in (400, 404)
    assert message in answer.json()["error"]


async def test_streaming_is_the_default_and_unknown_fields_are_ignored(
    client: ollama.AsyncClient, fake_ollama: FakeOllama
) -> None:
    message = user("x", name="bob")
    body = {"model": LLAMA, "messages": [message], "tool_choice": "auto", "options": {"foo": 1}}
    answer = await client._client.post("/api/chat", json=body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert fake_ollama.ignored_fields == ["tool_choice", "options.foo", "messages.name"]


async def test_the_cloud_needs_a_key() -> None:
    async with FakeOllama(needs_key=True) as server:
        async with ollama.AsyncClient(host=server.base_url) as client:
            with pytest.raises(ollama.ResponseError, match="unauthorized"):
                await client.list()
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with ollama.AsyncClient(host=server.base_url, headers=headers) as client:
            await client.list()
