"""Agents that are asked by other agents, for what they offer."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from caxton_llm.agent_loop.time_limit import TimeLimit
from caxton_llm.agents.agent import Agent
from caxton_llm.agents.chain import CallChain
from caxton_llm.types import ChatRequest, ChatResponse, Json, Message

__all__ = ["Answering", "CapabilityCalls"]

Answering = Callable[[ChatRequest, CallChain, float | None], Awaitable[ChatResponse]]
"""What answers requests to agents, within so many seconds. The chain has the asked agent at its end already."""


class CapabilityCalls:
    """Asks the agents that offer a capability, on behalf of `agent`, which works on `request` and must end within
    `limit`."""

    def __init__(self, answer: Answering, request: ChatRequest, agent: Agent, limit: TimeLimit) -> None:
        self._answer = answer
        self._request = request
        self._agent = agent
        self._limit = limit

    async def __call__(self, capability: str, arguments: dict[str, Json], chain: CallChain) -> ChatResponse:
        """The answer; its warnings say whose they are.

        `arguments` are parameters of the request; `request` or `user_request`, where it is text, is what is said."""
        said = arguments.get("request", arguments.get("user_request"))
        asked = ChatRequest(
            model=f"capability:{capability}",
            messages=[Message(role="user", content=said if isinstance(said, str) else _written(arguments))],
            user=self._request.user,
            safety_identifier=self._request.safety_identifier,
            extra={"context": {"request_parameters": arguments, "requesting_agent": self._agent.name}},
        )
        answer = await self._answer(asked, chain, self._limit.left_s)
        name = chain.calls[-1].agent
        return replace(answer, warnings=[f"agent {name}: {warning}" for warning in answer.warnings])


def _written(arguments: dict[str, Json]) -> str:
    return msgspec.json.encode(arguments).decode()
