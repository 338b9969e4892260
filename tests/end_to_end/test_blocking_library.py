"""The library without `async`: everything that it does, from any thread."""

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from caxton_llm import ChatRequest, Message, SyncCaxton, TokenCount, UnknownModel
from live_gateway import ENTRIES, QUICK_RETRIES, FakeProviders, entries_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]


def _used_blocking(configuration: dict[str, Any]) -> None:
    with SyncCaxton.from_dict(configuration) as caxton:
        for entry in ENTRIES:
            response = caxton.complete_chat(model=entry.name, messages=HELLO)
            assert response.text.startswith("You said: hello there")
            with caxton.stream_chat(model=entry.name, messages=HELLO) as stream:
                pieces = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
            assert "".join(pieces) == response.text
            assert stream.usage == response.usage
        assert caxton.get_model_info("vllm-llama").context_window == 8_192
        with pytest.raises(UnknownModel):
            caxton.complete_chat(model="nobody", messages=HELLO)
        with caxton.stream_chat(model="openai-main", messages=HELLO) as stream:
            next(iter(stream))
        results: list[str] = []
        threads = [
            threading.Thread(
                target=lambda n=n: results.append(
                    caxton.complete_chat(messages=[{"role": "user", "content": f"{n}!"}]).text
                )
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [f"You said: {n}!" for n in range(8)]
    caxton.close()


async def test_the_blocking_facade_does_all_of_it_from_any_thread(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    await asyncio.to_thread(_used_blocking, {"llm": {"providers": entries_for(shared_fakes)}})


async def test_the_blocking_facade_tells_of_a_stream_and_of_the_entries_what_the_other_tells(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    fakes.openai.fail("overloaded")
    fakes.openai.reply("one two", finish="vanished")
    request = ChatRequest(model="claude", messages=[Message(role="user", content="Hello")])
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES}

    def use() -> None:
        with SyncCaxton.from_dict({"llm": llm}) as caxton:
            with caxton.stream_chat(model="openai-main", messages=HELLO) as stream:
                assert list(stream)
            assert (stream.attempts, len(stream.warnings)) == (2, 1)
            assert "vanished" in stream.warnings[0]
            assert str(stream.request_id).startswith("req_")
            counted = caxton.count_tokens(request, parts=False)
            assert counted == TokenCount(1, estimated=False, provider="claude", at_most=2)
            assert caxton.count_tokens(replace(request, model="offline")).estimated
            assert caxton.target_names() == [entry.name for entry in ENTRIES]
            assert ("gpt-4o", "openai-main") in caxton.model_names()
            assert caxton.deprecation("offline") is None

    await asyncio.to_thread(use)


async def test_the_blocking_facade_closes_a_stream_that_is_left(
    shared_fakes: FakeProviders, fakes: FakeProviders
) -> None:
    fakes.anthropic.reply("one two three four").stall_after(5)

    def leave() -> None:
        with (
            SyncCaxton.from_dict({"llm": {"providers": entries_for(shared_fakes)}}) as caxton,
            caxton.stream_chat(model="claude", messages=HELLO) as stream,
        ):
            next(stream)

    await asyncio.to_thread(leave)
    await fakes.anthropic.wait_closed_by_client()
