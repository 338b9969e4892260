"""`/api/v1/conversations` of a running gateway: what was kept is listed, read, moved and deleted."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from caxton_llm.agents.conversation import ConversationKey, Exchange, Summary
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import Json, Message
from live_gateway import gateway_with

API = "/api/v1/conversations"


def exchange(asked: str, answered: str) -> Exchange:
    return Exchange(messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)))


def three_agents(folder: Path) -> dict[str, Json]:
    return {
        "llm": {"provider": "builtin"},
        "agents": [{"name": "A"}, {"name": "B"}, {"name": "Acme", "memory": {"tenant": "acme"}}],
        "context": {"conversations": {"data_dir": str(folder)}},
    }


@pytest_asyncio.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with ConversationStore(tmp_path) as store:
        store.append(ConversationKey("one/first", "A"), [exchange("Hello", "Hi"), exchange("And?", "Nothing")])
        position = store.thread(ConversationKey("one/first", "A")).position
        store.summarize(ConversationKey("one/first", "A"), Summary(first=0, last=0, text="Greetings"), after=position)
        store.append(ConversationKey("both", "A"), [exchange("of A", "yes")])
        store.append(ConversationKey("both", "B"), [exchange("of B", "yes")])
        store.append(ConversationKey("theirs", "Acme", "acme"), [exchange("Anvils", "sold")])
        store.append(ConversationKey("old", "Gone"), [exchange("Is anybody there?", "no")])
    async with (
        gateway_with(three_agents(tmp_path)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as client,
    ):
        yield client


async def names(http: httpx.AsyncClient, query: str = "") -> list[tuple[str, str]]:
    listed = (await http.get(f"{API}{query}")).json()
    assert listed["problems"] == []
    return [(one["key"]["agent"], one["key"]["conversation"]) for one in listed["conversations"]]


EVERYTHING = [("A", "one/first"), ("A", "both"), ("B", "both"), ("Acme", "theirs"), ("Gone", "old")]


async def test_conversations_are_listed_of_all_or_of_one_tenant_or_agent(http: httpx.AsyncClient) -> None:
    assert await names(http) == EVERYTHING
    assert await names(http, "?agent=A") == [("A", "one/first"), ("A", "both")]
    assert await names(http, "?tenant=acme") == [("Acme", "theirs")]
    assert await names(http, "?tenant=nobody") == []
    first = (await http.get(f"{API}?agent=A")).json()["conversations"][0]
    assert (first["length"], first["turns"]) == (2, 2)


async def test_those_of_an_agent_that_nobody_knows_are_refused_with_the_names_that_there_are(
    http: httpx.AsyncClient,
) -> None:
    assert await names(http, "?agent=Gone") == [("Gone", "old")]
    refused = await http.get(f"{API}?agent=Nobody")
    assert refused.status_code == 400
    told = refused.json()["error"]["message"]
    assert told == "no agent is called 'Nobody', and nothing is kept of one; there is: A, B, Acme"


async def test_pages_follow_each_other_to_the_end(http: httpx.AsyncClient) -> None:
    seen: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = (await http.get(API, params={"limit": 2, "cursor": cursor})).json()
        assert len(page["conversations"]) <= 2
        seen += [one["key"]["conversation"] for one in page["conversations"]]
        cursor = page["cursor"]
    assert seen == [name for _, name in EVERYTHING]


async def test_a_conversation_is_read_with_its_exchanges_and_summaries(http: httpx.AsyncClient) -> None:
    found = (await http.get(f"{API}/one/first")).json()
    assert found["conversation"]["key"] == {"conversation": "one/first", "agent": "A", "tenant": ""}
    said = [message["content"] for one in found["exchanges"] for message in one["messages"]]
    assert said == ["Hello", "Hi", "And?", "Nothing"]
    assert [one["text"] for one in found["summaries"]] == ["Greetings"]
    assert (await http.get(f"{API}/theirs")).json()["conversation"]["key"]["tenant"] == "acme"
    assert (await http.get(f"{API}/old?agent=Gone")).status_code == 200


async def test_a_name_that_several_agents_use_needs_the_agent(http: httpx.AsyncClient) -> None:
    response = await http.get(f"{API}/both")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "agent"
    assert "(A, B)" in response.json()["error"]["message"]
    found = (await http.get(f"{API}/both?agent=B")).json()
    assert found["exchanges"][0]["messages"][0]["content"] == "of B"


async def test_what_is_not_there_is_told_and_nothing_is_deleted(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", "nothing"), ("DELETE", "nothing"), ("DELETE", "theirs?tenant=other")):
        response = await http.request(method, f"{API}/{path}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "conversation_not_found"
    assert await names(http) == EVERYTHING


async def test_one_conversation_is_deleted_and_the_others_stay(http: httpx.AsyncClient) -> None:
    removed = (await http.delete(f"{API}/one/first")).json()
    assert removed == {"conversations": 1, "exchanges": 2, "summaries": 1, "is_overwritten": True}
    assert await names(http) == EVERYTHING[1:]
    assert (await http.get(f"{API}/one/first")).status_code == 404


async def test_all_of_a_tenant_or_an_agent_are_deleted_only_when_the_tenant_is_named(http: httpx.AsyncClient) -> None:
    response = await http.delete(API)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tenant"
    assert "tenant= (empty)" in response.json()["error"]["message"]
    response = await http.delete(f"{API}?agent=A")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tenant")
    assert await names(http) == EVERYTHING
    assert (await http.delete(f"{API}?tenant=&agent=A")).json()["conversations"] == 2
    assert await names(http) == EVERYTHING[2:]
    assert (await http.delete(f"{API}?tenant=acme")).json()["conversations"] == 1
    assert await names(http) == [("B", "both"), ("Gone", "old")]


async def test_an_export_is_imported_without_loss_and_twice_without_doubles(http: httpx.AsyncClient) -> None:
    exported = await http.get(f"{API}/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert len(lines) == 7
    before = (await http.get(f"{API}/one/first")).json()
    await http.delete(f"{API}?tenant=")
    imported = (await http.post(f"{API}/import", content=exported.content)).json()
    assert imported == {"lines": 7, "exchanges": 5}  # those of the tenant acme were there
    assert (await http.post(f"{API}/import", content=exported.content)).json() == {"lines": 7, "exchanges": 0}
    after = (await http.get(f"{API}/one/first")).json()
    assert (after["exchanges"], after["summaries"]) == (before["exchanges"], before["summaries"])


async def test_an_export_of_one_conversation_can_become_another_tenants(http: httpx.AsyncClient) -> None:
    exported = (await http.get(f"{API}/export?agent=A&conversation=both")).content
    assert exported.count(b"\n") == 1
    assert (await http.post(f"{API}/import?tenant=moved", content=exported)).json()["exchanges"] == 1
    assert await names(http, "?tenant=moved") == [("A", "both")]


async def test_a_line_that_cannot_be_used_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{API}/import", content=b'{"conversation": "x"}\n')
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("line 1: ")


async def test_unknown_parameters_and_words_in_the_place_of_numbers_are_refused(http: httpx.AsyncClient) -> None:
    for query, param in (("?agnet=A", "agnet"), ("?limit=0", "limit"), ("?cursor=x", "cursor")):
        response = await http.get(f"{API}{query}")
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_a_conversation_that_is_deleted_over_http_begins_anew(http: httpx.AsyncClient) -> None:
    body: dict[str, Json] = {"messages": [{"role": "user", "content": "Hello"}], "conversation_id": "fresh"}
    assert "1 message." in (await http.post("/api/v1/agents/A/chat", json=body)).text
    assert "3 messages" in (await http.post("/api/v1/agents/A/chat", json=body)).text
    assert (await http.delete(f"{API}/fresh")).json()["exchanges"] == 2
    assert "1 message." in (await http.post("/api/v1/agents/A/chat", json=body)).text


async def test_without_agents_every_operation_says_so() -> None:
    async with (
        gateway_with({"llm": {"provider": "builtin"}}) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as http,
    ):
        for method, path in (
            ("GET", ""),
            ("GET", "/x"),
            ("GET", "/export"),
            ("POST", "/import"),
            ("DELETE", "?tenant="),
            ("DELETE", "/x"),
        ):
            response = await http.request(method, f"{API}{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (501, "no_agents")
