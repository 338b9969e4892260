"""Requests to agents through the library: what the provider is sent, what is kept, and what goes wrong in words."""

import json
import sys
from pathlib import Path

import pytest

from agents_configured import agents_of, configured, entry, exchange, sent, store_of, user
from caxton_llm import Caxton
from caxton_llm.agents.conversation import ConversationKey
from caxton_llm.errors import (
    ContextWindowExceeded,
    DeadlineExceeded,
    InvalidRequest,
    UnknownModel,
)
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Turn
from caxton_llm.memory_system import Memory
from caxton_llm.types import ChatRequest, Json, Message
from fakes import FakeAnthropic, FakeOpenAI
from fakes.script import ToolCall, Usage
from mcp_running import PROGRAMS


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


async def test_a_question_that_is_asked_again_and_again_does_not_displace_its_answer(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    question = "What colour should the title page of reports have?"
    with Memory.open(tmp_path / "memory") as memory:
        said = [question] * 12 + ["I prefer reports with a blue title page."]
        memory.add([Turn(conversation=f"c{n}", index=0, role="user", text=one) for n, one in enumerate(said)])
    configuration = configured(tmp_path, entry(fake_openai), {"name": "A"}, memory={"path": str(tmp_path / "memory")})
    async with Caxton.from_dict(configuration) as caxton:
        document = await caxton.prepare_context(model="agent:A", messages=user(question))
    memories = {one.text: one for one in document.candidates if one.source == "memory"}
    assert memories["I prefer reports with a blue title page."].kept
    assert memories[question].reason == "repeats another"
    assert len(memories) == 2


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


OPTIONAL = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("weather")
@server.tool(structured_output=False)
def forecast(city: str, days: int = 3, unit: str | None = None) -> str:
    return f"{city}: {days} days, {unit}"
@server.tool(structured_output=False)
def free(filter: dict) -> str:
    return "anything"
server.run()
"""


async def test_tools_that_ask_for_structured_output_are_strict_and_get_what_was_left_out_as_their_own_defaults(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    program = tmp_path / "weather.py"
    program.write_text(OPTIONAL)
    wished = {"provider_optimization": {"openai": {"structured_output": True}}}
    servers = [
        {
            "name": "weather",
            "command": sys.executable,
            "args": [str(program)],
            "context_requirements": {"forecast": wished, "free": wished},
        }
    ]
    fake_openai.reply(None, ToolCall("forecast", {"city": "Rome", "days": None, "unit": None}, "call_1"))
    fake_openai.reply("Done.")
    agent = {"name": "A", "tools": ["weather.*"]}
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent, mcp={"servers": servers})) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user("The forecast for Rome?"))
    told = {tool["function"]["name"]: tool["function"] for tool in sent(fake_openai, 0)["tools"]}
    assert told["forecast"]["strict"] is True
    assert told["forecast"]["parameters"]["required"] == ["city", "days", "unit"]
    assert "strict" not in told["free"]
    assert any("structured_output" in warning and warning.endswith("free") for warning in answer.warnings)
    assert "Rome: 3 days, None" in sent(fake_openai)["messages"][-1]["content"]


async def test_a_full_context_makes_room_for_what_the_tools_give(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    servers = [{"name": "odd", "command": sys.executable, "args": [str(PROGRAMS / "odd_tools.py")]}]
    agent = {
        "name": "A",
        "tools": ["odd.echo"],
        "context": {"budget": 1_200},
        "conversation": {"strategy": "sliding_window", "max_turns": 60},
    }
    text = "price " * 300
    fake_openai.reply(None, ToolCall("echo", {"text": text}, "call_1"))
    fake_openai.reply(None, ToolCall("echo", {"text": text}, "call_2"))
    fake_openai.reply("Done.")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent, mcp={"servers": servers})) as caxton:
        key = ConversationKey("c", agent="A")
        store_of(caxton).append(key, [exchange(f"question {n} of prices", f"price {n} " * 30) for n in range(60)])
        answer = await caxton.complete_chat(model="agent:A", messages=user("What prices?"), conversation_id="c")
    assert answer.text == "Done."
    assert answer.context is not None
    assert answer.context.tokens <= 1_200
    assert any("results of tools were shortened" in warning for warning in answer.warnings)
    assert [message["role"] for message in sent(fake_openai)["messages"]][-4:] == [
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]


async def test_what_is_told_of_the_context_is_of_the_target_that_answered(
    tmp_path: Path, fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    fake_openai.fail("overloaded", times=None)
    first = {"name": "first", "priority": 2, **entry(fake_openai, retry_policy={"max_attempts": 1})}
    second = {"name": "second", "priority": 1, **entry(fake_anthropic), "context_window": 3_000}
    agent = {"name": "A", "context": {"oversize": "summarize"}}
    text = "What does it say?\n\n" + "\n\n".join(f"Paragraph {n} tells of item {n} and its price." for n in range(600))
    async with Caxton.from_dict(configured(tmp_path, {"providers": [first, second]}, agent)) as caxton:
        answer = await caxton.complete_chat(model="agent:A", messages=user(text))
    assert answer.provider == "second"
    assert answer.context is not None
    assert answer.context.budget < 3_000
    assert "words left out" in json.dumps(sent(fake_anthropic)["messages"])
    assert "words left out" not in json.dumps(sent(fake_openai)["messages"])


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
        with pytest.raises(
            ContextWindowExceeded, match=r"take \d+ tokens, the budget for the whole context is 100 \(ins"
        ):
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


@pytest.mark.parametrize("oversize", ["summarize", "multi_turn"])
async def test_a_prepared_context_shows_what_becomes_of_an_oversized_request(
    tmp_path: Path, fake_openai: FakeOpenAI, oversize: str
) -> None:
    agent = {"name": "A", "context": {"budget": 600, "oversize": oversize}}
    text = "What does it say?\n\n" + "\n\n".join(f"Paragraph {n} tells of item {n} and its price." for n in range(300))
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), agent)) as caxton:
        document = await caxton.prepare_context(model="agent:A", messages=user(text))
    metadata = document.context_metadata
    assert metadata.total_context_tokens <= 600
    assert any("shortened" in note for note in metadata.notes)
    assert any("in parts" in note for note in metadata.notes) == (oversize == "multi_turn")
    assert not fake_openai.requests


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


async def test_a_context_is_prepared_only_for_agents_and_the_error_names_those_that_there_are() -> None:
    agents: Json = [{"name": "A", "capabilities": ["c"]}]
    async with Caxton.from_dict({"llm": {"provider": "builtin"}, "agents": agents}) as caxton:
        with pytest.raises(
            UnknownModel, match="model must name an agent, and 'default' is none; there is: agent:A, capability:c"
        ):
            await caxton.prepare_context(messages=user("Hi"))
        with pytest.raises(UnknownModel, match="'builtin' is none; there is: agent:A, capability:c"):
            await caxton.prepare_context(model="builtin", messages=user("Hi"))
        with pytest.raises(InvalidRequest, match="must be a list of names"):
            await caxton.prepare_context(model="agent:A", messages=user("Hi"), providers="anthropic")
    async with Caxton.from_dict({"llm": {"provider": "builtin"}}) as caxton:
        with pytest.raises(UnknownModel, match="none is configured"):
            await caxton.prepare_context(model="agent:A", messages=user("Hi"))
