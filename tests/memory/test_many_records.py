"""Many records at once: all or none."""

import pytest

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.drafts import MAX_RECORDS
from caxton_llm.memory.model import Record, Relation
from hashing_embedder import fact
from memory_places import Place


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (fact("  "), "records[1499].name"),
        (Relation(source="nobody", target="nobody", type="knows"), "records[1499].from"),
        (fact("other", id="taken"), "records[1499]"),
    ],
    ids=["one that cannot be", "one that relates to nothing", "one that has the name of another"],
)
def test_of_many_records_with_a_bad_one_none_is_written(place: Place, bad: Record, field: str) -> None:
    with place.open() as store:
        store.put([fact("first", id="taken"), fact("other", id="another")])
        with pytest.raises(InvalidRequest) as caught:
            store.put([*(fact(f"n{n}", f"word{n}") for n in range(1_499)), bad])
        assert caught.value.param == field
        assert store.stats().entities == 2


def test_more_records_than_can_be_written_at_once_are_refused_and_the_message_says_what_to_do(place: Place) -> None:
    with place.open() as store:
        with pytest.raises(InvalidRequest, match="write them in parts"):
            store.put([fact(f"n{n}") for n in range(MAX_RECORDS + 1)])
        assert store.stats().entities == 0
