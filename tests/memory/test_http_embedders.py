"""Embedders over HTTP against a real server: what is sent, what comes back, and everything that goes wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.embedders.http import BATCH_CHARACTERS, EmbeddingEndpoint, HttpEmbedder
from caxton_llm.embedders.opening import calibration_of, open_embedder
from caxton_llm.errors import (
    Authentication,
    ConfigurationError,
    ConnectFailed,
    ContextWindowExceeded,
    FirstByteTimeout,
    LlmError,
    MalformedResponse,
    MisusedError,
    ModelNotFound,
    ProviderFailure,
    RateLimited,
)
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.protocols import Origin
from caxton_llm.routing.retry import RetryPolicy
from caxton_llm.routing.timeouts import Timeouts
from caxton_llm.transport.choose import make_transport
from fakes import FakeEmbeddings

SECRET_TEXT = "my card number is 4929 1234 5678 9012"
OPENAI, OLLAMA = "/v1/embeddings", "/api/embed"


class Waits:
    """Takes the place of waiting, and remembers for how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Rig:
    """An embedder, its server, and the waits between attempts."""

    def __init__(self, server: FakeEmbeddings) -> None:
        self.server = server
        self.waits = Waits()
        self._made: list[HttpEmbedder] = []

    def embedder(self, dialect: str = "openai", **more: Any) -> HttpEmbedder:
        origin = Origin("http", "127.0.0.1", self.server.port)
        fields: dict[str, Any] = {
            "dialect": dialect,
            "origin": origin,
            "path": OPENAI if dialect == "openai" else OLLAMA,
            "model": "embed-small",
            "headers": (("content-type", "application/json"), ("authorization", f"Bearer {self.server.api_key}")),
        }
        settings = {key: more.pop(key) for key in list(more) if key in EmbeddingEndpoint.__struct_fields__}
        made = HttpEmbedder(
            EmbeddingEndpoint(**fields | settings),
            make_transport(),
            secrets=lambda: {self.server.api_key},
            sleep=self.waits,
            jitter=lambda: 1.0,
            **more,
        )
        self._made.append(made)
        return made

    async def close(self) -> None:
        for made in self._made:
            await asyncio.to_thread(made.close)


@pytest.fixture
async def rig(fake_embeddings: FakeEmbeddings) -> AsyncIterator[Rig]:
    rig = Rig(fake_embeddings)
    yield rig
    await rig.close()


