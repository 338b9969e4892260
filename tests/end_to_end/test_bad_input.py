"""What a client should not have sent: an answer in its dialect with the path of the field, never a 500, and life goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agreeable import ANTHROPIC, COUNT, OPENAI, agreeable_gateway, body_of, checked
from chat_clients import ChatClient, problem_of
from live_gateway import LiveGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LARGEST = 32 * MIB


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[LiveGateway]:
    async with agreeable_gateway() as running:
        yield running


async def assert_still_serving(http: httpx.AsyncClient) -> None:
    for path in (OPENAI, ANTHROPIC):
        assert (await http.post(path, json=body_of(path))).status_code == 200


# -- no JSON object -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"model": "builtin", "messages": [}',
        b"hello",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b'{"model": "builtin"} trailing',
        b'{"model": NaN}',
        b"\xef\xbb\xbf{}",
        b"\x00\x01\x02",
        b"\x1f\x8b\x08\x00compressed",
        b"[" * 100_000,
        b'{"messages":' * 5_000,
        b'{"model": "builtin", "messages": [{"role": "user", "content": ' + b"[" * 3_000 + b"]" * 3_000 + b"}]}",
        b'{"model": "builtin", "metadata": ' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"}",
    ],
)
async def test_what_is_no_json_object_is_refused(http: httpx.AsyncClient, path: str, body: bytes) -> None:
    checked(await http.post(path, content=body), path)
    await assert_still_serving(http)


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])
@pytest.mark.parametrize("where", ["content", "name", "field"])
async def test_text_that_is_not_utf8_is_refused_wherever_it_stands(
    http: httpx.AsyncClient, path: str, where: str
) -> None:
    body = json.dumps(body_of(path, x_marker_field={"x_marker_name": "x_marker_content"})).encode()
    checked(await http.post(path, content=body.replace(f"x_marker_{where}".encode(), b"\xff\xfe\xe9")), path)
    checked(await http.post(path, content=body.replace(b"hello", b"he\xe9llo")), path)
    await assert_still_serving(http)


# -- fields -------------------------------------------------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [CALL]}
USER = {"role": "user", "content": "hello"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [USER, {"content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [USER]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
        ({"messages": [USER, ASSISTANT, USER]}, "messages[1].tool_calls[0].id"),
        ({"messages": [USER, ASSISTANT]}, "messages[1].tool_calls[0].id"),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": -5}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stop": [1]}, "stop[0]"),
        ({"tools": "f"}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"logit_bias": {"a": "b"}}, "logit_bias[...]"),
    ],
)
async def test_an_openai_client_is_told_the_path_of_the_field(
    http: httpx.AsyncClient, changes: dict[str, Any], param: str
) -> None:
    error = checked(await http.post(OPENAI, json=body_of(OPENAI, **changes)), OPENAI)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": ...}, "model"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [USER, {"content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c9"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"messages": [USER, USE, USER]}, "messages[1].content[0].id"),
        ({"messages": [USER, USE]}, "messages[1].content[0].id"),
        ({"max_tokens": ...}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"stream": 1}, "stream"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"input_schema": {"type": "object"}}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "must"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    ],
)
async def test_an_anthropic_client_is_told_the_path_of_the_field(
    http: httpx.AsyncClient, changes: dict[str, Any], param: str
) -> None:
    error = checked(await http.post(ANTHROPIC, json=body_of(ANTHROPIC, **changes)), ANTHROPIC)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])
async def test_an_unknown_model_is_404_with_what_exists(http: httpx.AsyncClient, path: str) -> None:
    error = checked(await http.post(path, json=body_of(path, model="gpt-99")), path, 404)
    assert error["param"] == "model"
    assert all(name in error["message"] for name in ("builtin", "openai", "default"))


async def test_an_openai_request_without_a_model_goes_to_the_default(http: httpx.AsyncClient) -> None:
    response = await http.post(OPENAI, json=body_of(OPENAI, model=...))
    assert (response.status_code, response.headers["x-caxton-provider"]) == (200, "builtin")


# -- sizes --------------------------------------------------------------------------------------------------------------


async def test_a_body_over_the_limit_is_413_for_a_client_that_is_still_sending(
    client: ChatClient, http: httpx.AsyncClient
) -> None:
    with pytest.raises(client.status_error) as caught:
        await client.ask("builtin", "x" * (40 * MIB))
    error: Any = caught.value
    assert error.status_code == 413
    assert problem_of(error)["kind"] == "request_too_large"
    assert str(LARGEST) in problem_of(error)["message"]
    await assert_still_serving(http)


async def test_a_body_without_a_length_is_limited_too(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * MIB

    checked(await http.post(OPENAI, content=pieces()), OPENAI, 413)
    await assert_still_serving(http)


async def test_a_body_of_the_largest_size_is_served(http: httpx.AsyncClient) -> None:
    body = json.dumps(body_of(OPENAI)).encode()
    response = await http.post(OPENAI, content=body + b" " * (LARGEST - len(body)))
    assert response.status_code == 200


async def test_a_body_without_end_is_answered_and_not_read_for_ever(gateway: LiveGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(30):
            writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            piece = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
            answering = asyncio.ensure_future(reader.readline())
            while not answering.done():
                writer.write(piece)
                await writer.drain()
            assert (await answering).startswith(b"HTTP/1.1 413 ")
    finally:
        writer.close()


# -- beside the endpoints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT, "/v1/models", "/health/live", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_wrong_method_is_405_in_the_clients_dialect(http: httpx.AsyncClient, path: str, method: str) -> None:
    right = "POST" if path in (OPENAI, ANTHROPIC, COUNT) else "GET"
    response = await http.request(method, path)
    if method == right:
        assert response.status_code in (200, 400)
        return
    checked(response, path if path in (ANTHROPIC, COUNT) else OPENAI, 405)
    assert right in response.headers["allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/completions",
        "/v1/chat/completions/",
        "/v1/embeddings",
        "/v1/messages/batches",
        "/%ff",
        "/x" * 4000,
    ],
)
async def test_an_unknown_path_is_404_in_the_clients_dialect(http: httpx.AsyncClient, path: str) -> None:
    dialect = ANTHROPIC if path.startswith("/v1/messages") else OPENAI
    for method in ("GET", "POST"):
        error = checked(await http.request(method, path), dialect, 404)
        assert error["code"] == "unknown_url"
    headers = {"anthropic-version": "2023-06-01"}
    checked(await http.get(path, headers=headers), ANTHROPIC, 404)


@pytest.mark.parametrize("size", [100_000, 4_000_000])
async def test_huge_headers_never_break_anything(http: httpx.AsyncClient, gateway: LiveGateway, size: int) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as other:
        try:
            response = await other.post(OPENAI, json=body_of(OPENAI), headers={"x-huge": "x" * size})
        except httpx.TransportError:
            pass  # refused by closing
        else:
            assert response.status_code < 500
    await assert_still_serving(http)


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        b"POST /v1/messages HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http_is_answered_or_closed(
    http: httpx.AsyncClient, gateway: LiveGateway, sent: bytes
) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            writer.write(sent)
            writer.write_eof()
            answer = await reader.read()
    finally:
        writer.close()
    assert b" 500 " not in answer
    await assert_still_serving(http)
