"""`POST /api/v1/context/prepare`: the context document over HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.types import Json, Message
from hashing_embedder import HashingEmbedder
from live_gateway import gateway_with

PATH = "/api/v1/context/prepare"
ASKED: dict[str, Json] = {
    "model": "agent:Reporter",
    "messages": [{"role": "user", "content": "Write the quarterly sales report"}],
}


def configuration(folder: Path) -> dict[str, Json]:
    return {
        "llm": {
            "providers": [
                {"provider": "builtin", "name": "offline"},
                {
                    "provider": "anthropic",
                    "name": "claude",
                    "model": "claude-sonnet-4-5",
                    "api_key": "sk-ant-do-not-show",
                    "base_url": "http://127.0.0.1:9",
                    "max_tokens": 321,
                },
            ]
        },
        "agents": [
            {
                "name": "Reporter",
                "system_prompt": "You write reports.",
                "capabilities": [{"name": "report-generation", "output_formats": ["pdf"]}],
                "context": {"budget": 500},
            }
        ],
        "context": {
            "time_limits": {"conversation_ms": 20_000, "memory_ms": 20_000},
            "conversations": {"data_dir": str(folder / "conversations")},
        },
    }


@pytest_asyncio.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with ConversationStore(tmp_path / "conversations") as store:
        said = (Message(role="user", content="Analyze sales"), Message(role="assistant", content="They grew."))
        store.append(ConversationKey("q3", "Reporter"), [Exchange(messages=said)])
    memory = Memory(SqliteMemory(tmp_path / "memory", HashingEmbedder()))
    memory.add([Entity(name="Sales report", observations=(Observation("The sales report has two pages"),))])
    async with (
        gateway_with(configuration(tmp_path), memory) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=30) as client,
    ):
        yield client


async def test_a_conversation_that_there_is_not_yet_is_told(http: httpx.AsyncClient) -> None:
    document = (await http.post(PATH, json={**ASKED, "conversation_id": "typo"})).json()
    assert any("there is no conversation 'typo' of" in note for note in document["context_metadata"]["notes"])


async def test_the_document_has_the_specifications_keys_and_a_reason_for_every_candidate(
    http: httpx.AsyncClient,
) -> None:
    response = await http.post(PATH, json={**ASKED, "conversation_id": "q3", "model": "capability:report-generation"})
    assert response.status_code == 200, response.text
    document = response.json()
    assert list(document) == [
        "request_context",
        "conversation_history",
        "memory_context",
        "capability_context",
        "available_tools",
        "context_metadata",
        "candidates",
        "payloads",
    ]
    assert document["request_context"]["requested_capability"] == "report-generation"
    assert [one["content"] for one in document["conversation_history"]] == ["Analyze sales", "They grew."]
    assert [one["name"] for one in document["memory_context"]["relevant_entities"]] == ["Sales report"]
    assert document["capability_context"]["capability_requirements"]["output_formats"] == ["pdf"]
    assert document["context_metadata"]["token_budget"] == 500
    for candidate in document["candidates"]:
        assert {"source", "score", "tokens", "kept", "stage", "reason", "text"} <= set(candidate)
    assert sum(one["tokens"] for one in document["candidates"] if one["kept"]) <= 500


async def test_the_conversation_may_be_named_in_the_header(http: httpx.AsyncClient) -> None:
    response = await http.post(PATH, json=ASKED, headers={"x-caxton-conversation": "q3"})
    assert len(response.json()["conversation_history"]) == 2


async def test_payloads_are_those_of_configured_entries_and_of_kinds_without_any_key(http: httpx.AsyncClient) -> None:
    response = await http.post(PATH, json={**ASKED, "providers": ["claude", "openai", "ollama", "openai"]})
    payloads = response.json()["payloads"]
    assert set(payloads) == {"claude", "openai", "ollama"}
    assert (payloads["claude"]["model"], payloads["claude"]["max_tokens"]) == ("claude-sonnet-4-5", 321)
    assert payloads["openai"]["messages"][-1] == ASKED["messages"][0]
    assert "providers" not in json.dumps(payloads)
    assert "do-not-show" not in response.text


async def test_nothing_is_kept(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        await http.post(PATH, json={**ASKED, "conversation_id": "q3"})
    assert (await http.get("/api/v1/conversations/q3")).json()["conversation"]["length"] == 1


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "default"}, 404, "model"),
        ({"model": "agent:Nobody"}, 404, "model"),
        ({"providers": "openai"}, 400, "providers"),
        ({"providers": ["gopher"]}, 400, "providers"),
        ({"conversation_id": 7}, 400, "conversation_id"),
        ({"messages": "x"}, 400, "messages"),
    ],
)
async def test_what_is_wrong_is_named(
    http: httpx.AsyncClient, change: dict[str, Json], status: int, param: str
) -> None:
    response = await http.post(PATH, json={**ASKED, **change})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


async def test_without_agents_it_says_so() -> None:
    async with (
        gateway_with({"llm": {"provider": "builtin"}}) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as http,
    ):
        response = await http.post(PATH, json=ASKED)
    assert (response.status_code, response.json()["error"]["code"]) == (501, "no_agents")
