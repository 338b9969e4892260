"""`from caxton_llm import Memory`: what programs use, and what the command line and the gateway are built on."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import caxton_llm
from caxton_llm import InvalidRequest, Memory
from caxton_llm.memory import Entity, Filters, Observation, Relation, Turn
from caxton_llm.memory import transfer as transfer_module
from caxton_llm.memory.bodies import read_record
from caxton_llm.memory.filters import admits
from caxton_llm.memory.model import Kind, Record, Scope
from caxton_llm.memory.transfer import lines_of
from caxton_llm.stores.sqlite_memory import SqliteMemory
from hashing_embedder import HashingEmbedder, fact, said

KINDS: tuple[Kind, ...] = ("entity", "relation", "turn")
SCOPES: tuple[Scope, ...] = ("agent", "workspace", "global")


def test_the_name_is_public_and_costs_nothing_until_it_is_used() -> None:
    assert "Memory" in caxton_llm.__all__
    code = "import sys, caxton_llm; print('numpy' in sys.modules); caxton_llm.Memory; print('numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no_such_name"):
        caxton_llm.no_such_name  # noqa: B018


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """Records of every kind, scope, owner, type, time and validity."""
    with Memory(SqliteMemory(tmp_path_factory.mktemp("mixed"), HashingEmbedder())) as memory:
        records: list[Record] = []
        for number in range(60):
            placed = {"scope": SCOPES[number % 3], "agent": f"a{number % 2}", "workspace": f"w{number % 4}"}
            more = {"tenant": "t", "type": f"type{number % 3}", "metadata": {"tags": [f"tag {number % 5}"]}}
            entity = fact(
                f"n{number}", **placed, **more, valid_from=float(number % 7), valid_until=float(number % 7 + 20)
            )
            if number % 2:
                entity = replace(entity, observations=(Observation("x", at=float(number)),))
            records.append(entity)
            placed_turn = {**placed, "tenant": "t", "at": float(number)}
            records.append(said(number, "hello", f"c{number % 3}", **placed_turn))
        memory.add(records)
        memory.add([fact("of another tenant")])
        yield memory


some_filters = st.builds(
    Filters,
    tenant=st.sampled_from(["t", "", "nobody"]),
    agent=st.sampled_from([None, "a0", "a1"]),
    workspace=st.sampled_from([None, "w0", "w3"]),
    scopes=st.none() | st.lists(st.sampled_from(SCOPES), max_size=2).map(tuple),
    kinds=st.none() | st.lists(st.sampled_from(["entity", "turn"]), min_size=1, max_size=2).map(tuple),
    types=st.none() | st.lists(st.sampled_from(["type0", "type1", "x"]), min_size=1, max_size=2).map(tuple),
    focus_areas=st.none() | st.lists(st.sampled_from(["TAG_1", "tag 2", "Type0"]), min_size=1, max_size=2).map(tuple),
    conversation=st.sampled_from([None, "c0", "c2"]),
    since=st.sampled_from([None, 10.0, 30.0]),
    until=st.sampled_from([None, 20.0, 40.0]),
    valid_at=st.sampled_from([None, 3.0, 22.0]),
)


@given(filters=some_filters)
def test_a_list_has_exactly_what_a_search_with_the_same_filter_looks_at(mixed: Memory, filters: Filters) -> None:
    listed = [one for one in mixed.records(filters) if not isinstance(one, Relation)]
    assert len(listed) == mixed.search("hello", filters).searched
    assert all(admits(filters, one) for one in listed)


def test_a_list_refuses_a_scope_that_does_not_exist(mixed: Memory) -> None:
    with pytest.raises(InvalidRequest, match="unknown scope"):
        mixed.records(Filters(scopes=("galaxy",)))  # type: ignore[arg-type]


# -- lines ------------------------------------------------------------------------------------------------------------------


@given(data=st.binary(), cuts=st.lists(st.integers(0, 200)))
def test_lines_are_the_same_however_a_file_is_cut_into_pieces(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    whole = data.split(b"\n")
    assert list(lines_of(pieces)) == (whole if whole[-1] else whole[:-1])


def test_of_a_line_that_is_too_long_only_so_much_is_kept_that_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_module, "MAX_LINE", 100)
    good = b'{"record": {"kind": "entity", "name": "a"}}\n'
    pieces = [good, *([b"x" * 70] * 50), b"\n", good.replace(b'"a"', b'"b"')]
    assert [len(line) for line in lines_of(pieces)] == [len(good) - 1, 101, len(good) - 1]
    with Memory(SqliteMemory(tmp_path, HashingEmbedder())) as memory:
        imported = memory.load(lines_of(pieces), strict=False, format="auto")
        assert (imported.lines, imported.created, len(imported.problems)) == (3, 2, 1)
        assert "line 2" in imported.problems[0]


def test_long_lines_are_written_before_many_of_them_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_module, "_BATCH_BYTES", 1000)
    with Memory(SqliteMemory(tmp_path, HashingEmbedder())) as memory:
        there = []

        def lines() -> Iterator[bytes]:
            for number in range(4):
                there.append(memory.stats().entities)
                text = "x" * 600
                yield f'{{"record": {{"kind": "entity", "name": "{number}{text}"}}}}'.encode()

        memory.load(lines())
        assert there == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"type": "entity", "name": "a"}', "MCP"),
        (b'{"type": "relation"}', "MCP"),
        (b'{"type": "planet"}', "export"),
        (b"nonsense", "export"),
        (b'{"record": {"kind": "entity"}}', "export"),
    ],
)
def test_a_first_line_that_is_wrong_is_told_in_the_words_of_the_format_that_it_looks_like(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    with Memory(SqliteMemory(tmp_path, HashingEmbedder())) as memory:
        with pytest.raises(InvalidRequest, match=f"line 2: is not a line of an {problem}"):
            memory.load([b"\n", line], format="auto")
        assert memory.load([], format="auto").lines == 0


# -- records as people write them -------------------------------------------------------------------------------------------


def test_a_record_as_people_write_it_is_the_record_of_the_library() -> None:
    entity = read_record('{"kind": "entity", "name": "茶", "observations": ["a", {"text": "b", "at": 5}]}'.encode())
    assert entity == Entity(name="茶", observations=(Observation("a"), Observation("b", at=5.0)))
    assert type(entity) is Entity
    turn = read_record(b'{"kind": "turn", "conversation": "c", "index": 1, "text": "x"}')
    assert turn == Turn(conversation="c", index=1, text="x")
    relation = read_record(b'{"kind": "relation", "from": "a", "to": "b", "type": "knows"}')
    assert relation == Relation(source="a", target="b", type="knows")


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"name": "x"}', b'{"kind": "entity", "name": "x", "typo": 1}', b"\xff", b"[" * 100_000]
)
def test_a_line_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is not a record"):
        read_record(line)
