"""Agents made by hand for tests: configurations over fake providers, and what was sent and kept."""

import json
from collections.abc import Mapping
from pathlib import Path

from caxton_llm import Caxton
from caxton_llm.agent_service import AgentService
from caxton_llm.agents.conversation import Exchange
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import ChatStream, Json, Message
from fakes import FakeOpenAI
from fakes.provider import FakeProvider

__all__ = ["agents_of", "configured", "drained", "entry", "exchange", "sent", "store_of", "user"]

PATIENT = {"conversation_ms": 60_000, "memory_ms": 60_000, "tools_ms": 60_000}


def entry(server: FakeProvider, **more: Json) -> dict[str, Json]:
    kind, model = ("openai", "gpt-4o") if isinstance(server, FakeOpenAI) else ("anthropic", "claude-sonnet-4-5")
    return {"provider": kind, "model": model, "api_key": server.api_key, "base_url": server.base_url, **more}


def configured(folder: Path, llm: Json, *agents: Json, context: Mapping[str, Json] = {}, **more: Json) -> Json:
    kept = {"data_dir": str(folder / "conversations")}
    shared = {"time_limits": PATIENT, "conversations": kept, **context}
    return {"llm": llm, "agents": list(agents), "context": shared, **more}


def sent(server: FakeProvider, place: int = -1) -> Json:
    """The body of a request that the provider got."""
    return json.loads(server.requests[place].body)


def agents_of(caxton: Caxton) -> AgentService:
    agents = caxton._assembly.agents
    assert agents is not None
    return agents


def store_of(caxton: Caxton) -> ConversationStore:
    return agents_of(caxton).engine.sources.conversations()


def user(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


def exchange(asked: str, answered: str) -> Exchange:
    return Exchange(messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)))


async def drained(stream: ChatStream) -> None:
    async for _ in stream:
        pass
