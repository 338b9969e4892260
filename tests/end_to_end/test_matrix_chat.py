"""Every client with every kind of provider, plain and streamed: text, turns, tools, images, schemas."""

import json
from typing import Any

import pytest

from chat_clients import ChatClient, Told, problem_of, status_of
from fakes import TINY_PNG, ToolCall, Usage
from fakes.http_server import Received
from live_gateway import ENTRIES, Entry, FakeProviders

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=str)
both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
with_tools = pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.tools], ids=str)

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
IMAGE = f"data:image/png;base64,{TINY_PNG}"


def texts_sent(request: Received) -> str:
    """Everything textual that the provider got, in order."""
    body = request.json
    return " | ".join([_text(body.get("system")), *map(_text, body.get("messages", [])), _text(body.get("prompt"))])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, dict):
        return _text(value.get("content") or value.get("text") or "")
    return value or ""


# -- text ---------------------------------------------------------------------------------------------------------------


@both_ways
@every_entry
async def test_every_provider_answers_every_client(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(entry.name, "hello there", streams=streams)
    assert told.text.startswith("You said: hello there")
    assert told.finish == "stop"
    assert told.model == entry.answers_as
    assert told.stopped_by is None
    assert (told.pieces > 1) is streams
    if entry.kind == "builtin":
        assert told.prompt_tokens
        assert told.completion_tokens
        return
    assert (told.prompt_tokens, told.completion_tokens) == (2, 4)
    request = fakes.behind(entry).last_request
    assert request.json.get("stream", False) is streams
    assert request.json["model"] == entry.model
    assert "hello there" in texts_sent(request)


@both_ways
@every_entry
async def test_the_headers_say_who_answered_and_how(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(entry.name, "hello", streams=streams)
    headers = told.headers
    assert headers["x-caxton-provider"] == entry.name
    assert headers["x-caxton-attempts"] == "1"
    assert headers["x-caxton-cache"] == "bypass"
    assert headers["x-caxton-request-id"].startswith("cax_")
    assert float(headers["x-caxton-overhead-ms"]) >= 0
    if streams:
        assert headers["content-type"].startswith("text/event-stream")
        assert told.caxton["provider"] == entry.name
        assert told.caxton["request_id"] == headers["x-caxton-request-id"]
        assert told.caxton["attempts"] == 1
    else:
        assert headers["content-type"] == "application/json"
        assert headers["x-caxton-model"] == entry.answers_as
        assert headers["x-caxton-cost-usd"] == "unknown" or float(headers["x-caxton-cost-usd"]) >= 0


@both_ways
@every_entry
async def test_system_text_and_earlier_turns_arrive_in_their_order(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    first = await client.ask(entry.name, "one", streams=streams)
    conversation = [client.user("one"), client.again(first), client.user("three")]
    told = await client.ask(entry.name, conversation, streams=streams, **client.system("Be brief."))
    if entry.kind == "custom":
        assert "User: three" in told.text
    else:
        assert told.text.startswith("You said: three")
    if entry.kind != "builtin":
        sent = texts_sent(fakes.behind(entry).last_request)
        places = [sent.index(text) for text in ("Be brief.", "one", "You said: one", "three")]
        assert places == sorted(places)


@both_ways
@every_entry
async def test_the_limit_of_the_output_is_obeyed_and_told(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(entry.name, "one two three", streams=streams, max_tokens=2)
    assert (told.text, told.finish) == ("You said:", "length")


@both_ways
@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind != "custom"], ids=str)
async def test_a_stop_sequence_ends_the_answer(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    field = "stop" if client.name == "openai" else "stop_sequences"
    told = await client.ask(entry.name, "one two three", streams=streams, **{field: ["two"]})
    assert (told.text.rstrip(), told.finish) == ("You said: one", "stop")


@both_ways
@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind not in ("custom", "builtin")], ids=str)
async def test_cached_tokens_are_part_of_the_prompt_for_every_client(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply("two words", usage=Usage(30, 2, cached=0 if entry.kind == "ollama" else 20))
    told = await client.ask(entry.name, "hello", streams=streams)
    assert (told.prompt_tokens, told.completion_tokens) == (30, 2)
    if entry.kind != "ollama":
        assert told.cached_tokens == 20


# -- tools --------------------------------------------------------------------------------------------------------------


@both_ways
@with_tools
async def test_a_tool_is_called_and_its_result_goes_back(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_weather", CITY)]
    asked = client.user("use get_weather please")
    called = await client.ask(entry.name, [asked], tools=tools, streams=streams)
    assert called.finish == "tool_calls"
    [call] = called.tools
    assert call.name == "get_weather"
    assert set(call.arguments) == {"city", "days"}
    conversation = [asked, client.again(called), *client.results(called, "21 degrees")]
    told = await client.ask(entry.name, conversation, tools=tools, streams=streams)
    assert "21 degrees" in told.text
    assert told.finish == "stop"


@both_ways
@with_tools
async def test_parallel_calls_keep_their_arguments_and_results_apart(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_weather", CITY), client.tool("get_hotels", CITY)]
    asked = client.user("use get_weather and use get_hotels")
    if entry.kind != "builtin":
        calls = [
            ToolCall("get_weather", {"city": "Rome", "days": 2}),
            ToolCall("get_hotels", {"city": "Oslo", "days": 3}),
        ]
        fakes.behind(entry).reply(tools=calls, chunks=3)
    called = await client.ask(entry.name, [asked], tools=tools, streams=streams)
    assert [call.name for call in called.tools] == ["get_weather", "get_hotels"]
    assert len({call.id for call in called.tools}) == 2
    if entry.kind != "builtin":
        assert [call.arguments for call in called.tools] == [{"city": "Rome", "days": 2}, {"city": "Oslo", "days": 3}]
    conversation = [asked, client.again(called), *client.results(called, "sunny", "booked out")]
    told = await client.ask(entry.name, conversation, tools=tools, streams=streams)
    assert told.text.index("sunny") < told.text.index("booked out")


@both_ways
@with_tools
async def test_a_tool_without_arguments_is_called_with_an_empty_object(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_time", {"type": "object", "properties": {}})]
    called = await client.ask(entry.name, "use get_time", tools=tools, streams=streams)
    assert [(call.name, call.arguments) for call in called.tools] == [("get_time", {})]
    conversation = [client.user("use get_time"), client.again(called), *client.results(called, "noon")]
    told = await client.ask(entry.name, conversation, tools=tools, streams=streams)
    assert "noon" in told.text


@with_tools
async def test_a_forced_tool_is_called_or_refused_but_never_quietly_left_to_the_model(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    named: dict[str, Any] = {"type": "tool", "name": "get_weather"}
    if client.name == "openai":
        named = {"type": "function", "function": {"name": "get_weather"}}
    question = client.ask(entry.name, "hello", tools=[client.tool("get_weather", CITY)], tool_choice=named)
    if entry.kind == "ollama":
        with pytest.raises(client.status_error) as caught:
            await question
        assert status_of(caught.value) == 422
        assert not fakes.ollama.requests
        return
    told = await question
    assert [call.name for call in told.tools] == ["get_weather"]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind == "custom"], ids=str)
async def test_a_text_api_refuses_tools_and_images_before_anything_is_sent(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    tools = [client.tool("get_weather", CITY)]
    for question in (
        client.ask(entry.name, "hello", tools=tools),
        client.ask(entry.name, [client.user("look", IMAGE)]),
        client.ask(entry.name, "hello", **client.schema(CITY)),
    ):
        with pytest.raises(client.status_error) as caught:
            await question
        assert status_of(caught.value) == 422
        assert problem_of(caught.value)["kind"] == "unsupported_feature"
        assert problem_of(caught.value)["param"]
    assert not fakes.behind(entry).requests


# -- images -------------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.images], ids=str)
async def test_an_image_as_data_arrives(client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders) -> None:
    told = await client.ask(entry.name, [client.user("look", IMAGE)], streams=streams)
    assert "image/png" in told.text


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.images and entry.kind != "ollama"], ids=str)
async def test_an_image_by_address_is_handed_on_as_an_address(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    url = "https://images.invalid/cat.png"
    told = await client.ask(entry.name, [client.user("look", url)])
    assert told.finish == "stop"
    if entry.kind != "builtin":
        assert url in fakes.behind(entry).last_request.body.decode()


# -- schemas ------------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.json_schema], ids=str)
async def test_an_answer_of_a_schema_comes_as_text_of_that_schema(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    told = await client.ask(entry.name, "hello", streams=streams, **client.schema(CITY))
    assert told.finish == "stop"
    assert set(parsed(told)) == {"city", "days"}
    assert not told.tools


def parsed(told: Told) -> Any:
    return json.loads(told.text)
