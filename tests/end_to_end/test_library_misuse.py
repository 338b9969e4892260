"""The library used from several event loops, after its end, and with the wrong arguments."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from caxton_llm import Caxton, ChatResponse, InvalidRequest, SyncCaxton
from serving import running_gateway

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]
BUILTIN = {"llm": {"provider": "builtin"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), "llm: {provider: builtin}\n") as url:
        yield url


def behind(gateway: str, transport: str) -> dict[str, Any]:
    entry = {"provider": "openai", "model": "builtin", "api_key": "k", "base_url": gateway}
    return {"llm": {**entry, "transport": transport}}


both_transports = pytest.mark.parametrize("transport", ["lean", "aiohttp"])


# -- event loops ------------------------------------------------------------------------------------------------------------


@both_transports
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # what asyncio says of connections whose loop was closed under them
def test_one_caxton_goes_on_in_a_new_event_loop_when_the_old_one_is_closed(gateway: str, transport: str) -> None:
    caxton = Caxton.from_dict(behind(gateway, transport))

    async def ask() -> str:
        answers = await asyncio.gather(*[caxton.complete_chat(messages=HELLO) for _ in range(3)])
        return answers[0].text

    for _ in range(3):
        assert asyncio.run(ask()).startswith("You said: hello there")
    asyncio.run(caxton.aclose())
    gc.collect()


@both_transports
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_requests_at_once_fetch_one_token_in_every_event_loop(gateway: str, transport: str) -> None:
    oauth = {"auth_type": "oauth2", "token_url": f"{gateway}/token", "client_id": "c", "client_secret": "s"}
    api = {"base_url": gateway, **oauth}
    entry = {"provider": "custom", "model": "m", "transport": transport, "provider_config": api, "retry_attempts": 1}
    caxton = Caxton.from_dict({"llm": entry})

    async def ask() -> list[ChatResponse | BaseException]:
        asking = [caxton.complete_chat(messages=HELLO) for _ in range(3)]
        return await asyncio.gather(*asking, return_exceptions=True)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    asyncio.run(caxton.aclose())
    assert [type(failure) for failure in second] == [type(failure) for failure in first]
    assert not any(isinstance(failure, RuntimeError) for failure in first)
    gc.collect()


@both_transports
def test_a_second_event_loop_beside_the_first_is_refused_in_a_sentence(gateway: str, transport: str) -> None:
    async def elsewhere() -> str:
        return (await caxton.complete_chat(messages=HELLO)).text

    with asyncio.Runner() as runner:
        caxton = Caxton.from_dict(behind(gateway, transport))
        runner.run(elsewhere())
        with pytest.raises(RuntimeError, match="another event loop, which is still open"):
            asyncio.run(elsewhere())
        assert runner.run(elsewhere()).startswith("You said: hello there")
        runner.run(caxton.aclose())


# -- after the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["builtin", "lean", "aiohttp"])
async def test_a_closed_caxton_says_that_it_is_closed(gateway: str, provider: str) -> None:
    caxton = Caxton.from_dict(BUILTIN if provider == "builtin" else behind(gateway, provider))
    begun = caxton.stream_chat(messages=HELLO)
    async with caxton:
        await caxton.complete_chat(messages=HELLO)
    uses: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: caxton.complete_chat(messages=HELLO),
        lambda: anext(caxton.stream_chat(messages=HELLO)),
        caxton.get_model_info,
        caxton.__aenter__,
    )
    for use in uses:
        with pytest.raises(RuntimeError, match="this Caxton is closed"):
            await use()
    with pytest.raises(RuntimeError, match="this Caxton is closed"):
        caxton.provider()
    if provider != "builtin":
        with pytest.raises(RuntimeError, match="its Caxton was closed"):
            await anext(begun)


def test_a_closed_blocking_caxton_says_so_too() -> None:
    caxton = SyncCaxton.from_dict(BUILTIN)
    with caxton:
        stream = caxton.stream_chat(messages=HELLO)
        next(stream)
    caxton.close()
    stream.close()
    uses: tuple[Callable[[], object], ...] = (
        lambda: caxton.complete_chat(messages=HELLO),
        lambda: caxton.stream_chat(messages=HELLO),
        caxton.get_model_info,
        caxton.__enter__,
        lambda: next(stream),
    )
    for use in uses:
        with pytest.raises(RuntimeError, match="this Caxton is closed"):
            use()


def test_a_thread_that_waits_for_an_answer_is_not_left_waiting_when_another_closes() -> None:
    caxton = SyncCaxton.from_dict({"llm": {"provider": "builtin", "script": {"steps": [{"delay_ms": 60_000}]}}})
    raised: list[RuntimeError] = []
    asking = threading.Event()

    def ask() -> None:
        stream = caxton.stream_chat(messages=HELLO)
        asking.set()
        try:
            next(stream)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    asking.wait()
    caxton.close()
    thread.join(timeout=10)
    assert [str(error) for error in raised] == ["this Caxton is closed"]


async def test_the_blocking_facade_works_where_an_event_loop_runs() -> None:
    with SyncCaxton.from_dict(BUILTIN) as caxton:  # as in a notebook
        assert caxton.complete_chat(messages=HELLO).text.startswith("You said: hello there")
        assert list(caxton.stream_chat(messages=HELLO))


# -- arguments --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["hi", HELLO], ids=["text", "messages"])
async def test_messages_that_are_not_given_by_name_are_refused_with_the_right_way(request_: Any) -> None:
    async with Caxton.from_dict(BUILTIN) as caxton:
        with pytest.raises(InvalidRequest, match=r"give messages by name, messages=\[\.\.\.\]"):
            await caxton.complete_chat(request_)
        with pytest.raises(InvalidRequest, match="messages="):
            caxton.stream_chat(request_)


async def test_a_whole_answer_cannot_be_asked_for_as_a_stream() -> None:
    async with Caxton.from_dict(BUILTIN) as caxton:
        with pytest.raises(InvalidRequest, match="stream_chat") as caught:
            await caxton.complete_chat(messages=HELLO, stream=True)
        assert caught.value.param == "stream"
        assert (await caxton.complete_chat(messages=HELLO, stream=False)).text.startswith("You said: hello there")