async def embedded(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    return await asyncio.to_thread(embedder.embed, texts)


async def refused(embedder: Embedder, texts: Sequence[str] = (SECRET_TEXT,)) -> LlmError:
    """The error, which tells neither the text nor the key."""
    with pytest.raises(LlmError) as caught:
        await embedded(embedder, texts)
    told = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert "4929" not in told
    assert "sk-fake-embeddings" not in told
    return caught.value


def unit(rows: list[list[float]]) -> np.ndarray:
    matrix = np.array(rows)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


@pytest.mark.parametrize("dialect", ["openai", "ollama"])
async def test_rows_have_length_1_in_the_order_of_the_texts_and_blank_texts_are_not_sent(
    rig: Rig, dialect: str
) -> None:
    rig.server.shuffles = True
    embedder = rig.embedder(dialect)
    rows = await embedded(embedder, ["green tea", "", "black coffee", " \n"])
    assert rows.dtype == np.float32
    assert rows[[0, 2]] == pytest.approx(unit([rig.server.vector(text, 8) for text in ("green tea", "black coffee")]))
    assert not rows[[1, 3]].any()
    assert rig.server.texts == ["green tea", "black coffee"]
    assert embedder.dimensions == 8
    assert embedder.name == f"embed-small@{dialect}:127.0.0.1:{rig.server.port}"
    assert len(rig.server.requests) == 1


async def test_dimensions_are_learned_with_one_word_or_asked_for(rig: Rig) -> None:
    embedder = rig.embedder(model="embed-large")
    assert await asyncio.to_thread(lambda: embedder.dimensions) == 16
    assert await asyncio.to_thread(lambda: embedder.dimensions) == 16
    assert len(rig.server.requests) == 1
    short = rig.embedder(dimensions=5)
    assert (short.dimensions, short.name[-2:]) == (5, "#5")
    assert (await embedded(short, ["tea"])).shape == (1, 5)
    assert rig.server.last_request.json["dimensions"] == 5


async def test_without_texts_or_with_blank_ones_only_nothing_is_sent(rig: Rig) -> None:
    embedder = rig.embedder(known_dimensions=8)
    assert (await embedded(embedder, [])).shape == (0, 8)
    assert not (await embedded(embedder, ["", "  "])).any()
    assert rig.server.requests == []


async def test_many_texts_go_out_in_batches_by_number_and_by_length(rig: Rig) -> None:
    embedder = rig.embedder(batch_size=3)
    texts = [f"word{number}" for number in range(8)]
    assert (await embedded(embedder, texts)) == pytest.approx(unit([rig.server.vector(text, 8) for text in texts]))
    assert [len(request.json["input"]) for request in rig.server.requests] == [3, 3, 2]
    rig.server.start_over()
    rig.server.longest = 10 * BATCH_CHARACTERS
    await embedded(embedder, ["a" * (BATCH_CHARACTERS - 5), "b" * 5, "c"])
    assert [len(request.json["input"]) for request in rig.server.requests] == [2, 1]


async def test_a_text_too_long_for_the_model_is_embedded_by_its_beginning_and_keeps_no_other_back(rig: Rig) -> None:
    rig.server.longest = 500
    long = " ".join(f"word{number}" for number in range(300))
    rows = await embedded(rig.embedder(), ["green tea", long])
    assert rows[0] == pytest.approx(unit([rig.server.vector("green tea", 8)])[0])
    assert long.startswith(rig.server.texts[-1])
    assert 200 <= len(rig.server.texts[-1]) <= 500
    rig.server.longest = 2
    assert isinstance(await refused(rig.embedder(), ["green tea"]), ContextWindowExceeded)


async def test_a_rate_limit_is_waited_for_as_the_server_says(rig: Rig) -> None:
    rig.server.fail("rate_limited", path=OPENAI, headers={"retry-after": "7"}, message="slow down")
    rig.server.fail("overloaded", path=OPENAI)
    assert (await embedded(rig.embedder(), ["tea"])).any()
    assert rig.waits.seconds == [7, 2]


async def test_a_wait_that_does_not_fit_the_deadline_is_not_begun(rig: Rig) -> None:
    rig.server.fail("rate_limited", path=OPENAI, headers={"retry-after": "500"}, message="slow down")
    error = await refused(rig.embedder())
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 500
    assert rig.waits.seconds == []


async def test_a_server_that_goes_on_failing_is_given_up_on(rig: Rig) -> None:
    rig.server.fail("provider_failure", path=OLLAMA, body={"error": "out of memory"}, times=None)
    error = await refused(rig.embedder("ollama"))
    assert isinstance(error, ProviderFailure)
    assert "out of memory" in error.message
    assert error.provider == f"ollama embedder at http://127.0.0.1:{rig.server.port}"
    assert len(rig.server.requests) == 3


@pytest.mark.parametrize(
    ("name", "kind"), [("authentication", Authentication), ("model_not_found", ModelNotFound)], ids=str
)
async def test_what_no_repetition_mends_is_not_repeated(rig: Rig, name: str, kind: type[LlmError]) -> None:
    rig.server.fail(name, path=OPENAI)
    assert isinstance(await refused(rig.embedder()), kind)
    assert len(rig.server.requests) == 1


async def test_a_message_that_repeats_the_text_and_the_key_is_told_without_them(rig: Rig) -> None:
    message = f"cannot embed '{SECRET_TEXT}' for {rig.server.api_key}"
    rig.server.fail("invalid_request", message, path=OPENAI)
    error = await refused(rig.embedder())
    assert "cannot embed '[...]' for ***" in error.message


async def test_a_server_that_is_down_is_told_with_its_address(rig: Rig) -> None:
    embedder = rig.embedder()
    await rig.server.refuse_connections()
    error = await refused(embedder)
    assert isinstance(error, ConnectFailed)
    assert f"127.0.0.1:{rig.server.port}" in str(error)
    assert len(rig.waits.seconds) == 2
    await rig.server.accept_connections()
    assert (await embedded(embedder, ["tea"])).any()


async def test_a_server_that_hangs_is_left_after_the_time_limit(rig: Rig) -> None:
    rig.server.reply_raw(b"{}", path=OPENAI).hold()
    once = RetryPolicy(max_attempts=1)
    error = await refused(rig.embedder(timeouts=Timeouts(attempt_s=0.05), retry=once))
    assert isinstance(error, FirstByteTimeout)
    assert "0.05 s" in error.message
    await rig.server.wait_closed_by_client()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no json", "not what the API promises"),
        (b'{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]}', "indexes"),
        (b'{"data": [{"index": 0, "embedding": "AADAfwAAgD8="}]}', "not finite"),
        (
            b'{"data": [{"index": 0, "embedding": [' + b"0.123456789, " * 800_000 + b"1]}]}",
            "800001 numbers instead of 8",
        ),
        (b'{"data": "' + b"x" * 10_000_000 + b'"}', "not what the API promises"),
    ],
    ids=["no json", "count", "nan", "10 MB of numbers", "10 MB of text"],
)
async def test_an_answer_that_cannot_be_right_is_an_error(rig: Rig, body: bytes, message: str) -> None:
    rig.server.reply_raw(body, content_type="application/json", path=OPENAI, times=None)
    error = await refused(rig.embedder(known_dimensions=8))
    assert isinstance(error, MalformedResponse)
    assert message in error.message
    assert len(error.message) < 400


async def test_a_model_that_was_exchanged_behind_its_name_is_noticed(rig: Rig) -> None:
    embedder = rig.embedder(known_dimensions=8)
    rig.server.sizes["embed-small"] = 12
    error = await refused(embedder)
    assert "12 numbers instead of 8" in error.message
    assert len(rig.server.requests) == 1


