"""The gateway as an ASGI application. The chat endpoints are plain ASGI, because they are the hot path; Starlette, which
costs a third of the throughput, serves the rest."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest, UnknownModel
from caxton_llm.observers.prometheus import PrometheusObserver
from caxton_llm.server.admin import admin_operations
from caxton_llm.server.agents import agent_operations
from caxton_llm.server.chat import ChatEndpoint, CountEndpoint
from caxton_llm.server.conversations import conversation_operations
from caxton_llm.server.conversations.work import ConversationWork
from caxton_llm.server.exchange import WATCH_AFTER_S, HttpExchange, Receive, Scope, Send
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.memory import memory_operations
from caxton_llm.server.memory.work import MemoryWork
from caxton_llm.server.openapi import openapi_operation
from caxton_llm.server.operation import routes_of
from caxton_llm.server.responses import error_response, json_response
from caxton_llm.timers import FixedDelay
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from caxton_llm.wire.openai_chat import client as openai_chat_client

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = ["GatewayApp"]

_PUBLISH_S = 0.5
"""How old the metrics of another worker process may be."""

_Endpoint = Callable[[HttpExchange], Awaitable[None]]


class GatewayApp:
    """Serves one `Caxton`, which it starts and closes with the server, and perhaps a memory, which it closes.

    `accepting` is false while the server drains: `/health/ready` then answers 503, so that a load balancer looks elsewhere.
    """

    def __init__(
        self,
        caxton: Caxton,
        metrics: PrometheusObserver | None,
        *,
        max_body_bytes: int,
        memory: "Memory | None" = None,
    ) -> None:
        self.caxton = caxton
        self._memory_work = MemoryWork(memory)
        self._conversation_work = ConversationWork(caxton)
        self._metrics = metrics
        self.accepting = True
        self._started = datetime.now(UTC).replace(microsecond=0)
        self._patience = FixedDelay(WATCH_AFTER_S)
        failures = FailureLog(metrics)
        openai = ChatEndpoint(caxton, openai_chat_client, failures=failures, max_body_bytes=max_body_bytes)
        anthropic = ChatEndpoint(caxton, anthropic_messages_client, failures=failures, max_body_bytes=max_body_bytes)
        count = CountEndpoint(
            caxton,
            anthropic_messages_client,
            decode=anthropic_messages_client.decode_count_request,
            encode=anthropic_messages_client.encode_count,
            failures=failures,
            max_body_bytes=max_body_bytes,
        )
        self._hot: dict[str, _Endpoint] = {
            "/v1/chat/completions": openai,
            "/v1/messages": anthropic,
            "/v1/messages/count_tokens": count,
        }
        self._rest = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/metrics", self._render_metrics),
                *self._administration(openai, failures, max_body_bytes),
            ],
            exception_handlers={404: _no_such_path, 405: _no_such_method},
        )

    @property
    def routes(self) -> list[BaseRoute]:
        """What is answered beside chat."""
        return self._rest.routes

    def _administration(self, chat: ChatEndpoint, failures: FailureLog, max_body_bytes: int) -> list[Route]:
        operations = [
            *admin_operations(self.caxton),
            *agent_operations(self.caxton, chat, self._patience),
            *conversation_operations(self.caxton, self._conversation_work, failures),
            *memory_operations(self._memory_work, failures),
        ]
        operations.append(openapi_operation(operations, version("caxton-llm")))
        return routes_of(operations, failures, max_body_bytes=max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self._hot.get(scope["path"])
            if endpoint is not None and scope["method"] == "POST":
                await endpoint(HttpExchange(scope, receive, send, patience=self._patience))
            elif endpoint is not None:
                await _no_such_method(Request(scope), None)(scope, receive, send)
            else:
                await self._rest(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.caxton.start()
        await send({"type": "lifespan.startup.complete"})
        async with self._publishing():
            await receive()
        await asyncio.to_thread(self._conversation_work.close)
        await self.caxton.aclose()
        await asyncio.to_thread(self._memory_work.close)
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _publishing(self) -> AsyncIterator[None]:
        """Where several processes share their metrics, hand this one's over now and then, and at the end."""
        metrics = self._metrics
        if metrics is None or not metrics.is_shared:
            yield
            return

        async def publish() -> None:
            while True:
                await asyncio.sleep(_PUBLISH_S)
                metrics.publish()

        task = asyncio.create_task(publish())
        try:
            yield
        finally:
            task.cancel()
            metrics.publish()

    # -- the rest -------------------------------------------------------------------------------------------------------

    async def _models(self, request: Request) -> Response:
        entries = [self._model_entry(request, name, provider) for name, provider in self.caxton.model_names()]
        if "anthropic-version" in request.headers:
            page = {"data": entries, "has_more": False, "first_id": None, "last_id": None}
            if entries:
                page |= {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]}
            return json_response(page)
        return json_response({"object": "list", "data": entries})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        for known, provider in self.caxton.model_names():
            if known == name:
                return json_response(self._model_entry(request, known, provider))
        return error_response(request, UnknownModel.among(name, [known for known, _ in self.caxton.model_names()]))

    def _model_entry(self, request: Request, name: str, provider: str) -> dict[str, object]:
        """A name exists here since the gateway started; when the model behind it was made, nobody tells."""
        if "anthropic-version" in request.headers:
            since = self._started.isoformat().replace("+00:00", "Z")
            return {"type": "model", "id": name, "display_name": name, "created_at": since}
        return {"id": name, "object": "model", "created": int(self._started.timestamp()), "owned_by": provider}

    async def _live(self, _request: Request) -> Response:
        return json_response({"status": "live"})

    async def _ready(self, _request: Request) -> Response:
        targets = self.caxton.target_names()
        ready = self.accepting and bool(targets)
        body = {
            "status": "ready" if ready else "draining" if targets else "no provider configured",
            "providers": targets,
        }
        return json_response(body, status=200 if ready else 503)

    async def _render_metrics(self, request: Request) -> Response:
        if self._metrics is None:
            off = InvalidRequest("metrics are switched off (llm.monitoring.metrics_enabled)", code="unknown_url")
            return error_response(request, off, status=404)
        return Response(self._metrics.render(), headers={"content-type": self._metrics.content_type})


def _no_such_path(request: Request, _cause: Exception | None) -> Response:
    path = request.url.path
    message = f"there is no {request.method} {path}; chat is at /v1/chat/completions and /v1/messages"
    if path.startswith("/v1/v1/"):
        message += ". A base_url ends in /v1 for clients of OpenAI, and without it for clients of Anthropic"
    return error_response(request, InvalidRequest(message, code="unknown_url"), status=404)


def _no_such_method(request: Request, cause: Exception | None) -> Response:
    """`cause` is Starlette's, which knows the methods of its routes; the chat endpoints have none but POST."""
    known = cause.headers if isinstance(cause, HTTPException) else None
    allowed = (known or {}).get("Allow", "POST")
    message = f"{request.url.path} does not answer {request.method}, only {allowed}"
    response = error_response(request, InvalidRequest(message, code="method_not_allowed"), status=405)
    response.headers["allow"] = allowed
    return response
