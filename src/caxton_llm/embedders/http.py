"""Embedders that are asked over HTTP: any server with OpenAI's `/v1/embeddings`, and Ollama's `/api/embed`."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence, Set

import numpy as np
from msgspec import Struct

from caxton_llm.errors import (
    ContextWindowExceeded,
    FirstByteTimeout,
    LlmError,
    MalformedResponse,
    MisusedError,
    RequestTooLarge,
)
from caxton_llm.loop_thread import LoopThread
from caxton_llm.memory.embedding.embedder import Floats
from caxton_llm.protocols import Clock, Origin, Transport, WireRequest, WireResponse
from caxton_llm.routing.policy import allows_repeat
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire.embeddings import EmbeddingDialect, decode_embeddings, encode_embeddings
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.quotes import secret_forms, without_quotes

__all__ = ["BATCH_CHARACTERS", "EmbeddingEndpoint", "HttpEmbedder"]

BATCH_CHARACTERS = 200_000
"""Characters of one request, unless a single text is longer: OpenAI takes 300,000 tokens."""
_SHORTEST_CUT = 200
"""Characters below which a text that is too long for the model is no longer halved."""
_SHORTEST_SECRET = 8
"""Shorter keys are words; hiding them would spoil messages."""


class EmbeddingEndpoint(Struct, frozen=True, kw_only=True):
    """Where an embedder asks, and for what. `headers` sign the request, so no `repr` shows them."""

    dialect: EmbeddingDialect
    origin: Origin
    path: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()
    dimensions: int | None = None
    """Asked of the model; `None`: it gives what it has."""

    @property
    def name(self) -> str:
        """What tells these vectors from all others: model, kind, host, and dimensions where they are asked for."""
        name = f"{self.model}@{self.dialect}:{self.origin.authority}"
        return name if self.dimensions is None else f"{name}#{self.dimensions}"

    def __repr__(self) -> str:
        return f"EmbeddingEndpoint({self.name!r})"


class HttpEmbedder:
    """An `Embedder` over HTTP that blocks, for any thread. Texts go out in batches, one after another.

    `known_dimensions` are those of vectors that are kept under this name; without them and without `endpoint.dimensions`,
    the first use embeds one word to learn them. 429, 5xx and failed connections are repeated as `retry` says, within
    `timeouts.deadline_s` for each batch. Raises what `HttpProvider` raises; no error shows a text or one of
    `secrets`, which are asked for when there is an error.
    """

    def __init__(
        self,
        endpoint: EmbeddingEndpoint,
        transport: Transport,
        *,
        known_dimensions: int | None = None,
        batch_size: int = 64,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        secrets: Callable[[], Set[str]] = frozenset,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._dimensions = endpoint.dimensions if known_dimensions is None else known_dimensions
        self._batch_size = batch_size
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or RetryPolicy()
        self._secrets = secrets
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._starting = threading.Lock()
        self._closed = False
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        return f"HttpEmbedder({self.name!r})"

    @property
    def name(self) -> str:
        """`<model>@<kind>:<host>`, and `#<dimensions>` where they are asked for."""
        return self._endpoint.name

    @property
    def dimensions(self) -> int:
        """Asks the server the first time, unless they are known."""
        if self._dimensions is None:
            self.embed(["word"])
        if self._dimensions is None:
            raise MisusedError("an embedding has told no dimensions")
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Floats:
        """A row of length 1 for each text; of zeros for a blank one, which is not sent."""
        sent = [number for number, text in enumerate(texts) if text.strip()]
        found = self._loop().run(self._embed([texts[number] for number in sent])) if sent else None
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        if found is not None:
            rows[sent] = found
        return rows

    def close(self) -> None:
        """Close all connections and end what is under way; a later use raises `MisusedError`. Safe to call twice."""
        with self._starting:
            self._closed = True
        if self._thread is not None:
            self._thread.close(self._transport.aclose())

    def _loop(self) -> LoopThread:
        with self._starting:
            if self._closed:
                raise _closed()
            if self._thread is None:
                self._thread = LoopThread("caxton-embedder", _closed)
            return self._thread

    # -- on the loop ----------------------------------------------------------------------------------------------------

    async def _embed(self, texts: list[str]) -> Floats:
        parts = [await self._fitted(batch) for batch in self._batches(texts)]
        return np.concatenate(parts)

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            if batch and (len(batch) >= self._batch_size or size + len(text) > BATCH_CHARACTERS):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            yield batch

    async def _fitted(self, batch: list[str]) -> Floats:
        """What is too long for the model is found by asking, and its beginning is embedded: one long text must not keep
        the others from being embedded."""
        try:
            return await self._repeated(batch)
        except (ContextWindowExceeded, RequestTooLarge):
            if len(batch) > 1:
                return np.concatenate([await self._fitted([text]) for text in batch])
            if len(batch[0]) < 2 * _SHORTEST_CUT:
                raise
            return await self._fitted([batch[0][: len(batch[0]) // 2]])

    async def _repeated(self, batch: list[str]) -> Floats:
        """One batch, sent again as often as `retry` allows."""
        until = self._clock() + self._timeouts.deadline_s
        for attempts in range(1, self._retry.max_attempts + 1):
            try:
                return self._unit_rows(await self._once(batch))
            except LlmError as error:
                self._tell(error, batch)
                wait = self._retry.delay_s(
                    error, attempts=attempts, remaining_s=until - self._clock(), jitter=self._jitter
                )
                if wait is None or not allows_repeat(error, more_targets=False):
                    raise
            await self._sleep(wait)
        raise MisusedError("a retry policy allows at least one attempt")

    async def _once(self, batch: list[str]) -> Floats:
        endpoint = self._endpoint
        request = WireRequest(
            method="POST",
            origin=endpoint.origin,
            path=endpoint.path,
            headers=endpoint.headers,
            body=encode_embeddings(endpoint.dialect, batch, model=endpoint.model, dimensions=endpoint.dimensions),
        )
        try:
            async with asyncio.timeout(self._timeouts.attempt_s):
                answer = await self._whole(request)
        except TimeoutError:
            message = f"no answer within {self._timeouts.attempt_s:g} s (memory.embedder.timeout_seconds)"
            raise FirstByteTimeout(message) from None
        if not 200 <= answer.status < 300:
            raise classify_failure(answer)
        return decode_embeddings(endpoint.dialect, answer.body, count=len(batch))

    async def _whole(self, request: WireRequest) -> WireResponse:
        response = await self._transport.send(
            request, connect_timeout_s=self._timeouts.connect_s, idle_timeout_s=self._timeouts.idle_s
        )
        try:
            return WireResponse(status=response.status, headers=response.headers, body=await response.read())
        finally:
            response.abort()

    def _unit_rows(self, rows: Floats) -> Floats:
        wanted, found = self._dimensions, rows.shape[1]
        if wanted is not None and found != wanted:
            raise MalformedResponse(
                f"the vectors have {found} numbers instead of {wanted}: the model behind this name has changed, or it cannot"
                " be asked for dimensions; name another model, or set memory.embedder.dimensions to what it gives",
                should_retry=False,
            )
        self._dimensions = found
        # Scaled first, so that no square of a very large or a very small number is lost.
        largest = np.abs(rows).max(axis=1, keepdims=True)
        scaled = np.zeros_like(rows)
        np.divide(rows, largest, out=scaled, where=largest > 0)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        np.divide(scaled, lengths, out=scaled, where=lengths > 0)
        return scaled

    def _tell(self, error: LlmError, batch: list[str]) -> None:
        """Say where it happened, without the texts and the secrets that a server may repeat."""
        error.locate(
            provider=f"{self._endpoint.dialect} embedder at {self._endpoint.origin}", model=self._endpoint.model
        )
        forms = {form for secret in self._secrets() if len(secret) >= _SHORTEST_SECRET for form in secret_forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            error.hide(form)
        asked = ChatRequest(messages=[Message(role="user", content=text) for text in batch])
        error.reword(lambda told: without_quotes(told, asked))


def _closed() -> MisusedError:
    return MisusedError("this embedder is closed")
