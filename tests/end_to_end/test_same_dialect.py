"""A client and a provider of one dialect: what either says goes through as it was said, but for the model's name."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from canned_server import Canned
from caxton_llm.types import Json
from fakes.http_server import Response
from live_gateway import LiveGateway, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
STREAM = {"content-type": "text/event-stream"}
PLAIN = {"content-type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_provider() -> AsyncIterator[Canned]:
    async with Canned() as server:
        yield server


@pytest.fixture
def provider(shared_provider: Canned) -> Canned:
    shared_provider.requests.clear()
    return shared_provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_provider: Canned) -> AsyncIterator[LiveGateway]:
    url = shared_provider.root_url
    entries: list[dict[str, Json]] = [
        {"provider": kind, "name": kind, "model": "m-1", "base_url": url, "api_key": "k", "fallbacks": []}
        for kind in ("openai", "anthropic")
    ]
    async with gateway_with({"llm": {"providers": entries}}) as running:
        yield running


OPENAI_BODY = (
    b'{"messages":[ {"content" : "h\\u00e9llo",\n "role":"user", "x_unknown":[1, 2.50]},'
    b'{"role":"user","content":[{"type":"x_new","z":1,"a":2},{"type":"text","text":"\xc3\xa9"}]} ],'
    b'"x_extra":{"b":1.0,"a":[ ]},"model":"openai","temperature":1.0,"seed":7,"user":"u"}'
)
OPENAI_ANSWER = (
    b'{ "id":"c-1", "x_new":{"b":1,"a":2.0}, "object":"chat.completion","created":1,"model":"m-1",\n"choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"h\\u00e9","x":null},"finish_reason":"stop","x_detail":[1]}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"x_tokens":5}}'
)
ANTHROPIC_BODY = (
    b'{"max_tokens":10,"system":[{"type":"text","text":"s","cache_control":{"ttl":"1h", "type":"ephemeral"}}],'
    b'"model":"anthropic","messages":[{"role":"user","content":[{"type":"x_new_block","z":1.0,"a":[ ]},'
    b'{"cache_control":{"type":"ephemeral"},"type":"text","text":"h\\u00e9 \xc3\xa9"}]}],'
    b'"x_future":{"b":1,"a":2},"metadata":{"user_id":"u"}}'
)
ANTHROPIC_ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[ {"type":"x_new_block","z":1.0},'
    b'{"type":"text","text":"h\\u00e9","x":1}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":1,"output_tokens":1,"x_tokens":{"a":1}}}'
)


@pytest.mark.parametrize(
    ("path", "body", "named", "answer"),
    [
        (OPENAI, OPENAI_BODY, b'"model":"openai"', OPENAI_ANSWER),
        (ANTHROPIC, ANTHROPIC_BODY, b'"model":"anthropic"', ANTHROPIC_ANSWER),
    ],
)
async def test_request_and_answer_go_through_byte_for_byte(
    http: httpx.AsyncClient, provider: Canned, path: str, body: bytes, named: bytes, answer: bytes
) -> None:
    provider.answer = Response(headers=PLAIN, events=[answer])
    response = await http.post(path, content=body)
    assert (response.status_code, response.content) == (200, answer)
    assert provider.last_request.body == body.replace(named, b'"model":"m-1"')
    assert "x-caxton-params" not in response.headers


OPENAI_EVENTS = [
    b'{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m-1","x_new":1.0,"choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    b'{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"x":[ 1],'
    b'"delta":{"content":"h\\u00e9"},"finish_reason":null}]}',
    b'{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}',
    b'{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"x_tokens":5}}',
]


def payloads(body: bytes) -> list[bytes]:
    """The data of a stream's events."""
    lines = body.split(b"\n")
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_of_openais_goes_through_payload_by_payload(
    http: httpx.AsyncClient, provider: Canned, asked: bool
) -> None:
    sent = [b"data: " + event + b"\n\n" for event in OPENAI_EVENTS]
    provider.answer = Response(headers=STREAM, events=[*sent, b"data: [DONE]\n\n"], streams=True)
    body = OPENAI_BODY.replace(b'"seed"', b'"stream":true,"seed"')
    if asked:
        body = body.replace(b'"seed"', b'"stream_options":{"include_usage": true},"seed"')
    response = await http.post(OPENAI, content=body)
    got = payloads(response.content)
    assert got[:3] == OPENAI_EVENTS[:3]
    assert got[-1] == b"[DONE]"
    if not asked:
        assert len(got) == 4
        assert json.loads(provider.last_request.body)["stream_options"] == {"include_usage": True}
        return
    assert provider.last_request.body == body.replace(b'"model":"openai"', b'"model":"m-1"')
    assert got[3].startswith(OPENAI_EVENTS[3][:-1] + b',"caxton":{')
    assert json.loads(got[3])["caxton"]["request_id"] == response.headers["x-caxton-request-id"]


