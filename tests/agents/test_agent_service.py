"""Requests to agents through the library: what the provider is sent, what is kept, and what goes wrong in words."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from caxton_llm import Caxton
from caxton_llm.agent_service import AgentService
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.errors import (
    ContextWindowExceeded,
    ConversationChanged,
    ConversationDeleted,
    DeadlineExceeded,
    InvalidRequest,
    UnknownModel,
)
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Turn
from caxton_llm.memory_system import Memory
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import ChatRequest, Json, Message
from fakes import FakeAnthropic, FakeOpenAI
from fakes.provider import FakeProvider
from fakes.script import ToolCall, Usage
from mcp_running import PROGRAMS

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


async def test_an_agent_is_sent_its_instructions_and_what_its_template_makes(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {
        "name": "Reporter",
        "capabilities": ["report-generation"],
        "system_prompt": "You write reports.",
        "user_prompt_template": "{{user_request}} (for {{audience|everybody}}, {{request_type}})",
    }
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        answer = await caxton.complete_chat(
            model="capability:report-generation",
            messages=[{"role": "system", "content": "Be brief."}, *user("Write")],
            metadata={"audience": "the board"},
            context={"requesting_agent": "Clerk"},
        )
    assert sent(fake_openai)["messages"] == [
        {"role": "system", "content": "You write reports.\n\nBe brief."},
        {"role": "user", "content": "Write (for the board, report-generation)"},
    ]
    assert "context" not in sent(fake_openai)
    assert answer.context is not None
    assert 0 < answer.context.tokens < answer.context.budget


async def test_a_template_without_a_value_names_the_variable_before_anything_is_sent(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {"name": "A", "user_prompt_template": "{{user_request}} {{audience}}"}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        with pytest.raises(InvalidRequest, match="audience"):
            await caxton.complete_chat(model="agent:A", messages=user("Hello"))
    assert not fake_openai.requests


async def test_nobody_of_that_name_lists_who_there_is(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    agent = {"name": "A", "capabilities": ["c"]}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        with pytest.raises(UnknownModel, match="there is: agent:A, capability:c"):
            await caxton.complete_chat(model="agent:B", messages=user("Hello"))
        with pytest.raises(UnknownModel, match="there is: agent:A, capability:c"):
            caxton.stream_chat(model="capability:d", messages=user("Hello"))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_a_named_conversation_goes_on(tmp_path: Path, fake_openai: FakeOpenAI, streams: bool) -> None:
    fake_openai.reply("Noted: 4 million.")
    fake_openai.reply("It was 4 million.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        for text in ("Sales were 4 million", "What were sales?"):
            if streams:
                async with caxton.stream_chat(model="agent:A", messages=user(text), conversation_id="q3") as stream:
                    answer = "".join([chunk.text async for chunk in stream])
            else:
                answer = (await caxton.complete_chat(model="agent:A", messages=user(text), conversation_id="q3")).text
        thread = store_of(caxton).thread(ConversationKey("q3", agent="A"))
    assert answer == "It was 4 million."
    assert [message["content"] for message in sent(fake_openai)["messages"]] == [
        "Sales were 4 million",
        "Noted: 4 million.",
        "What were sales?",
    ]
    assert [message.content for message in thread.messages][-1] == "It was 4 million."
    assert len(thread.exchanges) == 2


async def test_who_closes_a_stream_right_after_the_last_text_is_kept(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply("It was 4 million.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        async with caxton.stream_chat(model="agent:A", messages=user("What?"), conversation_id="c") as stream:
            text = ""
            while text != "It was 4 million.":
                text += (await anext(stream)).text
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert [message.content for message in thread.messages] == ["What?", "It was 4 million."]


async def test_a_client_that_sends_everything_again_is_not_heard_twice(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply("One.")
    fake_openai.reply("Two.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        await caxton.complete_chat(model="agent:A", messages=user("first"), conversation_id="c")
        whole = [*user("first"), {"role": "assistant", "content": "One."}, *user("second")]
        await caxton.complete_chat(model="agent:A", messages=whole, conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert sent(fake_openai)["messages"] == whole
    assert [message.content for message in thread.messages] == ["first", "One.", "second", "Two."]


async def test_what_a_client_brings_of_an_earlier_conversation_is_stored_too(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply("Two.")
    whole = [*user("first"), {"role": "assistant", "content": "One."}, *user("second")]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        await caxton.complete_chat(model="agent:A", messages=whole, conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert [len(exchange.messages) for exchange in thread.exchanges] == [2, 2]


@pytest.mark.parametrize("seen", [{"max_turns": 2}, {"strategy": "none"}, {"strategy": "full"}], ids=str)
async def test_nothing_is_stored_twice_however_little_of_it_the_agent_sees(
    tmp_path: Path, fake_openai: FakeOpenAI, seen: Json
) -> None:
    agent = {"name": "A", "conversation": seen}
    whole: list[Json] = []
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        for number in range(5):
            fake_openai.reply(f"Answer {number}.")
            whole += user(f"question {number}")
            answer = await caxton.complete_chat(model="agent:A", messages=list(whole), conversation_id="c")
            whole.append({"role": "assistant", "content": answer.text})
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert [message.content for message in thread.messages] == [message["content"] for message in whole]


async def test_a_question_that_is_asked_again_is_answered_as_if_for_the_first_time(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    key = ConversationKey("c", agent="A")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(key, [_exchange(f"question {n}", f"answer {n}") for n in range(3)])
        again = [*user("question 0"), {"role": "assistant", "content": "answer 0"}, *user("question 1")]
        fake_openai.reply("Other.")
        await caxton.complete_chat(model="agent:A", messages=again, conversation_id="c")
        thread = store_of(caxton).thread(key)
    assert sent(fake_openai)["messages"] == again
    assert len(thread.exchanges) == 4
    assert [message.content for message in thread.exchanges[-1].messages] == ["question 1", "Other."]


async def test_of_two_requests_at_once_one_continues_the_conversation(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(ConversationKey("c", agent="A"), [_exchange("hello", "hi")])
        asked = [
            caxton.stream_chat(model="agent:A", messages=user(text), conversation_id="c") for text in ("one", "two")
        ]
        for stream in asked:  # both have read the conversation before either is stored
            await stream.next_batch()
        results = await asyncio.gather(*(_drained(stream) for stream in asked), return_exceptions=True)
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert [type(result) for result in results if result is not None] == [ConversationChanged]
    assert len(thread.exchanges) == 2


async def test_a_conversation_that_is_deleted_in_use_is_not_begun_anew(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    key = ConversationKey("c", agent="A")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(key, [_exchange("hello", "hi")])
        stream = caxton.stream_chat(model="agent:A", messages=user("more"), conversation_id="c")
        await stream.next_batch()
        store_of(caxton).delete(key)
        with pytest.raises(ConversationDeleted):
            await _drained(stream)
        assert store_of(caxton).describe(key) is None


async def test_memories_are_found_used_and_what_is_said_is_learned(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    agent = {"name": "A", "memory": {"scope": "workspace", "workspace": "sales", "auto_store": True}}
    configuration = configured(tmp_path, entry(fake_openai), agent, memory={"path": str(tmp_path / "memory")})
    with Memory.open(tmp_path / "memory") as memory:
        known = Entity(
            name="Report style",
            workspace="sales",
            observations=(Observation("Reports have the executive summary on page one"),),
        )
        (written,) = memory.add([known])
    async with Caxton.from_dict(configuration) as caxton:
        await caxton.complete_chat(
            model="agent:A", messages=user("Write a report. Remember that Bavaria is our largest region.")
        )
    system = sent(fake_openai)["messages"][0]["content"]
    assert "- Report style: Reports have the executive summary on page one" in system
    assert '<data from="memory">' in system
    with Memory.open(tmp_path / "memory") as memory:
        found = memory.search("largest region", Filters(workspace="sales", agent="A"))
        assert any("Bavaria" in hit.passage for hit in found.hits)
        hits = memory.search("executive summary", Filters(workspace="sales", agent="A")).hits
        assert next(hit for hit in hits if hit.record.id == written.id).reasons.used > 0


async def test_tools_are_run_and_the_whole_exchange_is_kept(tmp_path: Path, fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.reply(None, ToolCall("echo", {"text": "hello"}, "toolu_1"))
    fake_anthropic.reply("Done.")
    servers = [{"name": "odd", "command": sys.executable, "args": [str(PROGRAMS / "odd_tools.py")]}]
    agent = {"name": "A", "system_prompt": "Use tools.", "tools": ["odd.echo"]}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_anthropic), agent, mcp={"servers": servers})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user("Echo hello"), conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert answer.text == "Done."
    assert [tool["name"] for tool in sent(fake_anthropic, 0)["tools"]] == ["echo"]
    assert [message.role for message in thread.messages] == ["user", "assistant", "tool", "assistant"]
    (result,) = [part for part in sent(fake_anthropic)["messages"][-1]["content"] if part["type"] == "tool_result"]
    assert '<data from="tool">' in json.dumps(result, ensure_ascii=False).replace('\\"', '"')


async def test_an_agent_asks_another_for_its_capability(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply(None, ToolCall("charts", {"request": "a bar chart"}, "call_1"))
    fake_openai.reply("[chart]")
    fake_openai.reply("Here it is.")
    agents = [
        {"name": "Reporter", "requires": ["charts"], "system_prompt": "You report."},
        {"name": "Painter", "capabilities": ["charts"], "system_prompt": "You paint."},
    ]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), *agents)) as caxton:
        answer = await caxton.complete_chat(model="agent:Reporter", messages=user("Report with a chart"))
    assert answer.text == "Here it is."
    asked = sent(fake_openai, 1)["messages"]
    assert asked[0]["content"].startswith("You paint.")
    assert asked[-1] == {"role": "user", "content": "a bar chart"}
    assert "[chart]" in sent(fake_openai, 2)["messages"][-1]["content"]


async def test_a_request_ends_at_the_deadline_of_its_route_whatever_its_tools_do(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply(None, ToolCall("hold", {"marker": str(tmp_path / "marker")}, "call_1"))
    servers = [{"name": "odd", "command": sys.executable, "args": [str(PROGRAMS / "odd_tools.py")]}]
    llm, agent = entry(fake_openai, deadline_seconds=2), {"name": "A", "tools": ["odd.hold"]}
    async with Caxton.from_dict(configured(tmp_path, llm, agent, mcp={"servers": servers})) as caxton:
        with pytest.raises(DeadlineExceeded, match="the calls of its tools included"):
            await caxton.complete_chat(model="agent:A", messages=user("Hold"))


async def test_a_called_agent_has_what_is_left_of_the_callers_time(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    agents = [{"name": "R", "requires": ["charts"]}, {"name": "P", "capabilities": ["charts"]}]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), *agents)) as caxton:
        with pytest.raises(DeadlineExceeded):
            await agents_of(caxton).complete(
                ChatRequest(model="agent:P", messages=[Message(role="user", content="x")]), within_s=0.0
            )


async def test_a_model_that_calls_tools_without_end_is_made_to_answer(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    fake_openai.reply(None, ToolCall("echo", {"text": "a"}, "call_1"))
    fake_openai.reply("Done.")
    servers = [{"name": "odd", "command": sys.executable, "args": [str(PROGRAMS / "odd_tools.py")]}]
    agent, context = {"name": "A", "tools": ["odd.echo"]}, {"max_steps": 1}
    configuration = configured(tmp_path, entry(fake_openai), agent, context=context, mcp={"servers": servers})
    async with Caxton.from_dict(configuration) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user("Echo"))
    assert sent(fake_openai)["tool_choice"] == "none"
    assert any("tools were called in 1 step" in warning for warning in answer.warnings)


async def test_a_fallback_gets_the_context_in_its_own_format(
    tmp_path: Path, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    fake_openai.fail("overloaded", times=None)
    llm = {
        "providers": [
            {"name": "first", "priority": 2, **entry(fake_openai, retry_policy={"max_attempts": 1})},
            {"name": "second", "priority": 1, **entry(fake_anthropic)},
        ]
    }
    configuration = configured(tmp_path, llm, {"name": "A", "system_prompt": "Be kind."})
    configuration["memory"] = {"path": str(tmp_path / "memory")}
    with Memory.open(tmp_path / "memory") as memory:
        memory.add([Entity(name="Tea", observations=(Observation("Green tea is served at four"),))])
    async with Caxton.from_dict(configuration) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user("When is green tea served?"))
    assert answer.provider == "second"
    assert "Context from memory system:" in sent(fake_openai)["messages"][0]["content"]
    assert "Relevant context from conversation and memory:" in json.dumps(sent(fake_anthropic)["system"])


async def test_a_budget_smaller_than_the_instructions_is_said_with_both_figures(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {"name": "A", "system_prompt": "word " * 200, "context": {"budget": 100}}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        with pytest.raises(InvalidRequest, match=r"take \d+ tokens, the budget for the whole context is 100"):
            await caxton.complete_chat(model="agent:A", messages=user("Hello"))


async def test_an_oversized_request_is_shortened_where_the_agent_says_so(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {"name": "A", "context": {"budget": 600, "oversize": "summarize"}}
    text = "What does it say?\n\n" + "\n\n".join(f"Paragraph {n} tells of item {n} and its price." for n in range(300))
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user(text))
    content = sent(fake_openai)["messages"][-1]["content"]
    assert content.startswith("What does it say?")
    assert "words left out" in content
    assert answer.context is not None
    assert answer.context.tokens <= 600
    assert any("shortened" in warning for warning in answer.warnings)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_an_oversized_request_is_worked_through_in_parts(
    tmp_path: Path, fake_openai: FakeOpenAI, streams: bool
) -> None:
    agent = {"name": "A", "system_prompt": "You count.", "context": {"budget": 2000, "oversize": "multi_turn"}}
    text = "How many items?\n\n" + "\n\n".join(f"Item {n} costs {n} euros and is blue." for n in range(700))
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        if streams:
            async with caxton.stream_chat(model="agent:A", messages=user(text), conversation_id="c") as stream:
                chunks = [chunk async for chunk in stream]
            told = [chunk.progress for chunk in chunks if chunk.progress]
            assert {step["state"] for step in told} == {"started", "done"}
            usage = stream.usage
        else:
            answer = await caxton.complete_chat(model="agent:A", messages=user(text), conversation_id="c")
            usage = answer.usage
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert len(fake_openai.requests) > 3
    assert all("You count." in json.dumps(sent(fake_openai, place)) for place in range(len(fake_openai.requests)))
    assert usage is not None
    assert usage.prompt_tokens is not None
    assert usage.prompt_tokens > 2000
    assert len(thread.exchanges) == 1


async def test_all_but_the_material_stays_when_a_request_is_read_in_parts(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    agent = {
        "name": "A",
        "system_prompt": "You count.",
        "user_prompt_template": "TPL[{{user_request}}]",
        "context": {"budget": 2000, "oversize": "multi_turn"},
        "memory": {"auto_store": True},
    }
    text = "How many items?\n\n" + "\n\n".join(f"Item {n} costs {n} euros and is blue." for n in range(700))
    brought = [*user("My name is Bo"), {"role": "assistant", "content": "Hi Bo"}]
    messages = [{"role": "system", "content": "Answer in French"}, *brought, *user(text)]
    configuration = configured(tmp_path, entry(fake_openai), agent, memory={"path": str(tmp_path / "memory")})
    async with Caxton.from_dict(configuration) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=messages, conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    last = sent(fake_openai)["messages"]
    assert last[0]["content"].startswith("You count.\n\nAnswer in French")
    assert last[1:3] == brought
    assert json.dumps(last).count("TPL[") <= 1
    assert [message.content for message in thread.messages] == ["My name is Bo", "Hi Bo", text, answer.text]
    with Memory.open(tmp_path / "memory") as memory:
        learned = [hit.record for hit in memory.search("How many items?", Filters(agent="A")).hits]
    said = [record.text for record in learned if isinstance(record, Turn) and record.role == "user"]
    assert said
    assert all(" ".join(text.split()).startswith(" ".join(one.split())[:100]) for one in said)


async def test_oversize_error_refuses_what_would_have_to_be_trimmed(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    agent = {"name": "A", "context": {"budget": 400, "oversize": "error"}}
    history: list[Json] = []
    for number in range(10):
        history += [*user(f"Question {number} " + "word " * 20), {"role": "assistant", "content": "answer " * 20}]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        with pytest.raises(ContextWindowExceeded, match="400 are possible"):
            await caxton.complete_chat(model="agent:A", messages=[*history, *user("Now?")])
    assert not fake_openai.requests


async def test_older_turns_are_summarised_by_the_configured_model_after_the_answer(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    context = {"max_exchanges": 2, "summarizer": "gpt-4o"}
    key = ConversationKey("c", agent="A")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"}, context=context)) as caxton:
        store_of(caxton).append(key, [_exchange(f"question {n}", f"answer {n}") for n in range(6)])
        fake_openai.reply("First.")
        fake_openai.reply("SUMMARY: six questions were answered.")
        fake_openai.reply("Second.")
        await caxton.complete_chat(model="agent:A", messages=user("next"), conversation_id="c")
        await fake_openai.wait_for_requests(2, timeout=30.0)
        await _summaries_made(caxton)
        answer = await caxton.complete_chat(model="agent:A", messages=user("and now"), conversation_id="c")
    assert answer.text == "Second."
    assert "six questions were answered" in sent(fake_openai, 2)["messages"][0]["content"]
    assert "question 0" in json.dumps(sent(fake_openai, 1))


async def test_a_server_of_tools_that_does_not_start_is_named_and_the_answer_comes(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    servers = [{"name": "dead", "command": sys.executable, "args": ["-c", "raise SystemExit(3)"]}]
    agent = {"name": "A", "tools": ["dead.*"]}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent, mcp={"servers": servers})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user("Hello"))
    assert answer.context is not None
    assert answer.context.missing == ("tools",)
    assert any(warning.startswith("context: tools dead") for warning in answer.warnings)


@pytest.mark.parametrize("again", [[], user("Weather?")], ids=["the call", "everything"])
async def test_the_callers_tools_are_the_callers_to_run_and_its_results_continue_the_turn(
    tmp_path: Path, fake_openai: FakeOpenAI, again: list[Json]
) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    fake_openai.reply(None, ToolCall("weather", {}, "call_9"))
    fake_openai.reply("Sunny.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        first = await caxton.complete_chat(
            model="agent:A", messages=user("Weather?"), tools=[tool], conversation_id="c"
        )
        assert [call.id for call in first.tool_calls] == ["call_9"]
        called = {"id": "call_9", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        result = [
            *again,
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "call_9", "content": "sun"},
        ]
        second = await caxton.complete_chat(model="agent:A", messages=result, tools=[tool], conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert second.text == "Sunny."
    assert [message["role"] for message in sent(fake_openai)["messages"]] == ["user", "assistant", "tool"]
    assert [message.role for message in thread.messages] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("again", [{"audience": "us"}, None], ids=["with its values", "without"])
async def test_the_question_that_results_belong_to_keeps_its_template_and_its_memories(
    tmp_path: Path, fake_openai: FakeOpenAI, again: dict[str, str] | None
) -> None:
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    fake_openai.reply(None, ToolCall("lookup", {}, "call_9"))
    fake_openai.reply("At four.")
    agent = {"name": "A", "user_prompt_template": "Q[{{user_request}}] for {{audience}}"}
    configuration = configured(tmp_path, entry(fake_openai), agent, memory={"path": str(tmp_path / "memory")})
    with Memory.open(tmp_path / "memory") as memory:
        memory.add([Entity(name="Tea", observations=(Observation("Green tea is served at four"),))])
    asked = "When is green tea served?"
    async with Caxton.from_dict(configuration) as caxton:
        shared: dict[str, Json] = {"model": "agent:A", "tools": [tool], "conversation_id": "c"}
        await caxton.complete_chat(messages=user(asked), metadata={"audience": "us"}, **shared)
        results = [{"role": "tool", "tool_call_id": "call_9", "content": "see the plan"}]
        await caxton.complete_chat(messages=results, metadata=again, **shared)
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    system, question = sent(fake_openai)["messages"][:2]
    assert "Green tea is served at four" in system["content"]
    assert question["content"] == (f"Q[{asked}] for us" if again else asked)
    assert thread.messages[0].content == asked


async def test_a_caller_may_go_on_without_running_its_tools(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    fake_openai.reply(None, ToolCall("weather", {}, "call_9"))
    fake_openai.reply("Hello.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        for text in ("Weather?", "Never mind, hello", "And now?"):
            await caxton.complete_chat(model="agent:A", messages=user(text), tools=[tool], conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    messages = sent(fake_openai)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user", "assistant", "user"]
    assert messages[2]["content"] == "[not run]"
    assert not any(message.role == "tool" for message in thread.messages)


async def test_real_counts_of_a_provider_bring_the_estimates_nearer(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    text = "A long enough text about the sales of the quarter. " * 60
    fake_openai.reply("Yes.", times=None, usage=Usage(prompt=900, completion=2))
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        before = caxton.token_calibration.factors("gpt-4o", "openai").prose
        for number in range(3):
            await caxton.complete_chat(model="agent:A", messages=user(text), conversation_id=str(number))
        await agents_of(caxton)._keeping.counts.idle()
        after = caxton.token_calibration.factors("gpt-4o", "openai").prose
    assert after > before
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as again:
        assert again.token_calibration.factors("gpt-4o", "openai").prose == pytest.approx(after)


async def test_where_no_conversation_is_kept_no_folder_is_begun(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        await caxton.complete_chat(model="agent:A", messages=user("Hello"))
    assert agents_of(caxton)._keeping.counts.learned == 1
    assert not (tmp_path / "conversations").exists()


async def test_what_no_store_would_take_is_refused_before_it_is_paid_for(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (17 * 1024 * 1024)}}
        with pytest.raises(InvalidRequest, match="that one exchange may have"):
            await caxton.complete_chat(
                model="agent:A", messages=[{"role": "user", "content": [picture]}], conversation_id="c"
            )
        many: list[Json] = [*user("hello") * 1001, {"role": "assistant", "content": "hi"}]
        with pytest.raises(InvalidRequest, match="messages are more than"):
            await caxton.complete_chat(model="agent:A", messages=[*many, *user("now")], conversation_id="c")
    assert not fake_openai.requests


async def test_an_answer_that_the_store_cannot_keep_is_given_with_a_warning(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    fake_openai.reply("Yes.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        stream = caxton.stream_chat(model="agent:A", messages=user("Well?"), conversation_id="c")
        await stream.next_batch()
        store_of(caxton).close()  # as good as a disk that is gone
        await _drained(stream)
    assert any("this exchange was not kept" in warning for warning in stream.warnings)


async def test_what_could_not_be_compared_is_kept_alone_behind_what_is_there(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    key = ConversationKey("c", agent="A")
    fake_openai.reply("Two.")
    whole = [*user("first"), {"role": "assistant", "content": "One."}, *user("second")]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(key, [_exchange("first", "One.")])
        _never_read_in_time(caxton)
        answer = await caxton.complete_chat(model="agent:A", messages=whole, conversation_id="c")
        thread = store_of(caxton).thread(key)
    assert [message.content for message in thread.messages] == ["first", "One.", "second", "Two."]
    assert any("only this exchange was kept" in warning for warning in answer.warnings)


async def test_a_conversation_that_was_not_read_and_is_not_there_is_not_begun(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        _never_read_in_time(caxton)
        answer = await caxton.complete_chat(model="agent:A", messages=user("hello"), conversation_id="c")
        assert store_of(caxton).describe(ConversationKey("c", agent="A")) is None
    assert any("nothing was kept" in warning for warning in answer.warnings)


@pytest.mark.parametrize(("said", "finish"), [("Bavaria is", "content_filter"), ("", "stop")], ids=["cut", "empty"])
async def test_an_answer_that_is_none_is_marked_and_nothing_is_learned_from_it(
    tmp_path: Path, fake_openai: FakeOpenAI, said: str, finish: str
) -> None:
    agent = {"name": "A", "memory": {"auto_store": True}}
    configuration = configured(tmp_path, entry(fake_openai), agent, memory={"path": str(tmp_path / "memory")})
    with Memory.open(tmp_path / "memory") as memory:
        (known,) = memory.add([Entity(name="Tea", observations=(Observation("Green tea is served at four"),))])
    fake_openai.reply(said, finish=finish)
    asked = "When is green tea served? Remember that Bavaria is our largest region."
    async with Caxton.from_dict(configuration) as caxton:
        await caxton.complete_chat(model="agent:A", messages=user(asked), conversation_id="c")
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert "served at four" in sent(fake_openai)["messages"][0]["content"]
    (exchange,) = thread.exchanges
    assert exchange.metadata == {"unfinished": "empty" if not said else finish}
    with Memory.open(tmp_path / "memory") as memory:
        hits = memory.search("Bavaria, green tea", Filters(agent="A")).hits
    assert [hit.record.id for hit in hits] == [known.id]
    assert hits[0].reasons.used == 0


@pytest.mark.parametrize(
    "blind", [{"conversation": {"strategy": "none"}}, {"context": {"sources": ["memory"]}}], ids=["none", "no source"]
)
async def test_nobody_pays_for_summaries_that_the_agent_never_sees(
    tmp_path: Path, fake_openai: FakeOpenAI, blind: Mapping[str, Json]
) -> None:
    context = {"max_exchanges": 2, "summarizer": "gpt-4o"}
    agent = {"name": "A", **blind}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent, context=context)) as caxton:
        key = ConversationKey("c", agent="A")
        store_of(caxton).append(key, [_exchange(f"question {n}", f"answer {n}") for n in range(6)])
        await caxton.complete_chat(model="agent:A", messages=user("next"), conversation_id="c")
        assert agents_of(caxton)._keeping._summarizer is None
    assert len(fake_openai.requests) == 1


def _never_read_in_time(caxton: Caxton) -> None:
    sources = agents_of(caxton).engine.sources
    sources.conversations()
    sources._limits = msgspec.structs.replace(sources._limits, conversation_s=0.0)


def _exchange(asked: str, answered: str) -> Exchange:
    return Exchange(messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)))


async def _summaries_made(caxton: Caxton) -> None:
    summarizer = agents_of(caxton)._keeping._summarizer
    assert summarizer is not None
    async with asyncio.timeout(30.0):
        await summarizer.idle()


async def _drained(stream: object) -> None:
    async for _ in stream:  # type: ignore[attr-defined]
        pass
