"""A provider that is reached over HTTP: a pure adapter joined with a transport.

One call is one attempt; retries, deadlines and fallback belong to `gateway`. Nothing per request lives on the provider.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Set

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import (
    Authentication,
    FirstByteTimeout,
    LlmError,
    MalformedResponse,
    ProviderFailure,
    StreamInterrupted,
    UnsupportedFeature,
)
from caxton_llm.media import inline_images
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import (
    BlockingCredentials,
    Clock,
    Credentials,
    Exchange,
    ProviderAdapter,
    StreamDecoder,
    Transport,
    TransportResponse,
    VersionedAdapter,
    WireRequest,
    WireResponse,
)
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.timers import FixedDelay, TimeLimit
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.quotes import secret_forms, without_quotes
from caxton_llm.wire.whole import chunk_of

__all__ = ["HttpProvider", "VersionPin"]

_END_GRACE_S = 5.0
"""How long to wait for usage and the end marker once every choice has finished: some servers send neither."""

_SHORTEST_SECRET = 8
"""Shorter keys are words that servers of one's own are given where any key will do; hiding them would spoil messages."""

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-ms-request-id")
_SSE_DIALECTS = frozenset({"openai_chat", "anthropic_messages"})


class VersionPin(Struct, frozen=True):
    """`model_version` pins what may answer: another version is refused, or named in a warning (`auto_upgrade`)."""

    version: str
    refuses_others: bool

    def check(self, answered_by: str, warnings: list[str]) -> None:
        """Raises `ProviderFailure`, or adds to `warnings`."""
        if not answered_by or answered_by == self.version:
            return
        problem = f"model_version pins {self.version!r}, but {answered_by!r} answered"
        if self.refuses_others:
            raise ProviderFailure(f"{problem}, and auto_upgrade is false", should_retry=False)
        warnings.append(problem)


