"""The fakes: a provider, a transport and a clock that do what a test says."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping

from msgspec.structs import replace

from caxton_llm.errors import LlmError
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import TransportResponse, WireRequest, WireResponse
from caxton_llm.types import ChatChunk, ChatRequest, ChatResponse, ChatStream, Choice, Message, Usage
from caxton_llm.wire.whole import chunk_of

__all__ = ["FakeClock", "FakeProvider", "ScriptedTransport"]

Reply = str | ChatResponse | LlmError


class FakeProvider:
    """An `LlmProvider` that gives the next of its replies to each request and keeps the requests in `requests`.

    A reply is a text, a whole `ChatResponse`, or an `LlmError` that is raised. The last reply repeats.

        provider = FakeProvider("Hello!", RateLimited("slow down"))
    """

    def __init__(self, *replies: Reply, model: str = "fake-model") -> None:
        if not replies:
            raise ValueError("a FakeProvider needs at least one reply")
        self._replies = replies
        self._model = model
        self.requests: list[ChatRequest] = []

    async def complete_chat(self, request: ChatRequest) -> ChatResponse:
        reply = self._replies[min(len(self.requests), len(self._replies) - 1)]
        self.requests.append(request)
        if isinstance(reply, LlmError):
            raise reply
        if isinstance(reply, ChatResponse):
            return replace(reply)
        message = Message(role="assistant", content=reply)
        return ChatResponse(
            id=f"fake-{len(self.requests)}",
            model=self._model,
            choices=[Choice(index=0, message=message, finish_reason="stop")],
            usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
        )

    def stream_chat(self, request: ChatRequest) -> ChatStream:
        async def batches(stream: ChatStream) -> AsyncGenerator[list[ChatChunk], None]:
            response = await self.complete_chat(request)
            stream.usage = response.usage
            yield [chunk_of(response)]

        return ChatStream(batches, provider="fake", model=self._model)

    async def get_model_info(self) -> ModelInfo:
        return ModelInfo(id=self._model, provider="fake")

    def supports_function_calling(self) -> bool:
        return True

    def supports_streaming(self) -> bool:
        return True


class ScriptedTransport:
    """A `Transport` that answers from a list and keeps what was sent in `requests`.

    An answer is a `WireResponse`, whose body a stream gets in pieces of `piece` bytes, or an `LlmError` that is raised.
    """

    def __init__(self, answers: Iterable[WireResponse | LlmError], *, piece: int = 1 << 16) -> None:
        self._answers = list(answers)
        self._piece = piece
        self.requests: list[WireRequest] = []

    async def send(
        self,
        request: WireRequest,
        *,
        connect_timeout_s: float,  # noqa: ARG002 - part of the contract
        idle_timeout_s: float | None,  # noqa: ARG002
    ) -> TransportResponse:
        self.requests.append(request)
        if not self._answers:
            raise AssertionError("the ScriptedTransport has no answer left")
        answer = self._answers.pop(0)
        if isinstance(answer, LlmError):
            raise answer
        return _ScriptedResponse(answer, self._piece)

    async def aclose(self) -> None:
        pass


class _ScriptedResponse:
    def __init__(self, answer: WireResponse, piece: int) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._body = answer.body
        self._piece = piece

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def read_some(self) -> bytes:
        piece, self._body = self._body[: self._piece], self._body[self._piece :]
        return piece

    def release(self) -> None:
        self._body = b""

    def abort(self) -> None:
        self._body = b""


class FakeClock:
    """A clock that stands still until `sleep` or `advance` moves it: pass it as `clock` and its `sleep` as `sleep`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        """Returns at once, having moved the clock."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
