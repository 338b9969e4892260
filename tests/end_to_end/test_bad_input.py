"""What a client should not have sent: an answer in its dialect with the path of the field, never a 500, and life goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_clients import ChatClient, problem_of
from fakes.http_server import HttpServer, Received, Response
from live_gateway import LiveGateway, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI, ANTHROPIC, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
MIB = 1024 * 1024
LARGEST = 32 * MIB
KINDS = ("openai", "azure", "anthropic", "vllm", "ollama", "custom")


class Agreeable(HttpServer):
    """Takes anything, and answers every vendor's endpoint with a good answer."""

    def respond(self, request: Received) -> Response:
        if request.path == "/api/chat":
            answer: Any = {"model": "m", "message": {"role": "assistant", "content": "ok"}, "done": True}
        elif request.path == "/tokenize":
            answer = {"count": 1}
        elif request.path.endswith("/count_tokens"):
            answer = {"input_tokens": 1}
        elif request.path == "/v1/messages":
            content = [{"type": "text", "text": "ok"}]
            head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
            answer = {**head, "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
        elif request.path == "/generate":
            answer = {"text": "ok"}
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
            answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return Response(headers={"content-type": "application/json"}, events=[json.dumps(answer).encode() + b"\n"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[LiveGateway]:
    async with Agreeable() as provider:
        url = provider.root_url
        entries: list[dict[str, Any]] = [{"provider": "builtin"}]
        for kind in KINDS:
            where: dict[str, Any] = {"base_url": url, "api_key": "k"}
            if kind == "azure":
                where = {"endpoint": url, "api_key": "k", "deployment_name": "d"}
            elif kind == "custom":
                where = {"provider_config": {"base_url": url, "path": "/generate", "auth_type": "none"}}
            entries.append({"provider": kind, "model": "m", **where})
        async with gateway_with({"llm": {"providers": entries, "retry_policy": {"max_attempts": 1}}}) as running:
            yield running


def body_of(path: str, **changes: Any) -> dict[str, Any]:
    """A good request with changes; `...` takes a field away."""
    body: dict[str, Any] = {"model": "builtin", "messages": [{"role": "user", "content": "hello"}]}
    if path == ANTHROPIC:
        body["max_tokens"] = 50
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ...}


def checked(response: httpx.Response, path: str, status: int = 400) -> Any:
    """The error of an answer, whose shape is that of the endpoint's dialect."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-should-retry"] == "false"
    assert "Traceback" not in response.text
    body = response.json()
    error = body["error"]
    if path != OPENAI:
        assert body["type"] == "error"
        assert body["request_id"] == response.headers["x-caxton-request-id"]
    else:
        assert set(body) == {"error"}
        assert error["request_id"] == response.headers["x-caxton-request-id"]
    assert error["source"] == "gateway"
    assert error["message"]
    return error


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


# -- anything -----------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CACHED = {"cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eA=="}

OPENAI_TURNS: list[list[Any]] = [
    [{"role": "system", "content": "Be brief."}],
    [{"role": "developer", "content": [{"type": "text", "text": "Be brief.", **CACHED}]}],
    [USER],
    [
        {
            "role": "user",
            "name": "me",
            "content": [{"type": "text", "text": "a", **CACHED}, {"type": "text", "text": "b"}],
        }
    ],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://x.invalid/a.png", "detail": "low"}}],
        }
    ],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"}}],
        }
    ],
    [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "thinking_blocks": [THOUGHT, REDACTED]}],
    [{"role": "assistant", "content": [{"type": "text", "text": "Hi"}], "refusal": None}],
    [{"role": "assistant", "refusal": "No."}],
    [ASSISTANT, {"role": "tool", "tool_call_id": "c1", "content": "1"}],
    [
        {
            **ASSISTANT,
            "tool_calls": [CALL, {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "[1"}}],
        },
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ],
    [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
]
OPENAI_FIELDS: dict[str, list[Any]] = {
    "max_completion_tokens": [5],
    "temperature": [0, 0.5],
    "top_p": [1],
    "stop": ["x", ["x", "y"]],
    "n": [1, 2],
    "seed": [1],
    "logprobs": [True],
    "logit_bias": [{"5": 1}],
    "user": ["u"],
    "metadata": [{"a": "b"}],
    "reasoning_effort": ["none", "low", "high"],
    "verbosity": ["low"],
    "service_tier": ["auto"],
    "parallel_tool_calls": [False],
    "tools": [[{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}, **CACHED}]],
    "tool_choice": ["auto", "none", "required", {"type": "function", "function": {"name": "f"}}],
    "response_format": [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
    ],
    "functions": [[{"name": "f", "parameters": SCHEMA}]],
    "function_call": ["auto", {"name": "f"}],
    "stream": [True],
    "top_k": [5],
    "thinking": [{"type": "enabled", "budget_tokens": 1024}],
    "guided_json": [SCHEMA],
    "options": [{"num_ctx": 100}],
    "keep_alive": ["5m"],
    "x_unknown": [{"a": 1}],
}
ANTHROPIC_TURNS: list[list[Any]] = [
    [USER],
    [{"role": "user", "content": [{"type": "text", "text": "a", **CACHED}, {"type": "text", "text": "b"}]}],
    [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
        }
    ],
    [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x.invalid/a.png"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}],
        }
    ],
    [{"role": "user", "content": [{"type": "document", "title": "t", "source": {"type": "file", "file_id": "f"}}]}],
    [{"role": "system", "content": "Be brief."}],
    [{"role": "assistant", "content": "Hi"}],
    [{"role": "assistant", "content": [THOUGHT, REDACTED, {"type": "text", "text": "Hi", "citations": None}]}],
    [{"role": "assistant", "content": [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}]}],
    [
        USE,
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1", "is_error": True}]},
    ],
    [
        USE,
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "1", **CACHED}]},
                {"type": "text", "text": "and?"},
            ],
        },
    ],
]
ANTHROPIC_FIELDS: dict[str, list[Any]] = {
    "system": ["Be brief.", [{"type": "text", "text": "Be brief.", **CACHED}]],
    "temperature": [0, 0.5],
    "top_p": [1],
    "top_k": [5],
    "stop_sequences": [["x"]],
    "metadata": [{"user_id": "u"}],
    "tools": [
        [{"name": "f", "input_schema": SCHEMA, **CACHED}],
        [{"type": "web_search_20250305", "name": "web_search"}],
    ],
    "tool_choice": [
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "any"},
        {"type": "tool", "name": "f"},
    ],
    "thinking": [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}, {"type": "disabled"}],
    "output_config": [{"effort": "low"}, {"format": {"type": "json_schema", "schema": SCHEMA}}],
    "service_tier": ["auto"],
    "stream": [True],
    "container": ["c"],
    "x_unknown": [{"a": 1}],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key of it, at any depth."""
    found: list[tuple[Any, Any]] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += [(value, key), *places_in(item)]
    return found


@st.composite
def requests_to(draw: st.DrawFn, path: str) -> dict[str, Any]:
    """A good request with up to two places spoiled: another value, or none."""
    turns, fields = (OPENAI_TURNS, OPENAI_FIELDS) if path == OPENAI else (ANTHROPIC_TURNS, ANTHROPIC_FIELDS)
    chosen = draw(st.lists(st.sampled_from(turns), max_size=3))
    body = body_of(path, messages=[USER, *(message for turn in chosen for message in turn)])
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True)):
        body[name] = draw(st.sampled_from(fields[name]))
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(0, 2))):
        container, key = draw(st.sampled_from(places_in(body)))
        if draw(st.booleans()):
            container[key] = draw(JSON)
        else:
            del container[key]
        if not body:
            break
    return {**body, "model": draw(st.sampled_from(["builtin", *KINDS]))}


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_whatever_comes_is_served_or_refused_but_never_breaks(
    http: httpx.AsyncClient, path: str, data: st.DataObject
) -> None:
    response = await http.post(path, content=json.dumps(data.draw(requests_to(path))).encode())
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        checked(response, path, response.status_code)
