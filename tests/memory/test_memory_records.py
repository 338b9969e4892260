"""Passages, versions and words of records, without a store."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters, areas_of, check_filters, check_sought, normal_area
from caxton_llm.memory.limits import check_query
from caxton_llm.memory.merging import identity_of, merged
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Turn
from caxton_llm.memory.passages import PASSAGE_LENGTH, passages_of
from caxton_llm.memory.versions import change_between, earlier
from caxton_llm.memory.words import indexable

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
SHARES = st.none() | st.floats(0, 1)
TIMES = st.none() | st.floats(0, 2e9)
OBSERVATIONS = st.builds(Observation, NAMES, TIMES, st.none() | NAMES, SHARES)
PLACED = {"metadata": st.dictionaries(NAMES, NAMES | st.integers(-(10**6), 10**6), max_size=3)}
ENTITIES = st.builds(
    Entity,
    name=NAMES,
    type=NAMES,
    observations=st.lists(OBSERVATIONS, max_size=4).map(tuple),
    valid_from=TIMES,
    **PLACED,
)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    ENTITIES,
    st.builds(Relation, source=NAMES, target=NAMES, type=NAMES, strength=SHARES, **PLACED),
    st.builds(Turn, conversation=NAMES, index=st.integers(0, 100), text=NAMES, at=TIMES, **PLACED),
)


@given(RECORDS, RECORDS)
def test_an_earlier_version_is_exactly_what_it_was(old: Record, new: Record) -> None:
    if type(old) is type(new):
        assert earlier(new, change_between(old, new, at=1.0, action="updated")) == old


@given(ENTITIES, ENTITIES)
def test_what_a_growing_entity_was_costs_no_copy_of_its_observations(old: Entity, new: Entity) -> None:
    grown, _ = merged(old, new)
    change = change_between(old, grown, at=1.0, action="merged")
    kept = grown.observations[: len(old.observations)] == old.observations if isinstance(grown, Entity) else False
    assert earlier(grown, change) == old
    assert not kept or "observations" not in change.fields


@given(RECORDS)
def test_writing_a_record_again_adds_nothing(record: Record) -> None:
    once, _ = merged(record, record)
    assert merged(once, record)[0] == once
    assert identity_of(once) == identity_of(record)


def test_the_spelling_of_a_name_does_not_matter_but_tenant_scope_type_and_owner_do() -> None:
    one = Entity(name="PDF Report", type="template")
    assert identity_of(one) == identity_of(Entity(name="pdf report", type="Template"))
    others = [
        Entity(name="PDF Report", type="preference"),
        Entity(name="PDF Report", type="template", tenant="other"),
        Entity(name="PDF Report", type="template", scope="global"),
        Entity(name="PDF Report", type="template", scope="agent", agent="a"),
        Entity(name="PDF Report", type="template", scope="agent", agent="b"),
        Entity(name="PDF Report", type="template", workspace="w"),
        Entity(name="PDF Report 2", type="template"),
    ]
    assert len({identity_of(record) for record in [one, *others]}) == len(others) + 1


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5000))
def test_a_long_text_is_cut_into_passages_and_nothing_of_it_is_lost(text: str) -> None:
    passages = passages_of(Turn(conversation="c", index=0, text=text))
    assert "".join(passages) == text
    assert max(map(len, passages)) <= 2 * PASSAGE_LENGTH


def test_each_passage_of_an_entity_starts_with_its_name() -> None:
    entity = Entity(name="Alice", type="person", observations=tuple(Observation("x" * 500) for _ in range(4)))
    assert [passage[:16] for passage in passages_of(entity)] == ["Alice (person): "] * 4


def test_an_entity_without_observations_is_found_by_its_name() -> None:
    assert passages_of(Entity(name="Alice", type="person")) == ["Alice (person)"]


def test_chinese_becomes_pairs_and_emoji_become_words() -> None:
    assert indexable("plain text") == "plain text"
    assert indexable("吃北京烤鸭").split() == ["吃北", "北京", "京烤", "烤鸭"]
    assert indexable("nice 😀!").split() == ["nice", "emoji1f600", "!"]


def test_a_run_of_emoji_is_indexed_at_once() -> None:
    assert indexable("😀" * 500_000 + " 🎉\u200d😀 x").split() == ["emoji1f600", "emoji1f389", "x"]
    assert len(indexable("".join(chr(0x1F300 + n) for n in range(200))).split()) == 32


def test_focus_areas_are_types_and_tags_however_they_are_written() -> None:
    entity = Entity(name="x", type="Report-Templates", metadata={"tags": ["user_preferences", 7]})
    assert areas_of(entity) == {"report templates", "user preferences"}
    assert normal_area(" User  preferences ") == "user preferences"


def test_the_records_can_be_used_without_loading_what_a_store_needs() -> None:
    code = "import sys, caxton_llm.memory; print([n for n in ('numpy', 'tantivy', 'usearch', 'sqlite3') if n in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("focus_areas", "user_preferences", r"write focus_areas=\('user_preferences',\)"),
        ("types", "note", "must be a tuple"),
        ("scopes", "agent", "must be a tuple"),
        ("kinds", "entity", "must be a tuple"),
        ("since", "2020", "seconds since 1970"),
        ("types", ("x",) * 1_001, "more than 1000"),
        ("types", (7,), "must have texts"),
        ("agent", 7, "must be a text"),
    ],
)
def test_a_filter_of_another_type_is_refused_with_its_name(field: str, value: object, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        check_filters(Filters(**{field: value}))  # type: ignore[arg-type]
    assert caught.value.param == field


def test_a_search_for_relations_and_a_number_of_results_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no passages"):
        check_sought(Filters(kinds=("relation",)))
    for number in (0, "5"):
        with pytest.raises(InvalidRequest) as caught:
            check_query("tea", number)  # type: ignore[arg-type]
        assert caught.value.param == "max_results"
