"""The `openai` package and plain HTTP prove the laboratory: every model goes wrong as `FAULTS` says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from fakes.http_server import Json
from faults.continuing import ContinuingOllama, ContinuingVllm
from faults.laboratory import CUT_AFTER, FAULTS, FIRST_KEY, KEYS, SECOND_KEY, TEXT, TOKENS, Laboratory

USER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]
BEGUN: list[ChatCompletionMessageParam] = [*USER, {"role": "assistant", "content": "word1 word2"}]

both_ways = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])


@dataclass
class Answered:
    """What came before the end, or before the error."""

    text: str = ""
    finish: str | None = None
    pieces: int = 0
    usage: bool = False


@pytest.fixture
async def lab() -> AsyncIterator[Laboratory]:
    async with Laboratory() as server:
        yield server


@pytest.fixture
async def client(lab: Laboratory) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=lab.base_url, api_key=KEYS[0], max_retries=0, timeout=10) as opened:
        yield opened


async def ask(
    client: openai.AsyncOpenAI,
    model: str,
    *,
    streams: bool,
    messages: list[ChatCompletionMessageParam] = USER,
    into: Answered | None = None,
) -> Answered:
    """A whole answer; `into` has what came of one that breaks off."""
    answered = into or Answered()
    if not streams:
        answer = await client.chat.completions.create(model=model, messages=messages)
        only = answer.choices[0]
        return Answered(only.message.content or "", only.finish_reason, 1, answer.usage is not None)
    chunks = await client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    async for chunk in chunks:
        answered.usage |= chunk.usage is not None
        for choice in chunk.choices:
            answered.text += choice.delta.content or ""
            answered.pieces += bool(choice.delta.content)
            answered.finish = choice.finish_reason or answered.finish
    return answered


def body_for(model: str, **more: Json) -> Json:
    return {"model": model, "messages": USER, **more}


@both_ways
async def test_a_healthy_model_gives_the_whole_text(client: openai.AsyncOpenAI, lab: Laboratory, streams: bool) -> None:
    told = await ask(client, "healthy", streams=streams)
    assert (told.text, told.finish, told.usage) == (TEXT, "stop", True)
    assert told.pieces == (TOKENS if streams else 1)
    assert lab.asked_for == {"healthy": 1}
    assert lab.keys == {"healthy": [KEYS[0]]}


STATUSES = [
    ("rate-limited", 429, "rate_limit_exceeded"),
    ("unavailable", 503, "server_is_overloaded"),
    ("too-long", 400, "context_length_exceeded"),
    ("filtered", 400, "invalid_prompt"),
    ("bad-key", 401, "invalid_api_key"),
    ("bad-key-a", 401, "invalid_api_key"),
    ("no-quota", 429, "insufficient_quota"),
    ("no-quota-a", 429, "insufficient_quota"),
]


@both_ways
@pytest.mark.parametrize(("model", "status", "code"), STATUSES)
async def test_a_refusing_model_refuses_again_and_again(
    client: openai.AsyncOpenAI, lab: Laboratory, model: str, status: int, code: str, streams: bool
) -> None:
    for _ in range(3):
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(client, model, streams=streams)
        assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.response.headers.get("retry-after") == ("1" if model == "rate-limited" else None)
    assert lab.asked_for == {model: 3}


@both_ways
async def test_a_model_that_fails_once_answers_then(client: openai.AsyncOpenAI, streams: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(client, "fails-once", streams=streams)
    assert caught.value.status_code == 500
    assert (await ask(client, "fails-once", streams=streams)).text == TEXT


async def test_a_rate_limit_is_over_when_the_wait_is_and_not_before(
    client: openai.AsyncOpenAI, lab: Laboratory
) -> None:
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(client, "rate-limited-once", streams=False)
        assert caught.value.response.headers["retry-after"] == "1"
    lab.opens_at = asyncio.get_running_loop().time()
    assert (await ask(client, "rate-limited-once", streams=False)).text == TEXT


@both_ways
@pytest.mark.parametrize("fault", ["bad-key-a", "no-quota-a"])
async def test_the_second_key_is_good(lab: Laboratory, fault: str, streams: bool) -> None:
    for key in (FIRST_KEY, SECOND_KEY):
        async with openai.AsyncOpenAI(base_url=lab.base_url, api_key=key, max_retries=0) as client:
            if key == SECOND_KEY:
                assert (await ask(client, fault, streams=streams)).text == TEXT
            else:
                with pytest.raises(openai.APIStatusError):
                    await ask(client, fault, streams=streams)
    assert lab.keys[fault] == [FIRST_KEY, SECOND_KEY]


async def test_an_unknown_key_is_refused_and_not_counted(lab: Laboratory) -> None:
    async with openai.AsyncOpenAI(base_url=lab.base_url, api_key="sk-other", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await ask(client, "healthy", streams=False)
    assert not lab.asked_for


@both_ways
async def test_a_resetting_model_resets_before_any_byte(client: openai.AsyncOpenAI, streams: bool) -> None:
    with pytest.raises(openai.APIConnectionError) as caught:
        await ask(client, "resets", streams=streams)
    assert type(caught.value.__cause__).__name__ == "ReadError"


@both_ways
@pytest.mark.parametrize("model", ["silent", "late"])
async def test_a_silent_model_says_nothing_before_its_first_token(lab: Laboratory, model: str, streams: bool) -> None:
    async with httpx.AsyncClient(timeout=0.3) as http:
        url, headers = f"{lab.base_url}/chat/completions", {"authorization": f"Bearer {KEYS[0]}"}
        received = b""
        with pytest.raises(httpx.ReadTimeout):
            async with http.stream("POST", url, headers=headers, json=body_for(model, stream=streams)) as response:
                async for part in response.aiter_bytes():
                    received += part
    await lab.wait_closed_by_client()
    assert received.count(b"data: ") == (1 if model == "late" and streams else 0)
    assert b"word" not in received


@pytest.mark.parametrize("model", ["cut", "stalls"])
async def test_a_stream_breaks_off_after_forty_of_sixty_tokens(
    lab: Laboratory, client: openai.AsyncOpenAI, model: str
) -> None:
    came = Answered()
    patient = client.with_options(timeout=0.3)
    with pytest.raises(openai.APIConnectionError if model == "cut" else openai.APITimeoutError):
        await ask(patient, model, streams=True, into=came)
    assert (came.pieces, came.finish, came.usage) == (CUT_AFTER, None, False)
    assert came.text == " ".join(TEXT.split()[:CUT_AFTER])


async def test_a_stream_that_is_cut_cleanly_looks_like_an_end_to_who_does_not_look(client: openai.AsyncOpenAI) -> None:
    told = await ask(client, "cut-cleanly", streams=True)
    assert (told.pieces, told.finish, told.usage) == (CUT_AFTER, None, False)


async def test_a_stream_that_is_cut_early_has_no_token(client: openai.AsyncOpenAI) -> None:
    came = Answered()
    with pytest.raises(openai.APIConnectionError):
        await ask(client, "cut-early", streams=True, into=came)
    assert came == Answered()


@pytest.mark.parametrize("model", ["cut", "cut-cleanly", "cut-early"])
async def test_a_plain_body_that_is_cut_is_shorter_than_it_says(client: openai.AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.APIConnectionError) as caught:
        await ask(client, model, streams=False)
    assert type(caught.value.__cause__).__name__ == "RemoteProtocolError"


async def test_a_plain_body_stalls_in_its_middle(lab: Laboratory) -> None:
    received = b""
    async with httpx.AsyncClient(timeout=0.3) as http:
        url, headers = f"{lab.base_url}/chat/completions", {"authorization": f"Bearer {KEYS[0]}"}
        with pytest.raises(httpx.ReadTimeout):
            async with http.stream("POST", url, headers=headers, json=body_for("stalls")) as response:
                length = int(response.headers["content-length"])
                async for part in response.aiter_bytes():
                    received += part
    assert length // 3 < len(received) < length


async def lines_of(lab: Laboratory, model: str) -> list[bytes]:
    async with httpx.AsyncClient() as http:
        headers = {"authorization": f"Bearer {KEYS[0]}"}
        body = body_for(model, stream=True, stream_options={"include_usage": True})
        response = await http.post(f"{lab.base_url}/chat/completions", headers=headers, json=body)
    return [line for line in response.content.split(b"\n") if line]


async def test_a_malformed_stream_is_whole_but_for_one_event_more(lab: Laboratory) -> None:
    whole, malformed = await lines_of(lab, "healthy"), await lines_of(lab, "malformed")
    assert len(malformed) == len(whole) + 1
    assert malformed[1 + CUT_AFTER] == lab.garbage.strip()
    assert malformed[-1] == b"data: [DONE]"


async def test_a_malformed_plain_body_is_no_json(client: openai.AsyncOpenAI) -> None:
    with pytest.raises((ValueError, openai.APIError)):
        await ask(client, "malformed", streams=False)


async def test_a_stream_without_its_end_marker_has_all_else(lab: Laboratory, client: openai.AsyncOpenAI) -> None:
    assert b"data: [DONE]" not in await lines_of(lab, "no-done")
    for streams in (True, False):
        told = await ask(client, "no-done", streams=streams)
        assert (told.text, told.finish, told.usage) == (TEXT, "stop", True)


@both_ways
async def test_a_begun_answer_is_refused_by_the_model_that_refuses_it(
    client: openai.AsyncOpenAI, streams: bool
) -> None:
    assert (await ask(client, "refuses-prefill", streams=streams)).text == TEXT
    with pytest.raises(openai.BadRequestError):
        await ask(client, "refuses-prefill", streams=streams, messages=BEGUN)


@both_ways
async def test_the_switch_decides_whether_flaps_answers(
    client: openai.AsyncOpenAI, lab: Laboratory, streams: bool
) -> None:
    for up in (True, False, True):
        lab.up = up
        if up:
            assert (await ask(client, "flaps", streams=streams)).text == TEXT
        else:
            with pytest.raises(openai.InternalServerError):
                await ask(client, "flaps", streams=streams)
    assert (lab.asked_for["flaps"], lab.asked_while_down) == (3, 1)


async def test_starting_over_forgets_every_count(client: openai.AsyncOpenAI, lab: Laboratory) -> None:
    with pytest.raises(openai.InternalServerError):
        await ask(client, "fails-once", streams=False)
    lab.start_over()
    assert (lab.asked_for, lab.keys, lab.up) == ({}, {}, True)
    with pytest.raises(openai.InternalServerError):
        await ask(client, "fails-once", streams=False)


async def test_every_fault_is_a_model_that_the_laboratory_lists(client: openai.AsyncOpenAI) -> None:
    assert {model.id async for model in await client.models.list()} == set(FAULTS)


@both_ways
async def test_vllm_continues_only_when_it_is_told_to(streams: bool) -> None:
    async with (
        ContinuingVllm() as server,
        openai.AsyncOpenAI(base_url=server.v1_url, api_key=server.api_key, max_retries=0) as client,
    ):
        assert (await ask(client, "llama-3.1-8b", streams=streams, messages=BEGUN)).text == TEXT
        for flags in ({"continue_final_message": True, "add_generation_prompt": False}, {}):
            answer = await client.chat.completions.create(model="llama-3.1-8b", messages=BEGUN, extra_body=flags)
            assert answer.choices[0].message.content == (TEXT.removeprefix("word1 word2") if flags else TEXT)


async def test_ollama_continues_what_an_assistant_began() -> None:
    async with ContinuingOllama() as server, httpx.AsyncClient(base_url=server.base_url) as http:
        for messages, text in ((BEGUN, TEXT.removeprefix("word1 word2")), (USER, TEXT)):
            body = {"model": "llama3.2", "messages": messages, "stream": False}
            assert (await http.post("/api/chat", json=body)).json()["message"]["content"] == text
