"""A memory whose embedder changes: search goes on, nothing is lost, whatever stops in between."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.embedders.opening import described
from caxton_llm.errors import ConfigurationError, ConnectFailed, InvalidRequest, LlmError, ProviderFailure
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.calibration import default_calibration
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.reembedding import EmbeddedMemory, open_memory
from caxton_llm.stores.sqlite_memory.spaces import kept_embedders
from embedder_changes import changed_to, command
from fakes import FakeEmbeddings
from hashing_embedder import HashingEmbedder, by_words, fact, proposed, searched
from memory_places import Folder, Place, Store

ONE, OTHER, THIRD = (EmbedderSettings(type="model2vec", path=f"/{name}") for name in ("one", "other", "third"))


class FailingEmbedder(HashingEmbedder):
    """Fails while `error` is set."""

    error: LlmError | None = None

    def embed(self, texts: object) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return super().embed(texts)  # type: ignore[arg-type]


class Folders:
    """Stands in for embedders in folders: the one that was opened is the one that is opened again."""

    def __init__(self) -> None:
        self.made: dict[str, FailingEmbedder] = {}
        self.gone: set[str] = set()

    def __call__(self, settings: EmbedderSettings, _known: Mapping[str, int]) -> Embedder:
        name = Path(settings.path or "").name
        if name in self.gone or not name:
            raise ConfigurationError(f"{name}: there is no such folder")
        return self.made.setdefault(name, FailingEmbedder(8 if name == "one" else 12, name))

    def opened(self, place: Place, settings: EmbedderSettings) -> EmbeddedMemory:
        return open_memory(place.to_open(), settings, opener=self, background=False)


@pytest.fixture
def folders() -> Folders:
    return Folders()


def filled(folders: Folders, place: Place, count: int = 30) -> str:
    """A memory with vectors of `one`; returns the id of what is about green tea."""
    with folders.opened(place, ONE) as memory:
        wanted = memory.store.put([fact("tea", "green tea"), *(fact(f"n{n}", f"word{n}") for n in range(count))])[0].id
        memory.step()
        return wanted


def done(memory: EmbeddedMemory, steps: int = 50) -> None:
    """All that there is to do."""
    for _ in range(steps):
        if memory.step():
            return
    raise AssertionError(f"not done after {steps} steps: {memory.status}")


def names(place: Place) -> list[str]:
    return [kept.name for kept in place.to_open().kept_embedders()[0]]


def caught_up(memory: EmbeddedMemory) -> None:
    """What there is is indexed."""
    cast("Store", memory.store).catch_up()


def dense_of(memory: EmbeddedMemory, wanted: str) -> float | None:
    """How near `wanted` is by its vector, with an embedded query as a search has it."""
    embedder = memory.embedder
    vector = embedder.embed(["green tea"])[0]
    found = proposed(memory.store, "green tea", vector, embedder=embedder.name)
    return next(one.dense for one in found if one.id == wanted)


def test_the_previous_embedder_serves_until_every_vector_of_the_new_one_is_there(
    place: Place, folders: Folders
) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, OTHER) as memory:
        assert (memory.status.serving, memory.status.wanted) == ("one", "other")
        assert (dense_of(memory, wanted) or 0) > 0.5
        memory.store.put([fact("late", "written meanwhile")])
        done(memory)
        assert (memory.status.serving, memory.status.wanted, memory.status.missing) == ("other", "other", 0)
        assert (dense_of(memory, wanted) or 0) > 0.5
        assert memory.store.verify() == []
        assert memory.problems == []
    assert names(place) == ["other"]


def test_a_change_that_was_stopped_in_the_middle_goes_on_where_it_was(place: Place, folders: Folders) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, OTHER) as memory:
        memory.store.embed_missing(10)
        assert memory.status.serving == "one"
    made = folders.made["other"].embedded
    with folders.opened(place, OTHER) as memory:
        assert memory.status.serving == "one"
        assert (dense_of(memory, wanted) or 0) > 0.5
        done(memory)
        assert memory.status.serving == "other"
    assert folders.made["other"].embedded - made == 31 - 10


def test_a_change_of_mind_in_the_middle_costs_nothing_that_was_there(place: Place, folders: Folders) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, OTHER) as memory:
        memory.store.embed_missing(10)
    with folders.opened(place, THIRD) as memory:
        assert memory.status.serving == "one"
    made = folders.made["one"].embedded
    with folders.opened(place, ONE) as memory:
        done(memory)
        assert folders.made["one"].embedded == made
        assert (dense_of(memory, wanted) or 0) > 0.5
    assert names(place) == ["one"]


def test_when_the_previous_embedder_is_gone_that_is_said_and_the_new_one_serves_at_once(
    place: Place, folders: Folders
) -> None:
    wanted = filled(folders, place)
    folders.gone.add("one")
    with folders.opened(place, OTHER) as memory:
        assert memory.status.serving == "other"
        (problem,) = memory.problems
        assert "the previous embedder one cannot be opened: one: there is no such folder" in problem
        assert by_words(memory.store, "green tea") == {wanted}
        assert dense_of(memory, wanted) is None
        done(memory)
        assert (dense_of(memory, wanted) or 0) > 0.5
        assert memory.problems == []


def test_a_store_that_does_not_know_how_its_embedder_was_opened_says_so(place: Place, folders: Folders) -> None:
    with place.open(HashingEmbedder(8, "somebody's")) as store:
        store.put([fact("a", "tea")])
    with open_memory(place.to_open(), EmbedderSettings(), background=False) as memory:
        assert "the store does not remember how it was opened" in memory.problems[0]
        done(memory)
        assert searched(memory.store, "tea")[0].dense is not None


def test_an_embedder_that_fails_is_tried_again_with_growing_waits_while_the_previous_one_serves(
    place: Place, folders: Folders
) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, OTHER) as memory:
        folders.made["other"].error = ProviderFailure("out of order")
        assert [memory.step() for _ in range(4)] == [1, 2, 4, 8]
        assert "out of order" in memory.status.problem
        assert memory.problems == [memory.status.problem]
        assert (dense_of(memory, wanted) or 0) > 0.5
        assert memory.store.put([fact("b", "written meanwhile")])[0].action == "created"
        assert [memory.step() for _ in range(20)][-1] == 300
        folders.made["other"].error = None
        done(memory)
        assert memory.status.serving == "other"
        assert memory.problems == []


def test_a_write_does_not_wait_for_an_embedder_that_fails_and_gets_its_vector_later(
    place: Place, folders: Folders
) -> None:
    with folders.opened(place, ONE) as memory:
        done(memory)
        embedder = folders.made["one"]
        embedder.error = ProviderFailure("out of order")
        wanted = memory.store.put([fact("tea", "green tea")])[0].id
        assert memory.store.owes_vectors
        assert by_words(memory.store, "green tea") == {wanted}
        assert memory.step() == 1
        embedder.error = None
        done(memory)
        assert not memory.store.owes_vectors
        assert (dense_of(memory, wanted) or 0) > 0.5
        embedder.error = ProviderFailure("the key is wrong", should_retry=False)
        with pytest.raises(ProviderFailure, match="the key is wrong"):
            memory.store.put([fact("b", "not written")])
        assert memory.store.stats().entities == 1


@pytest.mark.parametrize("indexed", [False, True], ids=["from the tail", "from the index"])
def test_a_vector_that_comes_late_is_found_by_who_has_searched_before(
    place: Place, folders: Folders, indexed: bool
) -> None:
    def found(memory: EmbeddedMemory) -> list[str]:
        """By its vector alone."""
        vector = folders.made["one"].embed(["green tea"])[0]
        return [one.id for one in proposed(memory.store, "", vector, limit=5) if one.dense is not None]

    with folders.opened(place, ONE) as memory, folders.opened(place, ONE) as other:
        done(memory)
        memory.store.put([fact(f"n{n}", f"word{n}") for n in range(300)])
        folders.made["one"].error = ProviderFailure("out of order")
        wanted = memory.store.put([fact("tea", "green tea"), fact("again", "word1 and more")])[0].id
        if indexed:
            caught_up(memory)
        folders.made["one"].error = None
        assert wanted not in found(memory) + found(other)
        done(memory)
        for _ in range(2):
            assert found(memory)[0] == found(other)[0] == wanted
            assert by_words(other.store, "green tea") == {wanted}
            caught_up(memory)
        assert memory.store.verify() == []


def test_a_vector_of_the_embedder_from_before_a_change_is_never_compared(place: Place, folders: Folders) -> None:
    filled(folders, place)
    with folders.opened(place, OTHER) as memory:
        name, vector = memory.embedder.name, memory.embedder.embed(["green tea"])[0]
        done(memory)
        with pytest.raises(InvalidRequest, match="embed the text again") as caught:
            proposed(memory.store, "green tea", vector, embedder=name)
        assert caught.value.code == "embedder_changed"


def test_a_store_of_the_version_before_is_brought_up_to_date_with_its_vectors(tmp_path: Path, folders: Folders) -> None:
    wanted = filled(folders, Folder(tmp_path))
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("create table old (id integer primary key, name text not null unique, dimensions integer not null)")
        db.execute("insert into old select id, name, dimensions from spaces")
        db.execute("drop table spaces")
        db.execute("alter table old rename to spaces")
        db.execute("delete from store where key = 'wanted space'")
        db.execute("pragma user_version = 3")
    db.close()
    made = folders.made["one"].embedded
    with folders.opened(Folder(tmp_path), ONE) as memory:
        assert (dense_of(memory, wanted) or 0) > 0.5
        done(memory)
        assert memory.problems == []
        assert folders.made["one"].embedded == made + 200 + 1  # the scale, and the query
    assert kept_embedders(tmp_path / "memory.db")[0][0].settings == '{"type":"model2vec","path":"/one"}'


def test_the_number_of_a_space_is_never_used_again(tmp_path: Path, folders: Folders) -> None:
    filled(folders, Folder(tmp_path))
    for settings in (OTHER, ONE, THIRD):
        with folders.opened(Folder(tmp_path), settings) as memory:
            if settings is not OTHER:
                done(memory)
    with sqlite3.connect(tmp_path / "memory.db") as db:
        assert db.execute("select id, name from spaces").fetchall() == [(3, "third")]
    db.close()


# -- several processes ------------------------------------------------------------------------------------------------------


def test_two_that_change_the_same_store_share_the_work_and_end_alike(place: Place, folders: Folders) -> None:
    count = 5_200 if isinstance(place, Folder) else 1_200  # a folder's old vectors are deleted in parts of 5,000
    wanted = filled(folders, place, count)
    with folders.opened(place, OTHER) as first, folders.opened(place, OTHER) as second:
        made = folders.made["other"].embedded
        for _ in range(20):
            first.step()
            second.step()
        for memory in (first, second):
            assert memory.status.serving == "other"
            assert (dense_of(memory, wanted) or 0) > 0.5
            assert memory.problems == []
        assert folders.made["other"].embedded - made <= count + 1 + 2
    assert names(place) == ["other"]


def test_who_began_with_the_old_embedder_follows_a_change_by_another(place: Place, folders: Folders) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, ONE) as old:
        done(old)
        with folders.opened(place, OTHER) as new:
            done(new)
        assert old.store.successor() == "other"
        # Until it has noticed: by words alone, never with vectors that are gone, and nothing is lost.
        assert dense_of(old, wanted) is None
        late = old.store.put([fact("late", "green tea again")])[0].id
        assert by_words(old.store, "green tea again") >= {late}
        done(old)
        assert old.status.serving == "other"
        assert "another process has changed the memory's embedder to other" in old.problems[0]
        assert (dense_of(old, wanted) or 0) > 0.5
        assert (dense_of(old, late) or 0) > 0.4
        assert old.store.verify() == []
    assert names(place) == ["other"]


def test_who_cannot_follow_says_so_and_searches_by_words(place: Place, folders: Folders) -> None:
    wanted = filled(folders, place)
    with folders.opened(place, ONE) as old:
        done(old)
        with folders.opened(place, OTHER) as new:
            done(new)
            folders.gone.add("other")
            assert old.step() == 1
            assert "which cannot be opened here: other: there is no such folder" in old.status.problem
            assert by_words(old.store, "green tea") == {wanted}
            assert dense_of(old, wanted) is None
            late = old.store.put([fact("late", "written by the one left behind")])[0].id
            assert by_words(new.store, "left behind") == {late}
    folders.gone.clear()
    with folders.opened(place, OTHER) as new:
        done(new)
        assert (searched(new.store, "written by the one left behind")[0].dense or 0) > 0.5


def test_whoever_was_configured_last_decides(place: Place, folders: Folders) -> None:
    filled(folders, place)
    with folders.opened(place, OTHER) as first, folders.opened(place, THIRD) as second:
        done(first)
        assert (first.status.serving, second.status.serving) == ("one", "one")
        done(second)
        done(first)
        assert (first.status.serving, second.status.serving) == ("third", "third")
    assert names(place) == ["third"]


def test_processes_that_change_a_store_at_once_and_are_killed_leave_it_whole(place: Place) -> None:
    with changed_to(place.to_open(), "one") as old:
        done(old)
        old.store.put([fact(f"n{n}", f"word{n}") for n in range(2_000)])
        with subprocess.Popen(command(place.to_open(), "other"), stdout=subprocess.PIPE, text=True) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == "open\n"
            killed.kill()
        running = [
            subprocess.Popen(command(place.to_open(), "other"), stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for number in range(20):
            old.store.put([fact(f"late{number}", f"late{number}")])
        assert [process.communicate(timeout=120)[0] for process in running] == ["open\nother\n"] * 2
        assert [process.returncode for process in running] == [0, 0]
        done(old)
        assert old.status.serving == "other"
        assert old.store.verify() == []
        assert old.store.stats().without_vector == 0
    assert names(place) == ["other"]


# -- what is remembered -----------------------------------------------------------------------------------------------------


def test_a_scale_is_measured_once_in_the_life_of_a_store(place: Place, folders: Folders) -> None:
    with folders.opened(place, ONE) as memory:
        scale = memory.calibration
        assert scale is not None
        assert scale.embedder == "one"
    made = folders.made["one"].embedded
    assert made == 200
    with folders.opened(place, ONE) as memory:
        assert memory.calibration == scale
    assert folders.made["one"].embedded == made
    with open_memory((place / "default").to_open(), EmbedderSettings(), background=False) as memory:
        assert memory.calibration == default_calibration()


def test_a_key_is_never_kept(place: Place, tmp_path: Path) -> None:
    server = ProviderEntry(provider="openai", base_url="http://127.0.0.1:9", api_key="planted-key-1", name="mine")
    settings = EmbedderSettings(type="openai", server=server, model="m", dimensions=8, provider="mine")
    with place.open(HashingEmbedder(8, "m@openai:127.0.0.1:9#8")) as store:
        store.put([fact("a", "tea")])
    with place.open(HashingEmbedder(8, "m@openai:127.0.0.1:9#8")) as store:
        store.remember_embedder(store.embedder.name, settings=described(settings))
    (kept,), _ = place.to_open().kept_embedders()
    assert (
        kept.settings
        == '{"type":"openai","provider":"mine","base_url":"http://127.0.0.1:9","model":"m","dimensions":8}'
    )
    assert not any(b"planted-key" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


# -- over HTTP --------------------------------------------------------------------------------------------------------------


def over_http(server: FakeEmbeddings, model: str = "embed-small", **more: object) -> EmbedderSettings:
    entry = ProviderEntry(provider="openai", base_url=server.base_url, api_key=server.api_key)
    return EmbedderSettings(type="openai", server=entry, model=model, **more)  # type: ignore[arg-type]


async def test_from_the_packaged_embedder_to_one_over_http_and_on_to_another_model(
    place: Place, fake_embeddings: FakeEmbeddings
) -> None:
    def work() -> list[str]:
        serving = []
        with open_memory(place.to_open(), EmbedderSettings(), background=False) as memory:
            wanted = memory.store.put([fact("tea", "green tea"), fact("sky", "blue sky")])[0].id
            serving.append(memory.status.serving)
        for settings in (over_http(fake_embeddings), over_http(fake_embeddings, "embed-large")):
            with open_memory(place.to_open(), settings, background=False) as memory:
                serving.append(memory.status.serving)
                assert (dense_of(memory, wanted) or 0) > 0.5
                done(memory)
                assert (dense_of(memory, wanted) or 0) > 0.5
                assert memory.calibration is not None
                serving.append(memory.status.serving)
        return serving

    host = f"openai:127.0.0.1:{fake_embeddings.port}"
    small, large = f"embed-small@{host}", f"embed-large@{host}"
    default = StaticEmbedder.default().name
    assert await asyncio.to_thread(work) == [default, default, small, small, large]


async def test_a_server_that_is_down_when_the_memory_is_opened_keeps_nothing_from_being_found(
    place: Place, fake_embeddings: FakeEmbeddings
) -> None:
    settings = over_http(fake_embeddings)
    with open_memory(place.to_open(), EmbedderSettings(), background=False) as memory:
        wanted = memory.store.put([fact("tea", "green tea")])[0].id
    await fake_embeddings.refuse_connections()

    def begin() -> EmbeddedMemory:
        with pytest.raises(ConnectFailed):
            open_memory((place / "empty").to_open(), settings, background=False)
        memory = open_memory(place.to_open(), settings, background=False)
        assert memory.status.serving == StaticEmbedder.default().name
        assert "refused the connection" in memory.problems[0]
        assert (dense_of(memory, wanted) or 0) > 0.3
        memory.step()
        return memory

    memory = await asyncio.to_thread(begin)
    await fake_embeddings.accept_connections()

    def end() -> None:
        with memory:
            done(memory)
            assert memory.problems == []
            assert memory.status.serving.startswith("embed-small@")

    await asyncio.to_thread(end)
    # Now the store knows the embedder, and opens without its server.
    await fake_embeddings.refuse_connections()

    def again() -> None:
        with open_memory(place.to_open(), settings, background=False) as memory:
            assert memory.calibration is not None
            assert by_words(memory.store, "green tea") == {wanted}

    await asyncio.to_thread(again)


async def test_the_thread_embeds_by_itself_and_ends_with_the_memory(
    place: Place, fake_embeddings: FakeEmbeddings
) -> None:
    with open_memory(place.to_open(), EmbedderSettings(), background=False) as memory:
        memory.store.put([fact(f"n{n}", f"word{n}") for n in range(20)])
    opening = fake_embeddings.reply(times=5)  # one for the dimensions, four for the scale
    opening.path = "/v1/embeddings"
    held = fake_embeddings.reply_raw(b"{}", path="/v1/embeddings", times=None).hold()
    memory = await asyncio.to_thread(open_memory, place.to_open(), over_http(fake_embeddings))
    await held.wait_reached()
    assert memory.status.serving == StaticEmbedder.default().name
    await asyncio.to_thread(memory.close)
    await fake_embeddings.wait_closed_by_client()
    fake_embeddings.start_over()
    memory = await asyncio.to_thread(open_memory, place.to_open(), over_http(fake_embeddings))
    assert await asyncio.to_thread(memory.wait, 20.0)
    assert memory.status.serving.startswith("embed-small@")
    assert len(fake_embeddings.requests) == 1
    await asyncio.to_thread(memory.close)
