"""Agents that call each other's capabilities: how deep they are, and that none is called by itself."""

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import AgentCallRefused

__all__ = ["Call", "CallChain"]


class Call(Struct, frozen=True):
    """An agent at work; `capability` is empty where it was asked by its name."""

    agent: str
    capability: str = ""

    def __str__(self) -> str:
        return f"{self.agent} ({self.capability})" if self.capability else self.agent


class CallChain(Struct, frozen=True, kw_only=True):
    """Who has called whom, the first caller first. `limit` is how many agents may be at work at once, from 1."""

    limit: int = 5
    calls: tuple[Call, ...] = ()

    def calling(self, agent: str, capability: str = "") -> "CallChain":
        """The chain with one more agent. Raises `AgentCallRefused` for an agent that is in it already, or one too many; the
        message names the chain."""
        call = Call(agent, capability)
        calls = (*self.calls, call)
        if any(other.agent == agent for other in self.calls):
            raise AgentCallRefused(f"agents call each other in a circle: {_told(calls)}")
        if len(calls) > self.limit:
            raise AgentCallRefused(
                f"more than {self.limit} agents call each other: {_told(calls)}; raise context.max_agent_depth if it is meant"
            )
        return replace(self, calls=calls)


def _told(calls: tuple[Call, ...]) -> str:
    return " -> ".join(map(str, calls))
