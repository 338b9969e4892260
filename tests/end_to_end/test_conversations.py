"""Conversations that change providers, and requests of an unusual but valid shape."""

import base64
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from canned_server import Canned
from chat_clients import ChatClient, problem_of
from fakes import TINY_PNG, ToolCall
from fakes.http_server import Response
from live_gateway import ENTRIES, Entry, FakeProviders

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALLING = [entry for entry in ENTRIES if entry.tools and entry.name != "azure-entra"]
CHATTING = [entry for entry in ENTRIES if entry.name not in ("azure-entra", "text-oauth", "ollama-gemma")]


# -- from one provider to another ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [*product(CALLING, CALLING)], ids=str)
async def test_a_call_of_one_provider_is_continued_by_another(
    client: ChatClient, first: Entry, second: Entry, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_weather", CITY), client.tool("get_hotels", CITY)]
    asked = client.user("use get_weather and use get_hotels")
    called = await client.ask(first.name, [asked], tools=tools)
    conversation = [asked, client.again(called), *client.results(called, "sunny", "booked out")]
    told = await client.ask(second.name, conversation, tools=tools, streams=True)
    assert told.text.index("sunny") < told.text.index("booked out")
    conversation += [client.again(told), client.user("thanks")]
    assert "thanks" in (await client.ask(first.name, conversation, tools=tools)).text


@pytest.mark.parametrize("entry", CHATTING, ids=str)
async def test_words_of_all_scripts_and_much_of_them_arrive_unchanged(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    text = 'h\u00e9llo \u4f60\u597d \U0001f600 \u202e \\u0041 "quoted" </script> \u2028 end'
    for streams in (False, True):
        told = await client.ask(entry.name, text, streams=streams)
        assert told.text.startswith(f"You said: {text}")
    if entry.kind != "builtin":
        long = "word " * 2_000 + "end"
        assert (await client.ask(entry.name, long, max_tokens=4_000, streams=True)).text == f"You said: {long}"


# -- an OpenAI client's oddities ----------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    "entry", [entry for entry in CALLING if entry.kind in ("anthropic", "ollama", "builtin")], ids=str
)
async def test_the_deprecated_functions_work_with_providers_of_other_dialects(
    clients: dict[str, ChatClient], entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    openai: Any = clients["openai"].client
    functions = [{"name": "get_weather", "parameters": CITY}]
    asked = {"role": "user", "content": "use get_weather"}
    if streams:
        stream = await openai.chat.completions.create(
            model=entry.name, messages=[asked], functions=functions, stream=True
        )
        name, arguments, finish = "", "", None
        async for chunk in stream:
            for choice in chunk.choices:
                called = choice.delta.function_call
                name += (called.name if called else None) or ""
                arguments += (called.arguments if called else None) or ""
                finish = choice.finish_reason or finish
    else:
        answer = await openai.chat.completions.create(model=entry.name, messages=[asked], functions=functions)
        called, finish = answer.choices[0].message.function_call, answer.choices[0].finish_reason
        name, arguments = called.name, called.arguments
    assert (name, finish) == ("get_weather", "function_call")
    turn = {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": arguments}}
    result = {"role": "function", "name": "get_weather", "content": "21 degrees"}
    told = await openai.chat.completions.create(model=entry.name, messages=[asked, turn, result], functions=functions)
    assert "21 degrees" in told.choices[0].message.content


async def test_the_deprecated_functions_are_refused_where_they_would_be_ignored(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    client = clients["openai"]
    with pytest.raises(client.status_error) as caught:
        await client.ask("vllm-llama", "use f", functions=[{"name": "f", "parameters": CITY}])
    assert problem_of(caught.value)["param"] == "functions"
    assert not fakes.vllm.requests


@pytest.mark.parametrize("entry", CHATTING, ids=str)
@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "three"}],
        [{"role": "system", "content": "A"}, {"role": "system", "content": "B"}, {"role": "user", "content": "three"}],
        [
            {"role": "user", "content": "one"},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "three"},
        ],
        [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}, {"role": "user", "content": "three"}],
        [{"role": "assistant", "content": "zero"}, {"role": "user", "content": "three"}],
        [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "assistant", "content": "two and a half"},
            {"role": "user", "content": [{"type": "text", "text": "three"}]},
        ],
    ],
)
async def test_every_order_of_turns_that_openai_takes_is_taken_for_every_provider(
    clients: dict[str, ChatClient], entry: Entry, messages: list[Any], fakes: FakeProviders
) -> None:
    told = await clients["openai"].ask(entry.name, messages)
    assert "three" in told.text
    if entry.kind != "builtin":
        sent = fakes.behind(entry).last_request.body.decode()
        for message in messages:
            text = message["content"] if isinstance(message["content"], str) else message["content"][0]["text"]
            assert text in sent