ANTHROPIC_EVENTS: list[tuple[bytes, bytes]] = [
    (
        b"message_start",
        b'{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],'
        b'"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1,"x":1.0}}}',
    ),
    (
        b"content_block_start",
        b'{"type":"content_block_start","index":0,"content_block":{"type":"x_new_block","z":[ ]}}',
    ),
    (b"x_new_event", b'{"type":"x_new_event","anything":1.0}'),
    (b"content_block_stop", b'{"type":"content_block_stop","index":0}'),
    (
        b"content_block_start",
        b'{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","x":1}}',
    ),
    (b"ping", b'{"type": "ping"}'),
    (
        b"content_block_delta",
        b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"h\\u00e9"}      }',
    ),
    (b"content_block_stop", b'{"type":"content_block_stop","index":1}'),
    (
        b"message_delta",
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2,"x":3}}',
    ),
    (b"message_stop", b'{"type":"message_stop"}'),
]


async def test_a_stream_of_anthropics_goes_through_event_by_event(http: httpx.AsyncClient, provider: Canned) -> None:
    sent = [b"event: " + name + b"\ndata: " + data + b"\n\n" for name, data in ANTHROPIC_EVENTS]
    provider.answer = Response(headers=STREAM, events=sent, streams=True)
    body = ANTHROPIC_BODY.replace(b'"x_future"', b'"stream":true,"x_future"')
    response = await http.post(ANTHROPIC, content=body)
    assert provider.last_request.body == body.replace(b'"model":"anthropic"', b'"model":"m-1"')
    got = response.content.split(b"\n\n")[:-1]
    assert got[:8] == [event.rstrip(b"\n") for event in sent[:8]]
    assert got[8].startswith(sent[8].rstrip(b"\n")[:-1] + b',"caxton":{')
    assert got[9] == sent[9].rstrip(b"\n")


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_a_tool_whose_name_the_provider_refuses_is_called_by_its_own_name(
    http: httpx.AsyncClient, provider: Canned, streams: bool
) -> None:
    asked = {**json.loads(ANTHROPIC_BODY), "tools": [{"name": "files/read", "input_schema": {"type": "object"}}]}
    provider.answer = Response(headers=PLAIN, events=[ANTHROPIC_ANSWER])
    await http.post(ANTHROPIC, json=asked)
    name = json.loads(provider.last_request.body)["tools"][0]["name"]
    call = b'{"type":"tool_use","id":"t","name":"' + name.encode() + b'","input":{ "a":1.0},"x":1}'
    if streams:
        started, _, _, stopped = ANTHROPIC_EVENTS[:4]
        began = b"content_block_start", b'{"type":"content_block_start","index":0,"content_block":' + call + b"}"
        events = [started, began, stopped, *ANTHROPIC_EVENTS[-2:]]
        sent = [b"event: " + kind + b"\ndata: " + data + b"\n\n" for kind, data in events]
        provider.answer = Response(headers=STREAM, events=sent, streams=True)
    else:
        body = ANTHROPIC_ANSWER.replace(b'{"type":"text","text":"h\\u00e9","x":1}', call)
        provider.answer = Response(headers=PLAIN, events=[body])
    response = await http.post(ANTHROPIC, json={**asked, "stream": streams})
    assert name != "files/read"
    assert name.encode() not in response.content
    assert call.replace(name.encode(), b"files/read") in response.content


async def test_words_from_outside_never_become_headers_of_their_own(http: httpx.AsyncClient, provider: Canned) -> None:
    body = json.loads(ANTHROPIC_ANSWER)
    body["model"] = "m\r\nx-injected: 1\u00e9"
    provider.answer = Response(headers=PLAIN, events=[json.dumps(body).encode()])
    asked = {
        "model": "anthropic",
        "messages": [{"role": "user", "content": "h"}],
        "x\r\nx-injected: 2, \u00e9": 1,
        "seed": 1,
    }
    response = await http.post(OPENAI, json=asked)
    assert response.status_code == 200
    assert "x-injected" not in response.headers
    assert response.headers["x-caxton-model"] == "m??x-injected: 1?"
    assert "seed" in response.headers["x-caxton-params"]


async def test_headers_that_mean_something_to_the_vendor_travel_on_and_no_others(
    http: httpx.AsyncClient, provider: Canned
) -> None:
    provider.answer = Response(headers=PLAIN, events=[ANTHROPIC_ANSWER])
    headers = {
        "anthropic-beta": "interleaved-thinking-2025-05-14",
        "anthropic-version": "2023-06-01",
        "x-api-key": "the client's own",
        "cookie": "a=b",
        "x-private": "1",
    }
    await http.post(ANTHROPIC, content=ANTHROPIC_BODY, headers=headers)
    got = provider.last_request.headers
    assert got["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert got["x-api-key"] == "k"
    assert not {"cookie", "x-private", "authorization"} & set(got)


async def test_an_unknown_block_for_another_vendor_is_refused_by_its_path(
    http: httpx.AsyncClient, provider: Canned
) -> None:
    body = ANTHROPIC_BODY.replace(b'"model":"anthropic"', b'"model":"openai"')
    response = await http.post(ANTHROPIC, content=body)
    error: Any = response.json()["error"]
    assert response.status_code == 422
    assert error["param"] == "messages[0].content[0]"
    assert not provider.requests