async def test_a_redirect_is_not_followed(rig: Rig) -> None:
    rig.server.reply_raw(b"", status=307, path=OPENAI, headers={"location": "http://127.0.0.1:1/"})
    error = await refused(rig.embedder())
    assert "base_url" in error.message
    assert len(rig.server.requests) == 1


async def test_threads_share_an_embedder(rig: Rig) -> None:
    embedder = rig.embedder()
    texts = [f"word{number}" for number in range(12)]
    rows = await asyncio.gather(*(embedded(embedder, [text]) for text in texts))
    assert np.concatenate(rows) == pytest.approx(unit([rig.server.vector(text, 8) for text in texts]))


async def test_closing_ends_what_is_under_way_and_what_comes_later(rig: Rig) -> None:
    embedder = rig.embedder()
    rig.server.reply_raw(b"{}", path=OPENAI).hold()
    waiting = asyncio.create_task(embedded(embedder, ["tea"]))
    await rig.server.wait_for_requests()
    await asyncio.to_thread(embedder.close)
    with pytest.raises(MisusedError, match="closed"):
        await waiting
    with pytest.raises(MisusedError, match="closed"):
        await embedded(embedder, ["tea"])
    await asyncio.to_thread(embedder.close)


# -- from settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("kind", ["openai", "ollama"])
async def test_an_address_may_be_written_with_or_without_v1(
    fake_embeddings: FakeEmbeddings, kind: Any, suffix: str
) -> None:
    server = ProviderEntry(
        provider=kind,
        base_url=fake_embeddings.root_url + suffix,
        api_key=fake_embeddings.api_key,
        headers={"x-team": "a"},
    )
    embedder = open_embedder(EmbedderSettings(type=kind, server=server, model="embed-small"))
    assert isinstance(embedder, HttpEmbedder)
    assert (await embedded(embedder, ["tea"])).shape == (1, 8)
    assert fake_embeddings.last_request.headers["x-team"] == "a"
    assert fake_embeddings.api_key not in f"{embedder!r} {vars(embedder)['_endpoint']!r}"
    await asyncio.to_thread(embedder.close)


def test_an_address_or_a_key_that_cannot_be_is_told_with_its_place() -> None:
    for server, key in (
        (ProviderEntry(provider="openai", base_url="ftp://a"), "base_url"),
        (ProviderEntry(provider="openai", api_key="two\nlines"), "api_key"),
    ):
        with pytest.raises(ConfigurationError, match=f"memory.embedder.{key}") as caught:
            open_embedder(EmbedderSettings(type="openai", server=server, model="m"))
        assert "lines" not in str(caught.value)


def test_the_vendors_own_addresses_are_the_defaults_and_known_dimensions_spare_the_question() -> None:
    small = EmbedderSettings(type="openai", server=ProviderEntry(provider="openai"), model="m", dimensions=256)
    assert open_embedder(small).name == "m@openai:api.openai.com#256"
    local = EmbedderSettings(type="ollama", server=ProviderEntry(provider="ollama"), model="m")
    assert open_embedder(local).name == "m@ollama:localhost:11434"
    assert open_embedder(local, {"m@ollama:localhost:11434": 7}).dimensions == 7


def test_folders_are_opened_at_once_and_what_is_wrong_with_them_is_told_with_its_place(tmp_path: Path) -> None:
    default = open_embedder(EmbedderSettings())
    assert default is StaticEmbedder.default()
    with as_file(files("caxton_llm.memory.embedding") / "data") as folder:
        assert open_embedder(EmbedderSettings(type="model2vec", path=str(folder))).name == default.name
    for kind in ("model2vec", "sentence_transformers"):
        with pytest.raises(ConfigurationError, match=r"memory\.embedder: .*holds") as caught:
            open_embedder(EmbedderSettings(type=kind, path=str(tmp_path)))
        assert str(tmp_path) in str(caught.value)


async def test_any_embedder_can_be_calibrated(fake_embeddings: FakeEmbeddings) -> None:
    server = ProviderEntry(provider="openai", base_url=fake_embeddings.base_url, api_key=fake_embeddings.api_key)
    embedder = open_embedder(EmbedderSettings(type="openai", server=server, model="embed-large"))
    assert isinstance(embedder, HttpEmbedder)
    scale = await asyncio.to_thread(calibration_of, embedder)
    assert scale.embedder == embedder.name
    assert len(fake_embeddings.texts) == 200
    assert len(fake_embeddings.requests) == 4
    await asyncio.to_thread(embedder.close)


def test_a_port_where_nobody_listens_is_told_within_the_attempts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        endpoint = EmbeddingEndpoint(dialect="ollama", origin=Origin("http", "127.0.0.1", port), path=OLLAMA, model="m")
        embedder = HttpEmbedder(endpoint, make_transport(), retry=RetryPolicy(max_attempts=1))
        with pytest.raises(ConnectFailed):
            _ = embedder.dimensions
        embedder.close()
