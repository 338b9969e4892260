"""The chat endpoints: any client dialect in, any provider behind, whole or streamed."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Self

from msgspec import to_builtins
from msgspec.structs import replace

from caxton_llm.agents.registry import AGENT_PREFIXES
from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest, LlmError, Overloaded
from caxton_llm.near_names import nearest_name
from caxton_llm.protocols import ClientDialect
from caxton_llm.server.exchange import ClientGone, HttpExchange
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.headers import error_headers, new_request_id, response_headers, stream_headers
from caxton_llm.types import ChatRequest, ChatStream, Json
from caxton_llm.wire.conversation import CONVERSATION_HEADER

__all__ = ["ChatEndpoint", "CountEndpoint", "answer_errors", "with_conversation"]

_OURS, _NEAR = "x-caxton-", 0.85
_MESSAGE_PATH = r"\bmessages\[\d+\](?:\[\d+\]|\.\w+)*"


class ChatEndpoint:
    """`POST /v1/chat/completions`, `POST /v1/messages`: one class, because only the client's dialect differs."""

    def __init__(self, caxton: Caxton, dialect: ClientDialect, *, failures: FailureLog, max_body_bytes: int) -> None:
        self._caxton = caxton
        self._dialect = dialect
        self._failures = failures
        self._limit = max_body_bytes

    async def __call__(self, exchange: HttpExchange, *, model: str | None = None) -> None:
        """`model` is the name that the address means, where it means one."""
        arrived = time.perf_counter()
        request_id = new_request_id()
        async with answer_errors(exchange, self._dialect, request_id, self._failures) as errors:
            body = await exchange.body(self._limit)
            headers = exchange.headers()
            request = with_conversation(self._dialect.decode_request(body, headers), headers)
            if model is not None:
                request = _addressed(request, model)
            if CONVERSATION_HEADER in headers and not request.model.startswith(AGENT_PREFIXES):
                what = f"{CONVERSATION_HEADER} is for agents, and {request.model!r} is none: nothing would be kept"
                raise InvalidRequest(what, param="model")
            errors.counted_by_gateway = True
            answer = self._stream if request.stream else self._complete
            try:
                await answer(exchange, request, request_id, arrived)
            except LlmError as error:
                raise _as_the_client_wrote(error, self._dialect, request) from error.__cause__

    async def _complete(self, exchange: HttpExchange, request: ChatRequest, request_id: str, arrived: float) -> None:
        response = await exchange.while_connected(lambda: self._caxton.complete(request))
        body = self._dialect.encode_response(response, request)
        deprecation = self._caxton.deprecation(request.model)
        headers = response_headers(response, request_id, time.perf_counter() - arrived, deprecation)
        await exchange.respond(200, headers, body)

    async def _stream(self, exchange: HttpExchange, request: ChatRequest, request_id: str, arrived: float) -> None:
        async with self._caxton.stream(request) as stream:
            await exchange.while_connected(lambda: self._send_stream(exchange, request, stream, request_id, arrived))

    async def _send_stream(
        self, exchange: HttpExchange, request: ChatRequest, stream: ChatStream, request_id: str, arrived: float
    ) -> None:
        try:
            batch = await stream.next_batch()
        except StopAsyncIteration:
            batch = []
        deprecation = self._caxton.deprecation(request.model)
        await exchange.start(stream_headers(stream, request_id, time.perf_counter() - arrived, deprecation))
        encoder = self._dialect.encoder(request, stream_dialect=stream.dialect, stream_model=stream.model)
        try:
            while True:
                if data := encoder.encode(batch):
                    await exchange.write(data)
                batch = await stream.next_batch()
        except StopAsyncIteration:
            await exchange.finish(encoder.finish(_trailer(stream, request_id)))
        except LlmError as error:
            error.gateway_request_id = request_id
            self._failures.note(error, counted=True)
            await exchange.finish(encoder.fail(_as_the_client_wrote(error, self._dialect, request)))
        except asyncio.CancelledError:
            # The client is gone, or the drain time of a shutdown is over; the second kind must not look like an end.
            await exchange.finish(encoder.fail(_shutting_down(request_id)))
            raise


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises `InvalidRequest` for a header that is almost the one that is read. Others of ours may come from a gateway before
    this one."""
    for name in headers:
        if name.startswith(_OURS) and name != CONVERSATION_HEADER and nearest_name(name, [CONVERSATION_HEADER], _NEAR):
            raise InvalidRequest(f"the header {name[:100]} is not known; did you mean {CONVERSATION_HEADER}?")


def with_conversation(request: ChatRequest, headers: Mapping[str, str]) -> ChatRequest:
    """The stored conversation may be named in a header, for clients that cannot add fields to a body."""
    _check_headers(headers)
    if CONVERSATION_HEADER not in headers or "conversation_id" in request.extra:
        return request
    try:
        name = headers[CONVERSATION_HEADER].encode("latin-1").decode()  # as clients write it; ASCII stays what it is
    except UnicodeError:
        raise InvalidRequest(f"the header {CONVERSATION_HEADER} must be UTF-8", param="conversation_id") from None
    return replace(request, extra={**request.extra, "conversation_id": name})


def _addressed(request: ChatRequest, model: str) -> ChatRequest:
    if request.model not in ("default", model):
        message = f"the address means {model!r}: leave model out, or ask another one at /v1/chat/completions"
        raise InvalidRequest(message, param="model")
    return replace(request, model=model)


class CountEndpoint:
    """`POST /v1/messages/count_tokens`."""

    def __init__(
        self,
        caxton: Caxton,
        dialect: ClientDialect,
        *,
        decode: Callable[[bytes, Mapping[str, str]], ChatRequest],
        encode: Callable[[int], bytes],
        failures: FailureLog,
        max_body_bytes: int,
    ) -> None:
        self._caxton = caxton
        self._dialect = dialect
        self._decode = decode
        self._encode = encode
        self._failures = failures
        self._limit = max_body_bytes

    async def __call__(self, exchange: HttpExchange) -> None:
        request_id = new_request_id()
        async with answer_errors(exchange, self._dialect, request_id, self._failures):
            request = self._decode(await exchange.body(self._limit), exchange.headers())
            try:
                count = await exchange.while_connected(lambda: self._caxton.count_tokens(request, parts=False))
            except LlmError as error:
                raise _as_the_client_wrote(error, self._dialect, request) from error.__cause__
            headers = [
                (b"content-type", b"application/json"),
                (b"x-caxton-request-id", request_id.encode()),
                (b"x-caxton-provider", count.provider.encode("ascii", "replace")),
                (b"x-caxton-tokens", b"estimated" if count.estimated else b"exact"),
            ]
            await exchange.respond(200, headers, self._encode(count.tokens))


class answer_errors:  # noqa: N801 - used like a function, in `async with`
    """Turns what is raised inside into an answer in the client's dialect: never a stack trace, never silence.

    `counted_by_gateway` is set when the request is handed to the gateway, which counts it from then on.
    """

    __slots__ = ("_dialect", "_exchange", "_failures", "_request_id", "counted_by_gateway")

    def __init__(self, exchange: HttpExchange, dialect: ClientDialect, request_id: str, failures: FailureLog) -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._request_id = request_id
        self._failures = failures
        self.counted_by_gateway = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, ClientGone):
            return True
        if isinstance(error, LlmError):
            error.gateway_request_id = self._request_id
            self._failures.note(error, counted=self.counted_by_gateway and _reached_provider(error))
            await self._answer(error)
            return True
        if isinstance(error, asyncio.CancelledError):
            # The server cancels a request only when the drain time of a shutdown is over. This is the outermost frame of its
            # task: nobody above waits for the cancellation, and the server would log it as a failure of the application.
            ended = _shutting_down(self._request_id)
            self._failures.note(ended, counted=self.counted_by_gateway)
            await self._answer(ended)
            return True
        if isinstance(error, Exception):
            # The message of an unexpected error may hold a prompt, so nobody gets to see it.
            told = _Internal(f"internal error; the gateway's log has it under {self._request_id}")
            told.gateway_request_id = self._request_id
            self._failures.note_internal(told, error, counted=self.counted_by_gateway)
            await self._answer(told)
            return True
        return False

    async def _answer(self, error: LlmError) -> None:
        if not self._exchange.started:
            body = self._dialect.encode_error(error)
            await self._exchange.respond(error.http_status, error_headers(error, self._request_id), body)


def _reached_provider(error: LlmError) -> bool:
    return error.provider is not None or bool(error.attempts or error.skipped)


def _as_the_client_wrote(error: LlmError, dialect: ClientDialect, request: ChatRequest) -> LlmError:
    """The error with the paths of the client's own request: of the field at fault, and wherever its text names one."""
    at_fault = rf"|^{re.escape(error.param)}(?![\w.\[])" if error.param else ""
    paths = re.compile(_MESSAGE_PATH + at_fault)
    error.reword(lambda text: paths.sub(lambda path: dialect.client_path(path[0], request), text))
    return error


def _shutting_down(request_id: str) -> LlmError:
    error = Overloaded("the gateway is shutting down", source="gateway")
    error.gateway_request_id = request_id
    return error


class _Internal(LlmError):
    kind = "internal"
    http_status = 500


def _trailer(stream: ChatStream, request_id: str) -> dict[str, Json]:
    """What a stream knows only at its end. The context is told again: there was none when an answer that begins with parts
    being read began, and calls of tools have made it another one since."""
    return {
        "request_id": request_id,
        "provider": stream.provider,
        "model": stream.model,
        "attempts": stream.attempts,
        "failed_attempts": [asdict(attempt) for attempt in stream.failed_attempts],
        "skipped": [asdict(skip) for skip in stream.skipped],
        "degraded": stream.degraded,
        "cost_usd": stream.cost_usd,
        "warnings": stream.warnings,
        **({} if stream.context is None else {"context": to_builtins(stream.context)}),
    }
