"""Conversations of agents: what goes on, what is stored once, what branches off, and what is not kept."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from agents_configured import agents_of, configured, drained, entry, exchange, sent, store_of, user
from caxton_llm import Caxton
from caxton_llm.agents.conversation import ConversationKey
from caxton_llm.errors import ConversationChanged, ConversationDeleted, InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.types import Json
from fakes import FakeOpenAI
from fakes.script import ToolCall


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
        store_of(caxton).append(key, [exchange(f"question {n}", f"answer {n}") for n in range(3)])
        again = [*user("question 0"), {"role": "assistant", "content": "answer 0"}, *user("question 1")]
        fake_openai.reply("Other.")
        await caxton.complete_chat(model="agent:A", messages=again, conversation_id="c")
        thread = store_of(caxton).thread(key)
    assert sent(fake_openai)["messages"] == again
    assert len(thread.exchanges) == 4
    assert [message.content for message in thread.exchanges[-1].messages] == ["question 1", "Other."]


async def test_of_two_requests_at_once_one_continues_the_conversation(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(ConversationKey("c", agent="A"), [exchange("hello", "hi")])
        asked = [
            caxton.stream_chat(model="agent:A", messages=user(text), conversation_id="c") for text in ("one", "two")
        ]
        for stream in asked:  # both have read the conversation before either is stored
            await stream.next_batch()
        results = await asyncio.gather(*(drained(stream) for stream in asked), return_exceptions=True)
        thread = store_of(caxton).thread(ConversationKey("c", agent="A"))
    assert [type(result) for result in results if result is not None] == [ConversationChanged]
    assert len(thread.exchanges) == 2


async def test_a_conversation_that_is_deleted_in_use_is_not_begun_anew(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    key = ConversationKey("c", agent="A")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(key, [exchange("hello", "hi")])
        stream = caxton.stream_chat(model="agent:A", messages=user("more"), conversation_id="c")
        await stream.next_batch()
        store_of(caxton).delete(key)
        with pytest.raises(ConversationDeleted):
            await drained(stream)
        assert store_of(caxton).describe(key) is None


async def test_older_turns_are_summarised_by_the_configured_model_after_the_answer(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    context = {"max_exchanges": 2, "summarizer": "gpt-4o"}
    key = ConversationKey("c", agent="A")
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"}, context=context)) as caxton:
        store_of(caxton).append(key, [exchange(f"question {n}", f"answer {n}") for n in range(6)])
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
        await drained(stream)
    assert any("this exchange was not kept" in warning for warning in stream.warnings)


async def test_what_could_not_be_compared_is_kept_alone_behind_what_is_there(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    key = ConversationKey("c", agent="A")
    fake_openai.reply("Two.")
    whole = [*user("first"), {"role": "assistant", "content": "One."}, *user("second")]
    async with Caxton.from_dict(configured(tmp_path, entry(fake_openai), {"name": "A"})) as caxton:
        store_of(caxton).append(key, [exchange("first", "One.")])
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
    (kept,) = thread.exchanges
    assert kept.metadata == {"unfinished": "empty" if not said else finish}
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
        store_of(caxton).append(key, [exchange(f"question {n}", f"answer {n}") for n in range(6)])
        await caxton.complete_chat(model="agent:A", messages=user("next"), conversation_id="c")
        assert agents_of(caxton)._keeping._summarizer is None
    assert len(fake_openai.requests) == 1


def _never_read_in_time(caxton: Caxton) -> None:
    sources = agents_of(caxton).engine.sources
    sources.conversations()
    sources._limits = msgspec.structs.replace(sources._limits, conversation_s=0.0)


async def _summaries_made(caxton: Caxton) -> None:
    summarizer = agents_of(caxton)._keeping._summarizer
    assert summarizer is not None
    async with asyncio.timeout(30.0):
        await summarizer.idle()
