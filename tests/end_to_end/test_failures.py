"""Providers that refuse connections, stall, cut, reset and send garbage: retried before the first content, told after it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from chat_clients import ChatClient, clients_of, problem_of
from live_gateway import ENTRIES, QUICK_RETRIES, Entry, FakeProviders, LiveGateway, entries_for, gateway_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
PROVIDERS = [entry for entry in ENTRIES if entry.name not in ("ollama-gemma", "azure-entra", "text-oauth", "offline")]
every_provider = pytest.mark.parametrize("entry", PROVIDERS, ids=str)

BEFORE_TEXT = {"claude": 3, "azure-key": 2, "openai-main": 1, "vllm-llama": 1, "ollama-llama": 0, "text-api": 0}
"""Events of each provider's stream before the first with text."""

_PATIENCE_S = 0.4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_fakes: FakeProviders) -> AsyncIterator[LiveGateway]:
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES, "deadline_seconds": 20}
    async with gateway_with({"llm": llm}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(shared_fakes: FakeProviders) -> AsyncIterator[list[ChatClient]]:
    """Both packages, for a gateway that does not wait long."""
    waits = {"timeout_seconds": _PATIENCE_S, "read_timeout_seconds": _PATIENCE_S}
    llm = {"providers": entries_for(shared_fakes), "retry_policy": QUICK_RETRIES, **waits}
    async with gateway_with({"llm": llm}) as running, clients_of(running.url) as clients:
        yield list(clients.values())


@contextlib.asynccontextmanager
async def scripted(*steps: dict[str, Any], **settings: Any) -> AsyncIterator[list[ChatClient]]:
    """Both packages, for a gateway whose builtin provider answers with these steps again and again."""
    entry = {"provider": "builtin", "script": {"steps": list(steps), "repeat": True}, "retry_policy": QUICK_RETRIES}
    async with gateway_with({"llm": {**entry, **settings}}) as running, clients_of(running.url) as clients:
        yield list(clients.values())


async def error_of(client: ChatClient, model: str, **how: Any) -> Any:
    with pytest.raises(client.api_error) as caught:
        await client.ask(model, "hello there", **how)
    return caught.value


# -- before the first content: tried again, then told -------------------------------------------------------------------


@both_ways
@every_provider
async def test_a_provider_that_refuses_connections_is_tried_again_and_then_told(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    fake = fakes.behind(entry)
    await fake.refuse_connections()
    try:
        error = await error_of(client, entry.name, streams=streams)
    finally:
        await fake.accept_connections()
    problem = problem_of(error)
    assert (error.status_code, problem["kind"], problem["source"]) == (502, "connect_failed", "provider")
    assert (problem["provider"], problem["model"], len(problem["attempts"])) == (entry.name, entry.model, 3)
    assert error.response.headers["x-caxton-attempts"] == "3"
    assert error.response.headers["x-should-retry"] == "true"
    assert (await client.ask(entry.name, "hello", streams=streams)).finish == "stop"


@both_ways
@every_provider
async def test_a_connection_that_is_reset_before_the_answer_costs_an_attempt_and_no_more(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    fake = fakes.behind(entry)
    await fake.close_idle_connections()
    fake.reply().reset()
    told = await client.ask(entry.name, "hello there", streams=streams)
    assert told.text.startswith("You said: hello there")
    assert told.headers["x-caxton-attempts"] == "2"
    assert len(fake.requests) == 2


@both_ways
@every_provider
async def test_a_busy_provider_is_tried_again_and_the_answer_says_how_often(
    client: ChatClient, entry: Entry, streams: bool, fakes: FakeProviders
) -> None:
    fakes.behind(entry).fail("provider_failure", times=2)
    told = await client.ask(entry.name, "hello there", streams=streams)
    assert told.headers["x-caxton-attempts"] == "3"
    assert len(fakes.behind(entry).requests) == 3
    if streams:
        assert told.caxton["attempts"] == 3


@both_ways
async def test_what_another_attempt_cannot_mend_is_not_tried_again(
    client: ChatClient, streams: bool, fakes: FakeProviders
) -> None:
    for name in ("authentication", "context_window_exceeded", "content_filtered", "quota_exhausted", "model_not_found"):
        fakes.openai.start_over()
        fakes.openai.fail(name, times=None)
        error = await error_of(client, "openai-main", streams=streams)
        assert len(problem_of(error)["attempts"]) == 1
        assert len(fakes.openai.requests) == 1


async def test_silence_before_the_answer_is_a_timeout_of_each_attempt(
    impatient: list[ChatClient], fakes: FakeProviders
) -> None:
    async def told_by(client: ChatClient, entry: Entry, streams: bool) -> None:
        error = await error_of(client, entry.name, streams=streams)
        problem = problem_of(error)
        assert (error.status_code, problem["kind"]) == (502, "first_byte_timeout")
        assert (problem["provider"], len(problem["attempts"])) == (entry.name, 3)

    for entry in PROVIDERS:
        fakes.behind(entry).reply(times=None).hold()
    cases = [(client, entry, streams) for client in impatient for entry in PROVIDERS for streams in (False, True)]
    await asyncio.gather(*(told_by(*case) for case in cases))
    for entry in PROVIDERS:
        await fakes.behind(entry).wait_all_closed_by_client()


async def test_silence_of_a_stream_before_its_first_text_is_a_timeout_too(
    impatient: list[ChatClient], fakes: FakeProviders
) -> None:
    silent = [entry for entry in PROVIDERS if BEFORE_TEXT[entry.name]]
    for client in impatient:
        for entry in silent:
            fakes.behind(entry).reply().stall_after(BEFORE_TEXT[entry.name])
        for told in await asyncio.gather(*(client.ask(entry.name, "hello there", streams=True) for entry in silent)):
            assert told.text == "You said: hello there"
            assert int(told.headers["x-caxton-attempts"]) >= 2


async def test_a_stream_that_falls_silent_after_its_first_text_ends_with_an_error(
    impatient: list[ChatClient], fakes: FakeProviders
) -> None:
    async def told_by(client: ChatClient, entry: Entry) -> None:
        problem = problem_of(await error_of(client, entry.name, streams=True))
        assert (problem["kind"], problem["provider"]) == ("idle_timeout", entry.name)

    for entry in PROVIDERS:
        fakes.behind(entry).reply(times=None).stall_after(BEFORE_TEXT[entry.name] + 2)
    await asyncio.gather(*(told_by(client, entry) for client in impatient for entry in PROVIDERS))
    for entry in PROVIDERS:
        await fakes.behind(entry).wait_closed_by_client(len(impatient))
        assert len(fakes.behind(entry).requests) == len(impatient)


@every_provider
async def test_a_plain_answer_that_is_cut_is_tried_again(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply().cut_after(1)
    told = await client.ask(entry.name, "hello there")
    assert told.text.startswith("You said: hello there")
    assert told.headers["x-caxton-attempts"] == "2"


@pytest.mark.parametrize("cleanly", [False, True], ids=["torn", "cleanly"])
@every_provider
async def test_a_stream_that_is_cut_before_its_first_text_is_tried_again(
    client: ChatClient, entry: Entry, cleanly: bool, fakes: FakeProviders
) -> None:
    for position in range(BEFORE_TEXT[entry.name] + 1):
        fakes.behind(entry).reply().cut_after(position, into=7, cleanly=cleanly)
        told = await client.ask(entry.name, "hello there", streams=True)
        assert told.text == "You said: hello there"
        assert told.headers["x-caxton-attempts"] == "2"


@every_provider
async def test_a_stream_that_begins_with_an_error_or_garbage_is_tried_again(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    for begins_with_error in (True, False):
        reply = fakes.behind(entry).reply()
        if begins_with_error:
            reply.error_after(0, "provider_failure")
        else:
            reply.garbage_after(0)
        told = await client.ask(entry.name, "hello there", streams=True)
        assert told.text == "You said: hello there"
        assert told.headers["x-caxton-attempts"] == "2"


async def test_an_error_after_the_last_attempt_has_all_of_them(client: ChatClient, fakes: FakeProviders) -> None:
    fakes.openai.fail("provider_failure")
    fakes.openai.reply_raw(b"<html></html>")
    fakes.openai.fail("overloaded")
    error = await error_of(client, "openai-main")
    assert (error.status_code, problem_of(error)["kind"], len(problem_of(error)["attempts"])) == (503, "overloaded", 3)


@pytest.mark.parametrize("headers", [{"retry-after": "0.01"}, {"retry-after-ms": "10"}, {"retry-after": "0"}])
async def test_a_wait_that_the_provider_asks_for_is_kept_when_it_fits(
    client: ChatClient, headers: dict[str, str], fakes: FakeProviders
) -> None:
    fakes.openai.fail("rate_limited", "slow down", headers=headers)
    told = await client.ask("openai-main", "hello there")
    assert told.headers["x-caxton-attempts"] == "2"


async def test_a_wait_beyond_the_deadline_is_not_begun(client: ChatClient, fakes: FakeProviders) -> None:
    fakes.openai.fail("rate_limited", headers={"retry-after": "21"})
    error = await error_of(client, "openai-main")
    assert (error.status_code, error.response.headers["retry-after"]) == (429, "21")
    assert len(fakes.openai.requests) == 1


@both_ways
async def test_what_takes_longer_than_the_deadline_is_504_whatever_is_left_to_try(
    shared_fakes: FakeProviders, fakes: FakeProviders, streams: bool
) -> None:
    llm = {"providers": entries_for(shared_fakes), "deadline_seconds": _PATIENCE_S, "timeout_seconds": 30}
    fakes.openai.reply(times=None).hold()
    async with gateway_with({"llm": llm}) as running, clients_of(running.url) as clients:
        for client in clients.values():
            error = await error_of(client, "openai-main", streams=streams)
            problem = problem_of(error)
            assert (error.status_code, problem["kind"], problem["source"]) == (504, "deadline_exceeded", "gateway")
            assert (problem["provider"], len(problem["attempts"])) == ("openai-main", 1)
    await fakes.openai.wait_closed_by_client(2)


SCRIPTED = [
    ("rate_limited", 429),
    ("overloaded", 503),
    ("provider_failure", 502),
    ("authentication", 502),
    ("context_window_exceeded", 400),
    ("content_filtered", 400),
    ("stream_interrupted", 502),
]


async def test_the_builtin_providers_scripted_failures_are_like_those_of_any_other() -> None:
    for name, status in SCRIPTED:
        async with scripted({"error": name, "retry_after_seconds": 0}, retry_policy={"max_attempts": 1}) as clients:
            for client, streams in product(clients, (False, True)):
                error = await error_of(client, "default", streams=streams)
                assert (error.status_code, problem_of(error)["kind"]) == (status, name)
                assert problem_of(error)["provider"] == "builtin"


async def test_the_builtin_provider_recovers_breaks_off_and_stalls_as_its_script_says() -> None:
    async with scripted({"error": "overloaded", "retry_after_seconds": 0}, {"text": "one two three"}) as clients:
        for client, streams in product(clients, (False, True)):
            told = await client.ask("default", "hello", streams=streams)
            assert (told.text, told.headers["x-caxton-attempts"]) == ("one two three", "2")
    async with scripted({"text": "one two three", "error": "stream_interrupted", "after_chunks": 2}) as clients:
        for client in clients:
            assert problem_of(await error_of(client, "default", streams=True))["kind"] == "stream_interrupted"
    async with scripted({"error": "stall"}, timeout_seconds=_PATIENCE_S, retry_policy={"max_attempts": 1}) as clients:
        for client in clients:
            assert problem_of(await error_of(client, "default"))["kind"] == "first_byte_timeout"


# -- after the first content: told, never a quiet end and never a second answer -----------------------------------------


@pytest.mark.parametrize("cleanly", [False, True], ids=["torn", "cleanly"])
@every_provider
async def test_a_stream_that_is_cut_after_its_first_text_ends_with_an_error(
    client: ChatClient, entry: Entry, cleanly: bool, fakes: FakeProviders
) -> None:
    fake = fakes.behind(entry)
    for position in (BEFORE_TEXT[entry.name] + 1, BEFORE_TEXT[entry.name] + 3):
        fake.start_over()
        fake.reply().cut_after(position, into=5, cleanly=cleanly)
        error = await error_of(client, entry.name, streams=True)
        problem = problem_of(error)
        assert (problem["kind"], problem["source"]) == ("stream_interrupted", "provider")
        assert (problem["provider"], problem["model"]) == (entry.name, entry.model)
        assert len(fake.requests) == 1


@every_provider
async def test_an_error_of_the_provider_inside_a_stream_is_that_error(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply().error_after(BEFORE_TEXT[entry.name] + 2, "provider_failure")
    error = await error_of(client, entry.name, streams=True)
    assert problem_of(error)["kind"] == "provider_failure"
    assert problem_of(error)["source"] == "provider"
    assert len(fakes.behind(entry).requests) == 1


@every_provider
async def test_one_unreadable_event_is_an_error_or_a_warning_but_never_passed_over_in_silence(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply().garbage_after(BEFORE_TEXT[entry.name] + 2)
    try:
        told = await client.ask(entry.name, "hello there", streams=True)
    except client.api_error as error:
        assert problem_of(error)["kind"] == "malformed_response"
    else:
        assert told.text == "You said: hello there"
        assert len(told.caxton["warnings"]) == 1


@every_provider
async def test_garbage_again_and_again_is_an_error(client: ChatClient, entry: Entry, fakes: FakeProviders) -> None:
    start = BEFORE_TEXT[entry.name]
    fakes.behind(entry).reply().garbage_after(start + 1).garbage_after(start + 2).garbage_after(start + 3)
    error = await error_of(client, entry.name, streams=True)
    assert problem_of(error)["kind"] == "malformed_response"


@pytest.mark.parametrize("entry", [entry for entry in PROVIDERS if entry.kind != "custom"], ids=str)
async def test_a_stream_whose_end_marker_alone_is_missing_is_whole_only_where_the_end_was_told(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply().without_end_marker()
    if entry.kind == "ollama":  # its last line is also the one that tells why
        assert problem_of(await error_of(client, entry.name, streams=True))["kind"] == "stream_interrupted"
    elif entry.kind == "anthropic":
        with pytest.raises(client.api_error):
            await client.ask(entry.name, "hello there", streams=True)
    else:
        told = await client.ask(entry.name, "hello there", streams=True)
        assert (told.text, told.finish) == ("You said: hello there", "stop")


@every_provider
async def test_however_the_bytes_of_a_stream_are_cut_the_answer_is_the_same(
    client: ChatClient, entry: Entry, fakes: FakeProviders
) -> None:
    fakes.behind(entry).reply("h\u00e9llo w\u00f6rld \U0001f600").byte_at_a_time()
    told = await client.ask(entry.name, "hello there", streams=True)
    assert (told.text, told.finish) == ("h\u00e9llo w\u00f6rld \U0001f600", "stop")
    fakes.behind(entry).reply("one two").crlf()
    assert (await client.ask(entry.name, "hello there", streams=True)).text == "one two"
    if entry.kind != "ollama":
        reply = fakes.behind(entry).reply("one two")
        for position in range(BEFORE_TEXT[entry.name] + 2):
            reply.insert(position, b": keep-alive\n\n")
        assert (await client.ask(entry.name, "hello there", streams=True)).text == "one two"
