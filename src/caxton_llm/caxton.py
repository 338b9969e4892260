"""The library: one object that reaches every configured provider."""

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from caxton_llm.agents.registry import AGENT_PREFIXES
from caxton_llm.assembly import Assembly, assemble
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file, load_mapping
from caxton_llm.dispatch.target import Target
from caxton_llm.errors import ContextWindowExceeded, InvalidRequest, ProviderError, TransportError, UnknownModel
from caxton_llm.gateway import Gateway
from caxton_llm.http_provider import HttpProvider
from caxton_llm.model_info import ModelInfo
from caxton_llm.observers.reading import TargetReading
from caxton_llm.observers.record import Observer
from caxton_llm.protocols import LlmProvider
from caxton_llm.tokens import O200kCounter, PromptParts, TokenCalibration, prompt_parts
from caxton_llm.types import ChatRequest, ChatResponse, ChatStream, Json
from caxton_llm.wire.openai_chat import client as openai_chat_client
from caxton_llm.wire.written import written

if TYPE_CHECKING:
    from caxton_llm.agent_service import AgentService
    from caxton_llm.context.document import ContextDocument
    from caxton_llm.memory_system import Memory
    from caxton_llm.target_status import TargetStatus

__all__ = ["Caxton", "TokenCount"]


_VENDOR_ROUNDING = 1.01
"""Vendors call their own count in advance an estimate that may differ "by a small amount"; a server's tokenizer is exact."""


_OF_CONTEXT = "counted with the agent's instructions, tools and context, as they would be sent now"


class TokenCount(msgspec.Struct, frozen=True):
    """Prompt tokens of a request; `estimated` when the provider itself does not count.

    The real number is at most `at_most` in all but one case of a thousand. `parts` says what each component costs and adds
    up to `tokens`; `None` where it was not asked for, and for agents. `notes` say what could not be counted, and why.
    """

    tokens: int
    estimated: bool
    provider: str
    at_most: int
    parts: PromptParts | None = None
    notes: tuple[str, ...] = ()