class HttpProvider:
    """An `LlmProvider` over HTTP.

    `describe` gives what is known of a model without asking anybody; `learn` keeps what the provider says of one, so that
    later requests are encoded by it, and returns what is known then. Raises the errors of the adapter, the transport and
    the credentials, each saying which provider and model it concerns. `secrets` tells further values of the configuration
    that no error may show.
    """

    def __init__(
        self,
        adapter: ProviderAdapter,
        transport: Transport,
        credentials: Credentials,
        *,
        main_model: str,
        describe: Callable[[str], ModelInfo],
        learn: Callable[[ModelInfo], ModelInfo],
        timeouts: Timeouts,
        streams: bool = True,
        pin: VersionPin | None = None,
        image_hosts: tuple[str, ...] = (),
        secrets: Callable[[], Set[str]] = frozenset,
        clock: Clock = time.monotonic,
    ) -> None:
        self.adapter = adapter
        self._transport = transport
        self._credentials = credentials
        self._main_model = main_model
        self._describe = describe
        self._learn = learn
        self._timeouts = timeouts
        self._streams = streams
        self._pin = pin
        self._image_hosts = image_hosts
        self._secrets = secrets
        self._clock = clock
        self.on_headers: Callable[[Mapping[str, str]], None] | None = None
        """Hears the headers of every answer to a chat: they tell of the provider's rate limits."""
        self._end_grace = FixedDelay(_END_GRACE_S)
        self._refreshing = asyncio.Lock()
        self._refreshing_on: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"HttpProvider({self.adapter.name!r}, {self.adapter.kind!r}, {self._main_model!r})"

    # -- LlmProvider ----------------------------------------------------------------------------------------------------

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        """One attempt at a whole answer."""
        request_id: str | None = None
        try:
            exchange = await self._open(request, stream=False)
            sent = self._clock()
            response = await self._send(exchange.request)
            request_id = _request_id(response)
            self._tell_headers(response)
            try:
                whole = WireResponse(status=response.status, headers=response.headers, body=await response.read())
            finally:
                response.abort()
            upstream_s = self._clock() - sent
            if not 200 <= whole.status < 300:
                raise self._refusal(exchange, whole)
            answer = exchange.decode(whole)
            self._check_version(answer.model, answer.warnings)
        except LlmError as error:
            raise self._told(error, request.model, request_id, request) from error.__cause__
        answer.provider = self.adapter.name
        answer.created = answer.created or int(time.time())  # not every dialect tells it, every client expects it
        answer.request_id = request_id
        answer.params = exchange.params
        answer.upstream_s = upstream_s
        return answer

    def stream_chat(self, request: ChatRequest) -> ChatStream:
        """One attempt at a streamed answer; nothing is sent before the first iteration."""

        def source(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            return self._batches(request, stream)

        return ChatStream(source, dialect=self.adapter.dialect, provider=self.adapter.name, model=request.model)

    async def get_model_info(self) -> ModelInfo:
        """What is known of the entry's model, with what the provider itself says of it where it says anything."""
        return await self.model_info(self._main_model)

    def supports_function_calling(self) -> bool:
        """False only when the model is known to have no tools."""
        return self._describe(self._main_model).capabilities.tools is not False

    def supports_streaming(self) -> bool:
        return self._streams and self._describe(self._main_model).capabilities.streaming is not False

    # -- beyond the interface -------------------------------------------------------------------------------------------

    def describe(self) -> ModelInfo:
        """What is known of the entry's model without asking the provider."""
        return self._describe(self._main_model)

    async def model_info(self, model: str) -> ModelInfo:
        """`get_model_info` of any model of the entry."""
        request = self.adapter.model_info_request(model)
        if request is None:
            return self._describe(model)
        try:
            told = self.adapter.decode_model_info(model, await self._fetch(request))
            return self._learn(await self._with_version(told))
        except LlmError as error:
            raise self._told(error, model) from error.__cause__

    async def _with_version(self, told: ModelInfo) -> ModelInfo:
        version = await self.server_version()
        if version is None:
            return told
        return replace(told, server_version=version, sources={**told.sources, "server_version": "provider"})

    async def server_version(self) -> str | None:
        """What the server says of its version; `None` when it says nothing, as a proxy in front of it may well do."""
        adapter = self.adapter
        if isinstance(adapter, VersionedAdapter):
            with contextlib.suppress(LlmError):
                return adapter.decode_version(await self._fetch(adapter.version_request()))
        return None

    async def probe(self) -> None:
        """Ask the provider's cheapest endpoint. Raises when it is down or refuses the credentials."""
        request = self.adapter.probe()
        if request is None:
            raise UnsupportedFeature("this provider has no endpoint to probe: set provider_config.health_path")
        await self._fetch(request)

    async def count_tokens(self, request: ChatRequest) -> int | None:
        """The prompt tokens as the provider counts them; `None` when it does not count."""
        counting = self.adapter.count_request(request, self._describe(request.model))
        if counting is None:
            return None
        try:
            return self.adapter.decode_count(await self._fetch(counting))
        except LlmError as error:
            raise self._told(error, request.model, asked=request) from error.__cause__

    async def fetch(self, request: WireRequest) -> bytes:
        """The body of a signed administrative request; raises like `complete_chat`."""
        return await self._fetch(request)

    # -- one exchange ---------------------------------------------------------------------------------------------------

    async def _open(self, request: ChatRequest, *, stream: bool) -> Exchange:
        if self.adapter.inline_images:
            request = await inline_images(request, self._transport, allowed_hosts=self._image_hosts)
        return self.adapter.open(request, self._describe(request.model), stream=stream)

    async def _send(self, request: WireRequest) -> TransportResponse:
        """Sign and send; a refused token is replaced once."""
        response = await self._send_signed(request)
        if response.status == 401 and self._credentials.refreshable:
            response.abort()
            self._credentials.invalidate()
            response = await self._send_signed(request)
        return response

    def _tell_headers(self, response: TransportResponse) -> None:
        if self.on_headers is not None:
            self.on_headers(response.headers)

    async def _send_signed(self, request: WireRequest) -> TransportResponse:
        headers = self._credentials.headers(self._clock())
        if headers is None:
            headers = await self._fresh_headers()
        if headers:
            request = request.with_headers(*headers)
        return await self._transport.send(
            request, connect_timeout_s=self._timeouts.connect_s, idle_timeout_s=self._timeouts.idle_s
        )

    async def _fresh_headers(self) -> tuple[tuple[str, str], ...]:
        """Fetch a token once, however many requests wait for it."""
        loop = asyncio.get_running_loop()
        if loop is not self._refreshing_on:  # a lock belongs to the first loop in which anybody waited for it
            self._refreshing_on, self._refreshing = loop, asyncio.Lock()
        async with self._refreshing:
            headers = self._credentials.headers(self._clock())
            if headers is None:
                await self._refresh()
                headers = self._credentials.headers(self._clock())
        if headers is None:
            raise Authentication("the token endpoint gave no usable token")
        return headers

    async def _refresh(self) -> None:
        credentials = self._credentials
        if isinstance(credentials, BlockingCredentials):
            await asyncio.to_thread(credentials.refresh_blocking)
            return
        flow = credentials.refresh(self._clock())
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._whole(request))
        except StopIteration:
            return

    async def _whole(self, request: WireRequest) -> WireResponse:
        """Send an unsigned request and read all of its answer, within the limits of one attempt."""
        try:
            async with asyncio.timeout(self._timeouts.attempt_s):
                response = await self._transport.send(
                    request, connect_timeout_s=self._timeouts.connect_s, idle_timeout_s=self._timeouts.idle_s
                )
                try:
                    return WireResponse(status=response.status, headers=response.headers, body=await response.read())
                finally:
                    response.abort()
        except TimeoutError:
            raise ProviderFailure(
                f"no answer from {request.origin} within {self._timeouts.attempt_s:g} s (timeout_seconds)"
            ) from None

    async def _fetch(self, request: WireRequest) -> bytes:
        """The body of a signed request that is no chat, within the limit of one attempt."""
        request_id: str | None = None
        try:
            async with asyncio.timeout(self._timeouts.attempt_s):
                response = await self._send(request)
                request_id = _request_id(response)
                try:
                    body = await response.read()
                finally:
                    response.abort()
            whole = WireResponse(status=response.status, headers=response.headers, body=body)
            if not 200 <= whole.status < 300:
                raise classify_failure(whole)
        except TimeoutError:
            slow = FirstByteTimeout(f"no answer within {self._timeouts.attempt_s:g} s (timeout_seconds)")
            raise self._told(slow, None, request_id) from None
        except LlmError as error:
            raise self._told(error, None, request_id) from error.__cause__
        return body

    def _told(
        self, error: LlmError, model: str | None, request_id: str | None = None, asked: ChatRequest | None = None
    ) -> LlmError:
        """The error with where it happened, and without the secrets and the prompt that a provider may repeat in it."""
        error.locate(provider=self.adapter.name, model=model, request_id=request_id)
        signed = {value.rpartition(" ")[2] for _, value in self._credentials.headers(self._clock()) or ()}
        secrets = [secret for secret in self._secrets() | signed if len(secret) >= _SHORTEST_SECRET]
        for form in sorted({form for secret in secrets for form in secret_forms(secret)}, key=len, reverse=True):
            error.hide(form)
        if asked is not None:
            error.reword(lambda text: without_quotes(text, asked))
        return error

    def _refusal(self, exchange: Exchange, response: WireResponse) -> LlmError:
        if 300 <= response.status < 400:
            return ProviderFailure(
                "the provider answered with a redirect, which is not followed: set base_url to the final address",
                status=response.status,
                should_retry=False,
            )
        return exchange.classify(response)

    def _check_version(self, answered_by: str, warnings: list[str]) -> None:
        if self._pin is not None:
            self._pin.check(answered_by, warnings)

    # -- streams --------------------------------------------------------------------------------------------------------

    async def _batches(self, request: ChatRequest, stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
        if not self._streams:
            answer = await self.complete_chat(request)
            answer.params.mapped["stream"] = "the whole answer in one event"
            self._describe_stream(stream, answer)
            yield [chunk_of(answer)]
            return
        response: TransportResponse | None = None
        try:
            exchange = await self._open(request, stream=True)
            stream.params = exchange.params
            sent = self._clock()
            response = await self._send(exchange.request)
            stream.request_id = _request_id(response)
            self._tell_headers(response)
            if not 200 <= response.status < 300:
                whole = WireResponse(status=response.status, headers=response.headers, body=await response.read())
                raise self._refusal(exchange, whole)
            unstreamed = await self._unstreamed(exchange, response)
            if unstreamed is not None:
                self._check_version(unstreamed.model, unstreamed.warnings)
                unstreamed.request_id, unstreamed.params = stream.request_id, exchange.params
                self._describe_stream(stream, unstreamed)
                yield [chunk_of(unstreamed)]
                return
            decoder = exchange.decoder()
            async for batch in _decoded(response, decoder, self._end_grace):
                if stream.upstream_s is None:
                    stream.upstream_s = self._clock() - sent
                    batch[0].created = batch[0].created or int(time.time())
                self._note(stream, batch)
                yield batch
            stream.warnings.extend(getattr(decoder, "warnings", ()))
            response.release()
            response = None
        except LlmError as error:
            raise self._told(error, request.model, stream.request_id, request) from error.__cause__
        finally:
            if response is not None:
                response.abort()

    async def _unstreamed(self, exchange: Exchange, response: TransportResponse) -> ChatResponse | None:
        """Some servers answer a request for a stream with a page or a whole answer, or put an error into a 200."""
        content_type = response.headers.get("content-type", "")
        if content_type.startswith("text/html"):
            raise MalformedResponse(
                "the provider answered a stream with an HTML page; check base_url", status=response.status
            )
        if self.adapter.dialect in _SSE_DIALECTS and content_type.startswith("application/json"):
            whole = WireResponse(status=response.status, headers=response.headers, body=await response.read())
            return exchange.decode(whole)
        return None

    def _describe_stream(self, stream: ChatStream, answer: ChatResponse) -> None:
        stream.dialect = ""
        stream.model, stream.usage, stream.params = answer.model, answer.usage, answer.params
        stream.request_id, stream.warnings, stream.upstream_s = answer.request_id, answer.warnings, answer.upstream_s

    def _note(self, stream: ChatStream, batch: list[ChatChunk]) -> None:
        for chunk in batch:
            if chunk.usage is not None:
                stream.usage = chunk.usage
            if chunk.model and chunk.model != stream.model:
                self._check_version(chunk.model, stream.warnings)
                stream.model = chunk.model


async def _decoded(
    response: TransportResponse, decoder: StreamDecoder, grace: FixedDelay
) -> AsyncGenerator[list[ChatChunk], None]:
    """The chunks of a body; raises the stream's own failure after the chunks before it."""
    while not decoder.done:
        try:
            data = await _next_bytes(response, decoder, grace)
        except StreamInterrupted:
            if not decoder.finished:
                raise
            data = b""
        chunks = decoder.feed(data) if data else decoder.close()
        if chunks:
            yield chunks
        if decoder.failure is not None:
            raise decoder.failure
        if not data:
            return


async def _next_bytes(response: TransportResponse, decoder: StreamDecoder, grace: FixedDelay) -> bytes:
    if not decoder.finished:
        return await response.read_some()
    try:
        with TimeLimit(grace.start):
            return await response.read_some()
    except TimeoutError:
        return b""


def _request_id(response: TransportResponse) -> str | None:
    headers = response.headers
    for name in _REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name]
    return None
