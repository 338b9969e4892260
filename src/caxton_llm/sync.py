"""The library without `async`: a blocking facade over `Caxton`, for scripts and notebooks.

One background thread runs the event loop; every method may be called from any thread.
"""

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from caxton_llm.caxton import Caxton, TokenCount
from caxton_llm.loop_thread import LoopThread
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ChatStream,
    ContextReport,
    Json,
    ParameterReport,
    Usage,
)

if TYPE_CHECKING:
    from caxton_llm.context.document import ContextDocument

__all__ = ["SyncCaxton", "SyncChatStream"]

_T = TypeVar("_T")


class SyncCaxton:
    """`Caxton`, blocking. Use it in a `with` statement, which also begins health checks and alerts, or call `close()`.

    Raises what `Caxton` raises; `RuntimeError` after it was closed, also in threads that wait for an answer meanwhile.
    """

    def __init__(self, caxton: Caxton) -> None:
        self._caxton = caxton
        self._thread = LoopThread("caxton-llm", _closed)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """From a YAML file; raises `ConfigurationError` with everything that is wrong with it."""
        return cls(Caxton.from_file(path))

    @classmethod
    def from_dict(cls, configuration: Mapping[str, Json]) -> Self:
        """From the same structure as a mapping."""
        return cls(Caxton.from_dict(configuration))

    def complete_chat(self, request: ChatRequest | None = None, /, **parameters: Json) -> ChatResponse:
        """Like `Caxton.complete_chat`."""
        return self._run(self._caxton.complete_chat(request, **parameters))

    def stream_chat(self, request: ChatRequest | None = None, /, **parameters: Json) -> "SyncChatStream":
        """Like `Caxton.stream_chat`."""
        return SyncChatStream(self, self._caxton.stream_chat(request, **parameters))

    def prepare_context(
        self, request: ChatRequest | None = None, /, *, providers: Sequence[str] = (), **parameters: Json
    ) -> "ContextDocument":
        """Like `Caxton.prepare_context`."""
        return self._run(self._caxton.prepare_context(request, providers=providers, **parameters))

    def get_model_info(self, model: str = "default") -> ModelInfo:
        """Like `Caxton.get_model_info`."""
        return self._run(self._caxton.get_model_info(model))

    def count_tokens(self, request: ChatRequest, *, parts: bool = True) -> TokenCount:
        """Like `Caxton.count_tokens`."""
        return self._run(self._caxton.count_tokens(request, parts=parts))

    def deprecation(self, model: str) -> str | None:
        """Like `Caxton.deprecation`."""
        return self._caxton.deprecation(model)

    def model_names(self) -> list[tuple[str, str]]:
        """Like `Caxton.model_names`."""
        return self._caxton.model_names()

    def target_names(self) -> list[str]:
        """Like `Caxton.target_names`."""
        return self._caxton.target_names()

    def close(self) -> None:
        """Close all connections and end the thread. Safe to call twice."""
        self._thread.close(self._caxton.aclose())

    def __enter__(self) -> Self:
        self._run(self._caxton.start())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._thread.run(work)


def _closed() -> RuntimeError:
    return RuntimeError("this Caxton is closed")


class SyncChatStream:
    """`ChatStream`, blocking: iterate over it for chunks, close it to stop the provider."""

    def __init__(self, owner: SyncCaxton, stream: ChatStream) -> None:
        self._owner = owner
        self._stream = stream

    def __iter__(self) -> Iterator[ChatChunk]:
        return self

    def __next__(self) -> ChatChunk:
        chunk = self._owner._run(self._next())
        if chunk is None:
            raise StopIteration
        return chunk

    async def _next(self) -> ChatChunk | None:
        # StopAsyncIteration cannot leave a coroutine, so the end is a value here.
        async for chunk in self._stream:
            return chunk
        return None

    @property
    def usage(self) -> Usage | None:
        """The usage of the whole answer; known when the iteration has ended."""
        return self._stream.usage

    @property
    def cost_usd(self) -> float | None:
        return self._stream.cost_usd

    @property
    def params(self) -> ParameterReport:
        return self._stream.params

    @property
    def warnings(self) -> list[str]:
        """What the caller should know although the answer came; complete when the iteration has ended."""
        return self._stream.warnings

    @property
    def attempts(self) -> int:
        """How often the request was sent."""
        return self._stream.attempts

    @property
    def context(self) -> ContextReport | None:
        """For an agent's answer."""
        return self._stream.context

    @property
    def request_id(self) -> str | None:
        """The provider's own name for the request."""
        return self._stream.request_id

    @property
    def model(self) -> str:
        return self._stream.model

    @property
    def provider(self) -> str:
        return self._stream.provider

    def close(self) -> None:
        """Stop: the connection to the provider is closed if the answer is not complete."""
        if not self._owner._thread.is_closed:
            self._owner._run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