class Caxton:
    """Every configured provider behind one interface.

        async with Caxton.from_file("caxton.yaml") as caxton:
            response = await caxton.complete_chat(messages=[{"role": "user", "content": "Hello"}])
            print(response.text)

    Raises `ConfigurationError` when it is made, `LlmError`s when it is used, and `RuntimeError` when it is used after it was
    closed, or in an event loop while its connections live in another one that is still open.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        environ: Mapping[str, str] | None = None,
        observers: Sequence[Observer] = (),
        memory: "Memory | None" = None,
    ) -> None:
        """`memory` is what agents remember with; without one they use the configured one."""
        self.configuration = configuration
        self._assembly: Assembly = assemble(configuration, observers, environ, memory=memory)
        self.gateway: Gateway = self._assembly.gateway
        agents = self._assembly.agents
        self.token_calibration = TokenCalibration() if agents is None else agents.engine.calibration
        """How the vocabulary's counts differ from the real ones, by model; it learns from counts, and from usage that is
        told to it."""
        self._closed = False
        self._started = False

    @classmethod
    def from_file(
        cls, path: str | Path, *, environ: Mapping[str, str] | None = None, observers: Sequence[Observer] = ()
    ) -> Self:
        """From a YAML file. Raises `ConfigurationError` with everything that is wrong with it."""
        return cls(load_file(Path(path), environ), environ=environ, observers=observers)

    @classmethod
    def from_dict(
        cls,
        configuration: Mapping[str, Json],
        *,
        environ: Mapping[str, str] | None = None,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """From the structure that a YAML file would have."""
        return cls(load_mapping(configuration, environ), environ=environ, observers=observers)

    async def complete_chat(self, request: ChatRequest | None = None, /, **parameters: Json) -> ChatResponse:
        """A whole answer.

        Takes a `ChatRequest`, or its fields by name with messages and tools as dicts in OpenAI's shape. `model` names an
        agent, a capability, an entry, a model or `default`, which it is when it is not given.
        """
        self._require_open()
        if parameters.get("stream"):
            raise InvalidRequest("complete_chat gives a whole answer: stream_chat streams", param="stream")
        return await self.complete(_request(request, parameters))

    def stream_chat(self, request: ChatRequest | None = None, /, **parameters: Json) -> ChatStream:
        """A streamed answer; takes what `complete_chat` takes. Nothing is sent before the first iteration."""
        self._require_open()
        return self.stream(_request(request, {**parameters, "stream": True} if request is None else parameters))

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """A whole answer to a request that has been checked, from an agent or a model."""
        agents = self._agents_for(request)
        return await (self.gateway.complete(request) if agents is None else agents.complete(request))

    def stream(self, request: ChatRequest) -> ChatStream:
        """A streamed answer to a request that has been checked, from an agent or a model."""
        agents = self._agents_for(request)
        return self.gateway.stream(request) if agents is None else agents.stream(request)

    async def prepare_context(
        self, request: ChatRequest | None = None, /, *, providers: Sequence[str] = (), **parameters: Json
    ) -> "ContextDocument":
        """The context that a request to an agent would be sent with, and why: nothing is sent, and nothing is kept.

        Takes what `complete_chat` takes; `model` names an agent or a capability. `providers` are configured entries, or
        kinds (`openai`, `anthropic`, `ollama`, `vllm`), that the request is shown for, beside the agent's first target.
        """
        self._require_open()
        asked = _request(request, parameters)
        return await self._require_agents(asked).prepare(asked, providers=providers)

    @property
    def agents(self) -> "AgentService | None":
        """What answers for the configured agents; `None` where there are none."""
        return self._assembly.agents

    def _agents_for(self, request: ChatRequest) -> "AgentService | None":
        return self._assembly.agents if request.model.startswith(AGENT_PREFIXES) else None

    def _require_agents(self, request: ChatRequest) -> "AgentService":
        agents = self._assembly.agents
        if agents is None:
            message = f"model must name an agent, and {request.model!r} is none; none is configured"
            raise UnknownModel(message, param="model", code="model_not_found")
        return agents

    def provider(self, name: str = "default") -> LlmProvider:
        """The provider behind a name, without retries and deadlines. Raises `UnknownModel`."""
        self._require_open()
        return self.gateway.resolve(name).first.target.provider

    async def get_model_info(self, model: str = "default") -> ModelInfo:
        """What is known of a model, each fact with its source; asks the provider where it tells."""
        self._require_open()
        route = self.gateway.resolve(model).first
        provider = route.target.provider
        if not isinstance(provider, HttpProvider):
            return await provider.get_model_info()
        await provider.model_info(route.model)
        return route.target.describe(route.model)  # what was just learned, with the price

    async def count_tokens(self, request: ChatRequest, *, parts: bool = True) -> TokenCount:
        """The prompt tokens of a request: by the provider's own count where it has one, else by the vocabulary and
        `token_calibration`. `parts=False` saves the time that the components take where the provider counts.

        For an agent it is the upper bound of the prompt that it would be sent now, with instructions, tools and context, or,
        where that exceeds its budget, of the request alone."""
        self._require_open()
        route = self.gateway.resolve(request.model).first
        agents = self._agents_for(request)
        if agents is not None:
            with contextlib.suppress(ContextWindowExceeded):
                told = (await agents.prepare(request)).context_metadata.total_context_tokens
                return TokenCount(told, estimated=True, provider=route.target.name, at_most=told, notes=(_OF_CONTEXT,))
        target = route.target
        sent = msgspec.structs.replace(request, model=route.model)
        counted, notes = await _counted_by_provider(target, sent)
        if counted is not None and not parts and target.kind != "vllm":
            return TokenCount(counted, estimated=False, provider=target.name, at_most=_at_most(counted, target))
        taken = await asyncio.to_thread(prompt_parts, sent, target.kind, O200kCounter().count)
        if taken.uncounted:
            notes += (f"not counted: content of type {', '.join(taken.uncounted)}",)
        if counted is None:
            estimate = self.token_calibration.estimate_parts(route.model, target.kind, taken)
            tokens, at_most, estimated = estimate.tokens, estimate.at_most, True
        else:
            self.token_calibration.learn_parts(route.model, target.kind, taken, counted)
            images = taken.images if target.kind == "vllm" else 0  # its tokenizer sees their placeholders only
            tokens, at_most, estimated = counted + images, _at_most(counted, target) + images, images > 0
        return TokenCount(tokens, estimated, target.name, at_most, taken.scaled_to(tokens) if parts else None, notes)

    def deprecation(self, model: str) -> str | None:
        """A sentence about the end of a model's life when it has ended or is announced, else `None`."""
        return self._assembly.deprecations.get(model)

    def model_names(self) -> list[tuple[str, str]]:
        """Every name that a request may use, with the entry that it leads to."""
        return [(name, route.first.target.name) for name, route in self.gateway.routes.items()]

    def target_names(self) -> list[str]:
        """The configured entries, in their order."""
        return [state.target.name for state in self._assembly.states]

    def reset_target(self, name: str) -> None:
        """Trust an entry again at once: its circuit breaker, pauses and resting keys are forgotten. Raises `UnknownModel`."""
        self._require_open()
        for state in self._assembly.states:
            if state.target.name == name:
                state.reset()
                return
        known = ", ".join(self.target_names())
        raise UnknownModel(f"no entry is called {name!r}; there is: {known}", param="name")

    def provider_states(self) -> "list[TargetStatus]":
        """How every configured entry has been doing since this object was made."""
        now, wall = time.monotonic(), time.time()
        from caxton_llm.target_status import describe_target  # noqa: PLC0415 - a part of the package's import that few need

        return [describe_target(state, now, wall) for state in self._assembly.states]

    def readings(self) -> list[TargetReading]:
        """The same as figures, for `PrometheusObserver.watch`."""
        now = time.monotonic()
        from caxton_llm.target_status import read_target  # noqa: PLC0415

        return [read_target(state, now) for state in self._assembly.states]

    async def start(self) -> None:
        """Begin what runs in the background: health checks and alerts, as far as they are configured. `async with` does it.
        Starting twice is starting once."""
        self._require_open()
        if not self._started:
            self._started = True
            self._assembly.start()

    async def aclose(self) -> None:
        """Stop what runs in the background, and close all connections. Safe to call twice."""
        self._closed = True
        await self._assembly.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Caxton is closed")