async def test_several_answers_come_from_the_providers_that_give_them(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    openai: Any = clients["openai"].client
    for name in ("openai-main", "azure-key", "vllm-llama", "offline"):
        asked: Any = {"model": name, "messages": [{"role": "user", "content": "hello"}], "n": 2}
        answer = await openai.chat.completions.create(**asked)
        assert [choice.index for choice in answer.choices] == [0, 1]
        texts = {0: "", 1: ""}
        async for chunk in await openai.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == {choice.index: choice.message.content for choice in answer.choices}


async def test_a_client_that_does_not_ask_for_usage_gets_none_and_a_normal_end(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    openai: Any = clients["openai"].client
    for entry in CHATTING:
        stream = await openai.chat.completions.create(
            model=entry.name, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert all(chunk.usage is None for chunk in chunks)
        finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert [finish for finish in finishes if finish] == ["stop"]
        assert {chunk.model for chunk in chunks if chunk.choices} == {entry.answers_as}
        assert len({chunk.id for chunk in chunks if chunk.choices}) == 1


async def test_arguments_that_are_no_json_reach_the_client_as_the_model_wrote_them(
    clients: dict[str, ChatClient], fakes: FakeProviders
) -> None:
    openai: Any = clients["openai"].client
    tools = [clients["openai"].tool("f", CITY)]
    for name, fake in (("openai-main", fakes.openai), ("vllm-llama", fakes.vllm)):
        fake.reply(tools=[ToolCall("f", '{"city": "Ro')])
        answer = await openai.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "hi"}], tools=tools
        )
        assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city": "Ro'
        fake.reply(tools=[ToolCall("f", '{"city": "Ro')])
        told = await clients["anthropic"].ask(name, "hi", tools=[clients["anthropic"].tool("f", CITY)])
        assert told.tools[0].arguments == {"_raw": '{"city": "Ro'}


# -- images that must be fetched ----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_images() -> AsyncIterator[Canned]:
    async with Canned() as server:
        yield server


@pytest.fixture
def images(shared_images: Canned) -> Canned:
    shared_images.requests.clear()
    shared_images.answer = Response(headers={"content-type": "image/png"}, events=[base64.b64decode(TINY_PNG)])
    return shared_images


async def test_an_image_by_address_is_fetched_for_a_provider_that_takes_bytes_only(
    client: ChatClient, images: Canned, fakes: FakeProviders
) -> None:
    told = await client.ask("ollama-gemma", [client.user("look", f"{images.root_url}/cat.png?x=1")])
    assert "image/png of 70 bytes" in told.text
    assert images.last_request.path == "/cat.png"
    assert "authorization" not in images.last_request.headers
    assert fakes.ollama.last_request.json["messages"][0]["images"] == [TINY_PNG]


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=404, headers={"content-type": "image/png"}),
        Response(status=302, headers={"location": "http://127.0.0.1/"}),
        Response(headers={"content-type": "text/html"}, events=[b"<html></html>"]),
        Response(headers={"content-type": "image/png"}, events=[b"x" * 1024 * 1024] * 21, streams=True),
    ],
)
async def test_an_image_that_cannot_be_fetched_is_told_by_its_path(
    client: ChatClient, images: Canned, fakes: FakeProviders, answer: Response
) -> None:
    images.answer = answer
    with pytest.raises(client.status_error) as caught:
        await client.ask("ollama-gemma", [client.user("look", f"{images.root_url}/cat.png")])
    error: Any = caught.value
    assert error.status_code == 400
    path = "messages[0].content[1].image_url.url" if client.name == "openai" else "messages[0].content[0]"
    assert problem_of(error)["param"].startswith(path)
    assert not fakes.ollama.requests


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:1/x.png",
        "http://localhost:1/x.png",
        "http://[::1]:1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/x.png",
        "http://nowhere.invalid/x.png",
        "http://127.0.0.1:99999/x.png",
        "http://",
    ],
)
async def test_an_image_on_a_private_address_is_not_fetched(client: ChatClient, fakes: FakeProviders, url: str) -> None:
    with pytest.raises(client.status_error) as caught:
        await client.ask("ollama-gemma", [client.user("look", url)])
    error: Any = caught.value
    assert error.status_code == 400
    assert problem_of(error)["source"] == "gateway"
    assert not fakes.ollama.requests
