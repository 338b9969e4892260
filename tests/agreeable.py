"""A provider of every kind that agrees with everything, and a gateway in front of it: what is wrong was the client's doing.

`body_of` makes a good request, `checked` proves that a refusal is what a client of the endpoint's dialect expects.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from fakes.http_server import HttpServer, Received, Response
from live_gateway import LiveGateway, gateway_with

__all__ = ["ANTHROPIC", "COUNT", "KINDS", "OPENAI", "agreeable_gateway", "body_of", "checked"]

OPENAI, ANTHROPIC, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
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


@contextlib.asynccontextmanager
async def agreeable_gateway() -> AsyncIterator[LiveGateway]:
    """A gateway with an entry for each of `KINDS`, named after it, and `builtin`."""
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