def _request(request: ChatRequest | None, parameters: dict[str, Json]) -> ChatRequest:
    """The request itself, or the fields checked the way a client's request is."""
    if request is not None:
        if not isinstance(request, ChatRequest):
            found = type(request).__name__
            raise InvalidRequest(f"expected a ChatRequest, found {found}: give messages by name, messages=[...]")
        if parameters:
            raise InvalidRequest("give a ChatRequest or its fields by name, not both", param=next(iter(parameters)))
        return request
    return openai_chat_client.decode_request(written({"model": "default", **parameters}), {})


async def _counted_by_provider(target: Target, request: ChatRequest) -> tuple[int | None, tuple[str, ...]]:
    """The provider's own count, or `None` and why there is none although there should be."""
    if not isinstance(target.provider, HttpProvider):
        return None, ()
    try:
        return await target.provider.count_tokens(request), ()
    except (ProviderError, TransportError) as error:
        if target.kind != "vllm":
            raise
        # Proxies before a vLLM often pass on `/v1` alone; an estimate is better than none.
        return None, (f"estimated, because /tokenize of the server did not answer: {error.kind}",)


def _at_most(counted: int, target: Target) -> int:
    return counted if target.kind == "vllm" else math.ceil(counted * _VENDOR_ROUNDING)
