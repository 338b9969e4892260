"""`/api/v1/agents` and `/api/v1/capabilities` of a running gateway: what there is, and a chat by address."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from caxton_llm.types import Json
from live_gateway import gateway_with

AGENTS = "/api/v1/agents"
SECRETIVE = "You write reports, and the word of the day is xylophone."
HELLO: list[Json] = [{"role": "user", "content": "Hello"}]


def two_agents(folder: Path) -> dict[str, Json]:
    return {
        "llm": {"provider": "builtin"},
        "agents": [
            {
                "name": "Reporter",
                "description": "Writes quarterly reports",
                "capabilities": [
                    {
                        "name": "report-generation",
                        "description": "A report as PDF",
                        "output_formats": ["pdf"],
                        "performance_sla": "< 30 seconds",
                        "related": ["summaries"],
                        "input_schema": {"type": "object", "properties": {"template": {"type": "string"}}},
                    }
                ],
                "system_prompt": SECRETIVE,
                "tools": ["reports.*"],
                "requires": ["chart-generation"],
                "memory": {"scope": "workspace", "workspace": "sales"},
                "conversation": {"strategy": "sliding_window", "max_turns": 7},
                "context": {"budget": 6000},
            },
            {"name": "Charts", "capabilities": ["chart-generation", "report-generation"]},
        ],
        "context": {"conversations": {"data_dir": str(folder / "conversations")}},
    }


@pytest_asyncio.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        gateway_with(two_agents(tmp_path)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as client,
    ):
        yield client


async def test_agents_are_listed_with_everything_but_their_prompts(http: httpx.AsyncClient) -> None:
    response = await http.get(AGENTS)
    assert response.status_code == 200
    reporter, charts = response.json()["agents"]
    assert reporter["name"] == "Reporter"
    assert reporter["description"] == "Writes quarterly reports"
    assert reporter["capabilities"] == ["report-generation"]
    assert reporter["tools"] == ["reports.*"]
    assert reporter["requires"] == ["chart-generation"]
    assert (reporter["memory"]["scope"], reporter["memory"]["workspace"]) == ("workspace", "sales")
    assert reporter["conversation"]["max_turns"] == 7
    assert reporter["context"]["budget"] == 6000
    assert (charts["description"], charts["context"]["budget"]) == (None, None)
    assert "xylophone" not in response.text


async def test_a_capability_is_described_by_the_first_agent_that_offers_it(http: httpx.AsyncClient) -> None:
    reports, charts = (await http.get("/api/v1/capabilities")).json()["capabilities"]
    assert reports["agents"] == ["Reporter", "Charts"]
    assert (reports["description"], reports["output_formats"]) == ("A report as PDF", ["pdf"])
    assert reports["performance_sla"] == "< 30 seconds"
    assert reports["related"] == ["summaries", "chart-generation"]
    assert reports["input_schema"]["properties"] == {"template": {"type": "string"}}
    assert (charts["name"], charts["performance_sla"]) == ("chart-generation", None)


async def test_a_chat_at_the_address_of_an_agent_is_a_chat_with_this_agent(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{AGENTS}/Reporter/chat", json={"messages": HELLO})
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"].startswith("You said: Hello")
    assert "2 messages" in response.text  # with the agent's instructions
    assert response.headers["x-caxton-context"].startswith("tokens=")
    named = await http.post(f"{AGENTS}/Reporter/chat", json={"model": "agent:Reporter", "messages": HELLO})
    assert named.status_code == 200


async def test_it_streams_and_continues_a_conversation_that_a_header_names(http: httpx.AsyncClient) -> None:
    headers = {"x-caxton-conversation": "c 1"}
    first = await http.post(f"{AGENTS}/Charts/chat", json={"messages": HELLO}, headers=headers)
    assert first.headers["x-caxton-conversation"] == "c 1"
    body: dict[str, Json] = {"messages": [{"role": "user", "content": "Again"}], "stream": True}
    async with http.stream("POST", f"{AGENTS}/Charts/chat", json=body, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-caxton-conversation"] == "c 1"
        lines = [line async for line in response.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    text = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in lines[:-1])
    assert text.startswith("You said: Again")
    assert "3 messages" in text


async def test_the_header_of_an_answer_names_a_conversation_as_the_request_did(http: httpx.AsyncClient) -> None:
    name = "\u65e5\u672c \u00e9"
    for _ in range(2):
        response = await http.post(
            f"{AGENTS}/Charts/chat", json={"messages": HELLO}, headers={b"x-caxton-conversation": name.encode()}
        )
        (told,) = [value for header, value in response.headers.raw if header.lower() == b"x-caxton-conversation"]
        assert told.decode() == name
    kept = (await http.get("/api/v1/conversations")).json()["conversations"]
    assert [one["key"]["conversation"] for one in kept] == [name]


async def test_an_address_and_a_body_that_name_different_agents_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{AGENTS}/Reporter/chat", json={"model": "agent:Charts", "messages": HELLO})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"


async def test_an_unknown_agent_is_told_with_those_that_there_are(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{AGENTS}/Nobody/chat", json={"messages": HELLO})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["kind"] == "unknown_model"
    assert "agent:Reporter, agent:Charts" in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"messages": 3}'])
async def test_a_body_that_is_no_chat_request_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post(f"{AGENTS}/Reporter/chat", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["kind"] == "invalid_request"


async def test_without_agents_the_lists_are_empty_and_a_chat_says_what_is_missing() -> None:
    async with (
        gateway_with({"llm": {"provider": "builtin"}}) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as http,
    ):
        assert (await http.get(AGENTS)).json() == {"agents": []}
        assert (await http.get("/api/v1/capabilities")).json() == {"capabilities": []}
        response = await http.post(f"{AGENTS}/Reporter/chat", json={"messages": HELLO})
    assert response.status_code == 501
    error = response.json()["error"]
    assert error["code"] == "no_agents"
    assert "docs/agents.md" in error["message"]


@pytest.mark.parametrize("field", ["conversation_id", "context"])
async def test_a_field_for_agents_that_goes_to_a_model_is_told(http: httpx.AsyncClient, field: str) -> None:
    body: dict[str, Json] = {"model": "builtin", "messages": HELLO, field: "c 1" if field == "conversation_id" else {}}
    whole = await http.post("/v1/chat/completions", json=body)
    told = f"{field} is read for agents only, and 'builtin' is none: it went on to the provider as it is"
    assert whole.headers["x-caxton-warnings"] == told
    streamed = await http.post("/v1/chat/completions", json={**body, "stream": True})
    assert told in streamed.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_conversation_that_the_header_of_a_request_to_a_model_names_is_refused(
    http: httpx.AsyncClient, path: str
) -> None:
    body: dict[str, Json] = {"model": "builtin", "messages": HELLO, "max_tokens": 50}
    response = await http.post(path, json=body, headers={"x-caxton-conversation": "c 1"})
    assert response.status_code == 400
    assert "x-caxton-conversation is for agents, and 'builtin' is none" in response.json()["error"]["message"]


@pytest.mark.parametrize("header", ["x-caxton-conversation-id", "x-caxton-conversaton"])
async def test_a_header_that_is_almost_the_conversations_is_refused(http: httpx.AsyncClient, header: str) -> None:
    body: dict[str, Json] = {"model": "agent:Charts", "messages": HELLO}
    response = await http.post("/v1/chat/completions", json=body, headers={header: "c 1", "x-caxton-context": "x"})
    assert response.status_code == 400
    assert response.json()["error"]["message"].endswith("did you mean x-caxton-conversation?")


@pytest.mark.parametrize("model", ["builtin", "agent:Charts"])
async def test_a_field_that_is_almost_a_parameter_is_told_with_what_it_may_mean(
    http: httpx.AsyncClient, model: str
) -> None:
    body: dict[str, Json] = {"model": model, "messages": HELLO, "temprature": 0.5, "top_k": 3, "speed": "fast"}
    response = await http.post("/v1/chat/completions", json=body)
    assert response.headers["x-caxton-warnings"].endswith(
        "temprature is no parameter that is known here: did you mean temperature?"
    )


async def test_fields_for_agents_that_are_misspelt_are_told(http: httpx.AsyncClient) -> None:
    body: dict[str, Json] = {"model": "agent:Charts", "messages": HELLO, "conversation": "c1", "contexts": {}}
    told = (await http.post("/v1/chat/completions", json=body)).headers["x-caxton-warnings"]
    assert "conversation is no parameter that is known here: did you mean conversation_id?" in told
    assert "contexts is no parameter that is known here: did you mean context?" in told
    prepared = await http.post("/api/v1/context/prepare", json={**body, "provider": ["openai"]})
    notes = prepared.json()["context_metadata"]["notes"]
    assert "provider is no parameter that is known here: did you mean providers?" in notes


@pytest.mark.parametrize(
    ("asked", "meant"), [("Reporter", "agent:Reporter"), ("agent:charts", "agent:Charts"), ("builtn", "builtin")]
)
async def test_a_name_that_nothing_has_is_answered_with_what_it_may_mean(
    http: httpx.AsyncClient, asked: str, meant: str
) -> None:
    response = await http.post("/v1/chat/completions", json={"model": asked, "messages": HELLO})
    assert response.status_code == 404
    assert response.json()["error"]["message"].endswith(f"(did you mean {meant!r}?)")


async def test_an_address_with_v1_twice_is_answered_with_how_a_base_url_ends(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/v1/messages", json={"messages": HELLO})
    assert response.status_code == 404
    assert "without it for clients of Anthropic" in response.json()["error"]["message"]
