"""Export and import."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Record, Relation
from caxton_llm.memory.transfer import export_lines, import_lines
from hashing_embedder import by_words, fact, opened, said
from memory_places import Place, Store


def filled(store: Store) -> None:
    observations = (Observation("drinks tea ☕", 5.5, "talk", 0.25), Observation("住在北京"))
    a = Entity(name="Alice", type="person", observations=observations, metadata={"tags": ["x"], "n": [1, {"a": None}]})
    ids = [one.id for one in store.put([a, fact("Bob", "likes chess", tenant="t2"), fact("Carol", scope="global")])]
    store.put([fact("alice", "has a cat", type="person"), said(0, "hello", at=3.25), said(1, "bye", speaker="Bob")])
    store.put([Relation(source=ids[0], target=ids[2], type="knows", strength=0.5, confidence=1.0)])
    store.put([Relation(source=ids[0], target=ids[2], type="knows", strength=0.75)])


def everything(store: Store) -> dict[str, tuple[Record, list[Record]]]:
    return {one.id: (one, store.history(one.id, tenant=one.tenant)) for one in store.records()}


def test_a_round_trip_loses_nothing_not_even_earlier_versions(place: Place) -> None:
    with (place / "one").open() as one, (place / "other").open() as other:
        filled(one)
        lines = list(export_lines(one))
        imported = import_lines(other, lines)
        assert (imported.created, imported.changed, imported.problems) == (6, 0, ())
        assert everything(other) == everything(one)
        assert sorted(export_lines(other)) == sorted(lines)
        assert by_words(other, "北京") == by_words(one, "北京") != set()


def test_an_import_that_broke_off_is_begun_again_and_does_nothing_twice(place: Place) -> None:
    with (place / "one").open() as one, (place / "other").open() as other:
        filled(one)
        lines = list(export_lines(one))
        import_lines(other, lines[:3])
        second = import_lines(other, lines)
        assert (second.created, second.unchanged) == (3, 3)
        assert everything(other) == everything(one)


def test_a_later_export_brings_an_earlier_import_up_to_date(place: Place) -> None:
    with (place / "one").open() as one, (place / "other").open() as other:
        filled(one)
        import_lines(other, export_lines(one))
        one.put([fact("alice", "moved to Rome", type="person")])
        assert import_lines(other, export_lines(one)).changed == 1
        assert everything(other) == everything(one)


def test_relations_follow_entities_that_are_there_under_another_id(place: Place) -> None:
    with (place / "one").open() as one, (place / "other").open() as other:
        filled(one)
        there = other.put([fact("ALICE", "is tall", type="person")])[0].id
        import_lines(other, export_lines(one))
        assert len(other.relations_of([there], tenant="")) == 1


def test_one_tenant_can_be_exported_and_become_another(place: Place) -> None:
    with (place / "one").open() as one, (place / "other").open() as other:
        filled(one)
        lines = list(export_lines(one, tenant="t2"))
        assert len(lines) == 1
        import_lines(other, lines, tenant="t3")
        assert len(by_words(other, "chess", Filters(tenant="t3"))) == 1


def test_progress_is_told(place: Place) -> None:
    heard: list[tuple[int, int | None]] = []
    with place.open() as store:
        store.put([fact(f"n{n}", "x") for n in range(3)])
        list(export_lines(store, progress=lambda done, total: heard.append((done, total))))
        assert heard == [(3, 3)]
        store.rebuild(lambda done, total: heard.append((done, total)))
        assert heard[-1] == (3, 3)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"{}",
        b'{"record": {"kind": "entity"}}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"record": {"kind": "planet"}}',
    ],
    ids=["no JSON", "empty", "no name", "deep", "no UTF-8", "unknown kind"],
)
def test_a_line_that_is_no_line_of_an_export_is_named_by_its_number(place: Place, line: bytes) -> None:
    with place.open() as store:
        filled(store)
        good = next(iter(export_lines(store)))
        with (place / "other").open() as other:
            with pytest.raises(InvalidRequest, match="line 2"):
                import_lines(other, [good, line])
            lenient = import_lines(other, [good, line, b"\n"], strict=False)
            assert (lenient.created, len(lenient.problems)) == (1, 1)
            assert "line 2" in lenient.problems[0]


def mcp_lines(*lines: Mapping[str, object]) -> list[bytes]:
    return [json.dumps(line).encode() + b"\n" for line in lines]


ALICE = {"type": "entity", "name": "Alice", "entityType": "person", "observations": ["likes tea", "likes tea."]}
BOB = {"type": "entity", "name": "Bob", "entityType": "person", "observations": []}
KNOWS = {"type": "relation", "from": "Alice", "to": "Bob", "relationType": "knows"}


def test_the_file_of_the_reference_mcp_server_is_read_in_any_order_and_more_than_once(place: Place) -> None:
    with place.open() as store:
        first = import_lines(store, mcp_lines(KNOWS, ALICE, BOB), format="mcp")
        assert (first.created, first.problems) == (3, ())
        again = import_lines(store, mcp_lines(ALICE, BOB, KNOWS), format="mcp")
        assert (again.created, again.unchanged) == (0, 3)
        (alice,) = store.find(["alice"], filters=Filters())["alice"]
        record = store.get([alice], tenant="")[alice]
        assert isinstance(record, Entity)
        assert [seen.text for seen in record.observations] == ["likes tea"]
        assert [link.type for link in store.relations_of([alice], tenant="")] == ["knows"]


def test_a_relation_of_the_mcp_file_whose_entity_is_missing_is_told(place: Place) -> None:
    with place.open() as store:
        imported = import_lines(store, mcp_lines(ALICE, KNOWS), format="mcp", strict=False)
        assert "'Bob'" in imported.problems[0]
        with pytest.raises(InvalidRequest, match="'Bob'"):
            import_lines(store, mcp_lines(ALICE, KNOWS), format="mcp")


def test_all_problems_are_counted_and_a_relation_without_its_entity_is_told_with_its_line(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        imported = import_lines(store, [b"{}"] * 150, strict=False)
        assert (len(imported.problems), imported.problems_total) == (100, 150)
        lines = [
            b'{"type":"relation","from":"Ann","to":"Bob","relationType":"knows"}',
            b'{"type":"entity","name":"Ann","entityType":"person"}',
            b'{"type":"relation","from":"Ann","to":"Eve","relationType":"knows"}',
        ]
        problems = import_lines(store, lines, format="mcp", strict=False).problems
        assert [problem[:7] for problem in problems] == ["line 1:", "line 3:"]


def test_a_bad_relation_in_a_list_is_told_with_its_number_in_the_whole_list(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        records = [fact(f"n{number}", "x") for number in range(1_002)]
        with pytest.raises(InvalidRequest) as caught:
            store.put([*records, Relation(source="none", target="none", type="knows")])
        assert caught.value.param == "records[1002].from"
