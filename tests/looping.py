"""Loops of agents made by hand for tests: scripted models, and requests that say what a model was sent."""

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from caxton_llm.agent_loop.loop import AgentLoop, FitterOf
from caxton_llm.agent_loop.tool_runner import ToolRunner
from caxton_llm.dispatch.fitting import Fitter, Ready, for_model
from caxton_llm.dispatch.target import Candidate
from caxton_llm.protocols import LlmProvider
from caxton_llm.testing import FakeClock
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ChatStream,
    Choice,
    FunctionCall,
    FunctionDefinition,
    Json,
    Message,
    Tool,
    ToolCall,
    Usage,
)
from routed import candidate, gateway

__all__ = ["asked", "call", "calling", "fitter_of", "function", "loop_of", "progress_of", "read", "results_of", "spec"]


class _Appending(Fitter):
    """The request with the agent's tools beside the caller's, and the steps behind its messages."""

    def __init__(self, tools: Sequence[ToolSpec], steps: Sequence[Message]) -> None:
        self._tools = [function(tool.name, tool.input_schema) for tool in tools]
        self._steps = list(steps)

    async def fit(self, request: ChatRequest, candidate: Candidate, *, too_long: bool) -> Ready | str:
        tools = [*self._tools, *(request.tools or [])]
        messages = [*request.messages, *self._steps]
        return Ready(for_model(replace(request, messages=messages, tools=tools or None), candidate.model))

    leaves_first = False


def fitter_of(runner: ToolRunner) -> FitterOf:
    return lambda steps: _Appending(runner.tools, steps)


def loop_of(provider: LlmProvider, runner: ToolRunner, *, cost: float | None = 0.5, **options: Any) -> AgentLoop:
    """A loop over one target, each of whose answers costs `cost`."""
    clock = FakeClock()
    target = candidate("main", provider, clock=clock, cost=lambda _asked, _answered, _usage: cost)
    return AgentLoop(gateway(target, clock=clock), runner, **options)


def asked(text: str = "Do it", **more: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text)], **more)


def call(name: str, arguments: Json = None, *, id: str = "") -> ToolCall:  # noqa: A002 - the field's name
    """A call; `arguments` that are a text are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return ToolCall(id=id or f"call_{name}", function=FunctionCall(name, text))


def calling(*calls: ToolCall, text: str | None = None, usage: Usage | None = None, finish: Any = None) -> ChatResponse:
    """An answer that calls tools."""
    message = Message(role="assistant", content=text, tool_calls=list(calls))
    choice = Choice(index=0, message=message, finish_reason=finish or "tool_calls")
    return ChatResponse(id="answer", model="m", choices=[choice], usage=usage or Usage(prompt_tokens=1))


def spec(name: str, server: str = "odd", remote_name: str = "", **more: Any) -> ToolSpec:
    given: dict[str, Any] = {"description": "", "input_schema": {"type": "object"}, "requirements": None, **more}
    return ToolSpec(name=name, server=server, remote_name=remote_name or name, **given)


def function(name: str, schema: Json = None) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, parameters=schema or {"type": "object"}))


def results_of(request: ChatRequest) -> list[str]:
    """The results of tools that a model was sent."""
    return [str(message.content) for message in request.messages if message.role == "tool"]


async def read(stream: ChatStream) -> list[ChatChunk]:
    """All chunks of a stream."""
    async with stream:
        return [chunk async for chunk in stream]


def progress_of(chunks: Sequence[ChatChunk]) -> list[tuple[str, str]]:
    """Tools and their states, in the order in which they were told."""
    return [(chunk.progress["tool"], chunk.progress["state"]) for chunk in chunks if chunk.progress is not None]
