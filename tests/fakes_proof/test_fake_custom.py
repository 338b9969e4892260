"""An ordinary HTTP client (aiohttp) proves the fake text API: there is no vendor who has a package for it."""

import asyncio
import base64
import json
from typing import Literal
from urllib.parse import quote_plus

import aiohttp
import pytest

from fakes import FakeCustom


async def post(server: FakeCustom, body: object, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(server.base_url + server.path, json=body) as answer,
    ):
        return answer.status, await answer.text()


async def test_a_bearer_token_and_plain_fields(fake_custom: FakeCustom) -> None:
    body = {"model": "m", "prompt": "hello there", "max_tokens": 9, "temperature": 0.5}
    status, text = await post(fake_custom, body, Authorization=f"Bearer {fake_custom.api_key}")
    assert (status, json.loads(text)) == (200, {"text": "You said: hello there"})
    assert (await post(fake_custom, body, Authorization="Bearer other"))[0] == 401


async def test_a_key_in_a_header_and_fields_deep_inside() -> None:
    async with FakeCustom(
        auth="api_key",
        auth_header="Ocp-Apim-Subscription-Key",
        prompt_field="input.messages",
        model_field="input.model",
        response_field="choices.0.text",
        finish_field="choices.0.why",
        prompt_tokens_field="usage.in",
        completion_tokens_field="usage.out",
    ) as server:
        body = {"input": {"model": "m", "messages": [{"role": "user", "content": "hello"}]}}
        headers = {"Ocp-Apim-Subscription-Key": server.api_key}
        status, text = await post(server, body, **headers)
        usage = {"in": 1, "out": 3}
        assert status == 200
        assert json.loads(text) == {"choices": [{"text": "You said: hello", "why": "stop"}], "usage": usage}


@pytest.mark.parametrize("client_auth", ["basic", "post"])
async def test_an_oauth2_token_is_issued_and_expires(client_auth: Literal["basic", "post"]) -> None:
    async with FakeCustom(auth="oauth2", client_auth=client_auth, scope="a b") as server:
        form = {"grant_type": "client_credentials", "scope": "a b"}
        headers = {}
        if client_auth == "basic":
            pair = f"{quote_plus(server.client_id)}:{quote_plus(server.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": server.client_id, "client_secret": server.client_secret}
        async with aiohttp.ClientSession() as session:
            async with session.post(server.token_url, data=form, headers=headers) as answer:
                granted = await answer.json()
            async with session.post(server.token_url, data={**form, "scope": "c"}, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]) == (400, "invalid_scope")
        signed = {"Authorization": f"Bearer {granted['access_token']}"}
        assert granted["expires_in"] == 3600
        assert (await post(server, {"model": "m", "prompt": "x"}, **signed))[0] == 200
        server.expire_tokens()
        assert (await post(server, {"model": "m", "prompt": "x"}, **signed))[0] == 401


async def test_a_stream_of_server_sent_deltas() -> None:
    async with FakeCustom(auth="none", stream_field="token", finish_field="done.reason") as server:
        _, text = await post(server, {"model": "m", "prompt": "hi", "stream": True})
        events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        assert events == [
            '{"token":"You"}',
            '{"token":" said:"}',
            '{"token":" hi"}',
            '{"done":{"reason":"stop"}}',
            "[DONE]",
        ]


async def test_a_stream_of_cumulative_lines_and_an_error_in_it() -> None:
    async with FakeCustom(
        auth="none", stream_field="text", stream_format="ndjson", stream_mode="cumulative", stream_end_field="done"
    ) as server:
        _, text = await post(server, {"model": "m", "prompt": "hi", "stream": True})
        assert [json.loads(line) for line in text.splitlines()] == [
            {"text": "You"},
            {"text": "You said:"},
            {"text": "You said: hi"},
            {"done": True},
        ]
        server.reply("one two").error_after(1, "overloaded")
        _, text = await post(server, {"model": "m", "prompt": "hi", "stream": True})
        assert json.loads(text.splitlines()[-1])["error"]["code"] == "overloaded"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"model": "m"}, "prompt is missing"),
        ({"model": "m", "prompt": 7}, "prompt: wrong type"),
        ({"model": "m", "prompt": "x", "seed": 1}, "seed: unknown field"),
        (["x"], "not an object"),
    ],
)
async def test_a_wrong_request_gets_a_problem_document(body: object, detail: str) -> None:
    async with FakeCustom(auth="none") as server:
        status, text = await post(server, body)
    assert status == 400
    assert detail in json.loads(text)["detail"]


async def test_a_scripted_failure_of_any_endpoint() -> None:
    async with FakeCustom(auth="none") as server:
        server.fail("rate_limited", headers={"retry-after": "2"})
        server.fail(503, path="/health")
        assert (await post(server, {"model": "m", "prompt": "x"}))[0] == 429
        async with aiohttp.ClientSession() as session:
            for expected in (503, 200):
                async with session.get(f"{server.base_url}/health") as answer:
                    assert answer.status == expected


async def speak(server: FakeCustom, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"POST /generate HTTP/1.0\r\nHost: x",
        b"POST /generate HTTP/1.1",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b",
        b"POST /generate HTTP/1.1\r\nHost : x",
    ],
)
async def test_a_sloppy_http_request_is_refused(fake_custom: FakeCustom, head: bytes) -> None:
    assert (await speak(fake_custom, head + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert fake_custom.requests == []


async def test_a_plain_body_that_is_cut_or_stalls_comes_in_halves(fake_custom: FakeCustom) -> None:
    fake_custom.auth = "none"
    body = b'{"model": "m", "prompt": "hello there"}'
    request = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    whole = await speak(fake_custom, request % (len(body), body))
    fake_custom.reply().cut_after(1, into=2)
    cut = await speak(fake_custom, request % (len(body), body))
    assert whole.startswith(cut)
    assert (
        cut.partition(b"\r\n\r\n")[2]
        == whole.partition(b"\r\n\r\n")[2][: len(whole.partition(b"\r\n\r\n")[2]) // 2 + 2]
    )
    stalled = fake_custom.reply().stall_after(1)
    answer = asyncio.create_task(speak(fake_custom, request % (len(body), body)))
    await stalled.wait_reached()
    stalled.release()
    assert await answer == whole
    assert [received.outcome for received in fake_custom.requests] == ["answered", "broken off", "answered"]


async def test_a_mistake_of_the_fake_itself_fails_the_test() -> None:
    server = FakeCustom(auth="none")
    server.fail("overloaded").errors_at = (0, "no such failure", None)

    async def provoke() -> None:
        async with server:
            assert (
                await speak(server, b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n\r\n" + body) == b""
            )

    body = b'{"model": "m", "prompt": "x"}'
    with pytest.raises(KeyError, match="no such failure"):
        await provoke()


async def test_a_wait_that_is_in_vain_says_what_it_waited_for(fake_custom: FakeCustom) -> None:
    with pytest.raises(TimeoutError, match="1 answers abandoned by the client; 0 open"):
        await fake_custom.wait_closed_by_client(timeout=0.01)
