"""A planted key and a planted prompt: whatever goes wrong, neither is in an error, a log, a repr, a metric or a header."""

import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import pytest_asyncio

from caxton_llm.assembly import Assembly, assemble
from caxton_llm.config.load import load_mapping
from caxton_llm.errors import LlmError
from caxton_llm.gateway import Gateway
from caxton_llm.observers.prometheus import PrometheusObserver
from caxton_llm.server.headers import error_headers
from caxton_llm.types import ChatRequest, ContentPart, ImageUrl, Json, Message
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client
from fakes import FakeAnthropic, FakeAzure, FakeCustom, FakeOpenAI, FakeVllm
from live_gateway import ENTRIES, Entry, FakeProviders, entries_for

KEYS = {
    "openai": "sk-proj-planted-0123456789abcdef",
    "anthropic": "sk-ant-api03-planted-0123456789",
    "azure": "0planted1azure2key3",
    "vllm": "planted vllm key".replace(" ", "-"),
    "custom": "plantedhunter2",
}
"""Keys as vendors make them, and as people make them."""

PROMPT = "the-planted-prompt-of-the-caller"
ASKED = [entry for entry in ENTRIES if entry.kind != "builtin"]


class World:
    """A gateway with planted secrets, and the fakes behind it."""

    def __init__(self, fakes: FakeProviders, assembly: Assembly, observer: PrometheusObserver) -> None:
        self.fakes = fakes
        self.assembly = assembly
        self.observer = observer
        self.secrets = {
            *KEYS.values(),
            fakes.azure.client_secret,
            fakes.custom_oauth.client_secret,
            PROMPT,
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    custom: dict[str, Json] = {
        "stream_field": "delta",
        "finish_field": "finish",
        "prompt_tokens_field": "usage.in",
        "completion_tokens_field": "usage.out",
    }
    planted = FakeProviders(
        openai=FakeOpenAI(api_key=KEYS["openai"]),
        anthropic=FakeAnthropic(api_key=KEYS["anthropic"]),
        azure=FakeAzure(api_key=KEYS["azure"]),
        vllm=FakeVllm(api_key=KEYS["vllm"]),
        custom=FakeCustom(api_key=KEYS["custom"], **custom),
    )
    async with planted as fakes:
        observer = PrometheusObserver()
        configuration = {"llm": {"providers": entries_for(fakes), "retry_policy": {"max_attempts": 1}}}
        assembly = assemble(load_mapping(configuration, {}), [observer], {})
        yield World(fakes, assembly, observer)
        await assembly.aclose()


def ways_to_fail(entry: Entry) -> Iterator[str]:
    yield from sorted(getattr(FakeProviders(), "custom" if entry.kind == "custom" else entry.kind).failures)
    yield from ("echo", "echo in a 200", "html", "garbage", "cut", "reset")


def arrange(world: World, entry: Entry, way: str, credential: str) -> None:
    fake = world.fakes.behind(entry)
    if way == "echo":
        fake.fail(403, body={"error": {"message": f"the key {credential} may not do this", "type": "permission"}})
    elif way == "echo in a 200":
        fake.reply_raw(b'{"error":{"message":"bad key %b"}}' % credential.encode(), content_type="application/json")
    elif way == "html":
        fake.reply_raw(b"<html><title>Sorry</title>" + PROMPT.encode())
    elif way == "garbage":
        fake.reply_raw(PROMPT.encode(), content_type="text/plain")
    elif way == "cut":
        fake.reply(PROMPT).cut_after(1)
    elif way == "reset":
        for _ in range(2):  # the first is mended by a fresh connection
            fake.reply("never read").reset()
    else:
        fake.fail(way)


async def credential_of(world: World, entry: Entry) -> str:
    """The key or the token that the entry signs with, as its provider has seen it."""
    await world.assembly.gateway.complete(ChatRequest(model=entry.name, messages=[Message(role="user", content="Hi")]))
    headers = world.fakes.behind(entry).requests[-1].headers
    signed = headers.get("authorization") or headers.get("api-key") or headers.get("x-api-key") or ""
    return signed.rpartition(" ")[2]


CASES = [pytest.param(entry, way, id=f"{entry}-{way}") for entry in ASKED for way in ways_to_fail(entry)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("entry", "way"), CASES)
async def test_no_failure_tells_a_secret(
    entry: Entry, way: str, streams: bool, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.fakes.start_over()
    for state in world.assembly.states:
        state.reset()  # what another failure has taught does not count here
    credential = await credential_of(world, entry)
    arrange(world, entry, way, credential)
    request = ChatRequest(model=entry.name, messages=[Message(role="user", content=PROMPT)], stream=streams)
    seen: list[object] = [request]
    try:
        await answered(world, request, streams)
    except LlmError as error:
        seen += shown(error, request)
    else:
        assert way in ("authentication", "permission", "garbage", "html"), (
            "a token is renewed; a text API answers with any text"
        )
    seen += [world.observer.render(), caplog.text, *map(repr, caplog.records)]
    told = "\n".join(piece if isinstance(piece, str) else repr(piece) for piece in seen)
    assert [secret for secret in {*world.secrets, credential} if secret and secret in told] == []


async def answered(world: World, request: ChatRequest, streams: bool) -> None:
    gateway = world.assembly.gateway
    if not streams:
        await gateway.complete(request)
        return
    async with gateway.stream(request) as stream:
        async for chunk in stream:
            assert PROMPT not in repr(chunk)


def shown(error: LlmError, request: ChatRequest) -> list[object]:
    """Everything that anybody gets to see of an error."""
    linked: list[BaseException] = [error]
    while (cause := linked[-1].__cause__ or linked[-1].__context__) is not None:
        linked.append(cause)
    return [
        openai_client.encode_error(error),
        anthropic_client.encode_error(error),
        openai_client.encoder(request, stream_dialect="", stream_model="").fail(error),
        anthropic_client.encoder(request, stream_dialect="", stream_model="").fail(error),
        error_headers(error, "cax_1"),
        *linked,
        *map(str, linked),
        *error.attempts,
        "".join(traceback.format_exception(error)),
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_no_repr_of_what_a_gateway_is_made_of_tells_a_secret(world: World) -> None:
    seen: list[Any] = [world.assembly, world.assembly.gateway, *world.assembly.states, *world.assembly.transports]
    for target in [state.target for state in world.assembly.states]:
        seen.append(target.provider)
        seen += vars(target.provider).values()
        if (adapter := getattr(target.provider, "adapter", None)) is not None:
            seen += vars(adapter).values()
            seen.append(adapter.probe())
    told = "\n".join(map(repr, seen))
    assert [secret for secret in world.secrets if secret in told] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refused_request_is_told_by_its_path_and_not_by_its_words(world: World) -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl(url=f"ftp://{PROMPT}"))
    part = ContentPart(type="nothing known", text=PROMPT)
    for entry in ASKED:
        for content in ([part], [image], PROMPT):
            fields: dict[str, Any] = {"n": 3, "logit_bias": {PROMPT: 1.0}} if content == PROMPT else {}
            request = ChatRequest(model=entry.name, messages=[Message(role="user", content=content)], **fields)
            try:
                await world.assembly.gateway.complete(request)
            except LlmError as error:
                told = "\n".join(map(repr, shown(error, request)))
                assert PROMPT not in told, entry


HEADER = "blue house by the river"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_a_secret_is_hidden_wherever_and_however_a_provider_repeats_it(streams: bool, world: World) -> None:
    settings = {
        "provider": "openai",
        "model": "gpt-4o",
        "api_key": KEYS["openai"],
        "base_url": world.fakes.openai.base_url,
        "headers": {"x-tenant": HEADER, "x-signed": f"Basic {KEYS['custom']}"},
        "extra_body": {"metadata": {"word": "open-sesame"}},
        "retry_policy": {"max_attempts": 1},
    }
    assembly = assemble(load_mapping({"llm": settings}, {}), [], {})
    planted = (KEYS["openai"], HEADER, KEYS["custom"], "open-sesame")
    request = ChatRequest(messages=[Message(role="user", content="Hi")], stream=streams)
    forms = {form for secret in planted for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    assert len(forms) > len(planted)
    for secret in sorted(forms):
        world.fakes.start_over()
        said = {"message": f"not {secret}", "type": secret, "param": f"at {secret}", "code": f"bad_{secret}"}
        world.fakes.openai.fail(400, body={"error": said}, headers={"x-request-id": f"id-{secret}"})
        with pytest.raises(LlmError) as caught:
            await completed(assembly.gateway, request, streams)
        told = "\n".join(map(repr, [*shown(caught.value, request), vars(caught.value)]))
        assert "***" in told
        assert secret not in told
    assert [
        secret
        for secret in planted
        if secret in "\n".join(map(repr, vars(assembly.states[0].target.provider).values()))
    ] == []
    await assembly.aclose()


QUOTES = {
    "the whole prompt": "Invalid prompt: 'Tell nobody that my card number is 4929 1234 5678 9012.'",
    "its beginning": "Could not read: Tell nobody that my card number is 4929 1234 5...",
    "its end": "... card number is 4929 1234 5678 9012. was flagged",
    "a part": "the part is invalid (my cat is called Archimedes): Tell nobody that my card number is 4929 1234 5678 9012",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("entry", ASKED, ids=str)
async def test_a_prompt_that_a_provider_quotes_is_cut_out_of_its_message(
    entry: Entry, quote: str, streams: bool, world: World
) -> None:
    prompt = "Tell nobody that my card number is 4929 1234 5678 9012."
    part = ContentPart(type="text", text="my cat is called Archimedes")
    world.fakes.start_over()
    world.fakes.behind(entry).fail(400, QUOTES[quote])
    request = ChatRequest(
        model=entry.name,
        messages=[Message(role="system", content=prompt), Message(role="user", content=[part])],
        stream=streams,
    )
    with pytest.raises(LlmError) as caught:
        await completed(world.assembly.gateway, request, streams)
    told = "\n".join(map(repr, [*shown(caught.value, request), vars(caught.value)]))
    assert "[...]" in caught.value.message
    assert "4929 1234" not in told
    assert "Archimedes" not in told


async def completed(gateway: Gateway, request: ChatRequest, streams: bool) -> None:
    if not streams:
        await gateway.complete(request)
        return
    async with gateway.stream(request) as stream:
        assert [chunk async for chunk in stream]
