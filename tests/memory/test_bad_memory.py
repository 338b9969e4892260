"""Bad input, and disks and files that fail: clear errors, and nothing that was acknowledged is lost."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.merging import name_key
from caxton_llm.memory.model import Entity, Observation, Relation
from caxton_llm.stores.sqlite_memory.schema import SCHEMA
from hashing_embedder import by_words, fact, opened, said

HUGE = 10**7


def index_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "index").rglob("*") if path.is_file() and path.name != "writer.lock")


@pytest.mark.parametrize("damage", ["cut", "flipped", "deleted", "emptied"])
def test_any_damaged_index_file_is_noticed_and_the_index_is_made_anew(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path / "good") as store:
        ids = [one.id for one in store.put([fact(f"n{n}", f"word{n} tea") for n in range(50)])]
        store.catch_up()
    for number, file in enumerate(index_files(tmp_path / "good")):
        folder = tmp_path / f"copy{number}"
        shutil.copytree(tmp_path / "good", folder)
        path = folder / file.relative_to(tmp_path / "good")
        content = path.read_bytes()
        if damage == "deleted":
            path.unlink()
        else:
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :] if content else b"x"
            path.write_bytes({"cut": content[:middle], "flipped": flipped, "emptied": b""}[damage])
        with opened(folder) as store:
            assert by_words(store, "tea", limit=100) == set(ids)
            store.catch_up()
            assert by_words(store, "word7") == {ids[7]}
            assert store.verify() == []


def test_an_index_of_another_database_or_newer_than_this_one_is_not_used(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as one:
        one.put([fact("a", "tea")])
        shutil.copytree(tmp_path / "one", tmp_path / "earlier")
        one.put([fact(f"n{n}", "coffee") for n in range(5)])
        one.catch_up()
    shutil.rmtree(tmp_path / "earlier/index", ignore_errors=True)
    shutil.copytree(tmp_path / "one/index", tmp_path / "earlier/index")
    with opened(tmp_path / "other") as other:
        wanted = other.put([fact("b", "tea")])[0].id
    shutil.rmtree(tmp_path / "other/index")
    shutil.copytree(tmp_path / "one/index", tmp_path / "other/index")
    with opened(tmp_path / "other") as other:
        assert by_words(other, "tea coffee") == {wanted}
        assert other.catch_up()
        assert by_words(other, "tea coffee") == {wanted}
    with opened(tmp_path / "earlier") as earlier:
        assert earlier.stats().waiting == 1
        assert "newer" in earlier.problems[0]
        assert by_words(earlier, "coffee") == set()


def test_a_damaged_database_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(MemoryStoreError, match=r"damaged or no database.*backup"):
        opened(tmp_path)
    assert (tmp_path / "memory.db").read_bytes().startswith(b"this is no database")


def test_a_database_of_something_else_is_told_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("create table precious (x)")
    db.close()
    with pytest.raises(MemoryStoreError, match="something else"):
        opened(tmp_path)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute(f"pragma user_version = {SCHEMA + 1}")
    db.close()
    with pytest.raises(MemoryStoreError, match="newer version"):
        opened(tmp_path)


ADDED_COLUMNS = {
    "passages": ["tokens"],
    "records": ["confidence"],
    "relations": ["strength"],
    "turns": ["speaker", "asks"],
}


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        tea = Entity(
            name="a", type="drink", observations=(Observation("tea", confidence=0.25),), metadata={"tags": ["Hot"]}
        )
        one, other, turn = (one.id for one in store.put([tea, fact("b"), said(3, "tea?", speaker="Ann")]))
        store.put([Relation(source=one, target=other, type="near", strength=0.5)])
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("drop table areas")
        for table, columns in ADDED_COLUMNS.items():
            for column in columns:
                db.execute(f"alter table {table} drop column {column}")
        db.execute("delete from store where key = 'vocabulary'")
        db.execute("pragma user_version = 1")
    db.close()
    with opened(tmp_path) as store:
        assert store.stats().schema == SCHEMA
        for area in ("hot", "drink"):
            assert by_words(store, "tea", Filters(focus_areas=(area,))) == {one}
        found = store.candidates(StoreQuery(text="tea", names=(name_key("ann"),), relations=True))
        ids = [record.id for record in store.load(found.keys.tolist(), tenant="").values()]
        assert sorted(ids) == sorted([one, other, turn])
        first, second, third = (int(place) for place in np.argsort(found.keys))
        assert found.confidence[first] == 0.25
        assert (found.asks[third], found.named[third], found.position[third]) == (True, True, 3)
        assert found.related.tolist() == [[first, second], [second, first]]
        assert found.strengths.tolist() == [0.5, 0.5]
        assert found.lengths.all()
        assert store.verify() == []


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from caxton_llm.errors import MemoryStoreError
from hashing_embedder import fact, opened, by_words
store = opened(Path({folder!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
kept = 0
try:
    for n in range(10_000):
        store.put([fact(f"n{{n}}", f"word{{n}} " * 100)])
        kept += 1
except MemoryStoreError as error:
    print("error:", error)
print("readable:", len(by_words(store, f"word{{kept - 1}}")))
try:
    store.catch_up()
except MemoryStoreError as error:
    print("index:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.put([fact("after", "wordafter")])
print("after:", len(by_words(store, "wordafter")))
print("kept:", kept)
"""


def test_a_full_disk_is_told_what_was_acknowledged_stays_and_it_goes_on_when_there_is_space(tmp_path: Path) -> None:
    code = FULL_DISK.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    said = dict(line.split(": ", 1) for line in ran.stdout.splitlines())
    assert ran.returncode == 0, ran.stderr
    assert "space" in said["error"] or "full" in said["error"]
    assert (said["readable"], said["after"]) == ("1", "1")
    with opened(tmp_path) as store:
        assert store.stats().entities == int(said["kept"]) + 1
        store.catch_up()
        assert store.verify() == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


READ_ONLY = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from caxton_llm.errors import MemoryStoreError
from caxton_llm.memory.embedding.static import StaticEmbedder
from hashing_embedder import opened
StaticEmbedder.default()
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    opened(Path({folder!r}))
except MemoryStoreError as error:
    print(error)
"""


@pytest.mark.parametrize("there", [False, True], ids=["a new store", "a store that is there"])
def test_a_folder_that_must_not_be_written_is_told(open_folder: Path, there: bool) -> None:
    folder = open_folder / "memory"
    if there:
        opened(folder).close()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    open_folder.chmod(0o555)
    code = READ_ONLY.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    for path in (open_folder, folder, folder / "index"):
        if path.exists():
            path.chmod(0o755)
    assert "writable for this user" in ran.stdout, ran.stderr
