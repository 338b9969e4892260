"""What an agent's search must not learn of others, and what it says when there is nothing to compare."""

from collections.abc import Iterable

import numpy as np
import pytest
from msgspec.structs import replace

from caxton_llm.memory.candidates import StoreQuery
from caxton_llm.memory.embedding.calibration import default_calibration
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.hits import Found
from caxton_llm.memory.model import Entity, Record, Relation
from caxton_llm.memory.search import MemorySearch
from hashing_embedder import HashingEmbedder, fact
from memory_places import Place, Store


class Knowing(HashingEmbedder):
    """Knows no word that is not ASCII."""

    def _direction(self, word: str) -> "np.typing.NDArray[np.float32]":
        return super()._direction(word) if word.isascii() else np.zeros(self.dimensions, np.float32)


def found_by(store: Store, query: str, filters: Filters | None = None, min_similarity: float | None = None) -> Found:
    search = MemorySearch(store, lambda _: default_calibration())
    return search.search(query, filters or Filters(), max_results=10, min_similarity=min_similarity, now=0.0).found


def related(store: Store, filters: Filters) -> set[str]:
    """Names of the entities that a search for the zebra reaches by relations."""
    query = StoreQuery(
        text="zebra", vector=store.embedder.embed(["zebra"])[0], filters=filters, relations=True, limit=1
    )
    found = store.candidates(query)
    keys = {int(found.keys[place]) for place in found.related.ravel()}
    return {one.name for one in store.load(keys, tenant=filters.tenant).values() if isinstance(one, Entity)}


@pytest.mark.parametrize(
    "hidden", [{"scope": "agent", "agent": "you"}, {"scope": "workspace", "workspace": "w"}], ids=["agent", "workspace"]
)
def test_a_relation_that_another_owns_changes_nothing(place: Place, hidden: dict[str, str]) -> None:
    with place.open() as store:
        one, other, third = (
            done.id for done in store.put([fact(name, name, scope="global") for name in ("zebra", "other", "third")])
        )
        store.put([Relation(source=one, target=other, type="knows", **hidden)])  # type: ignore[arg-type]
        store.put([Relation(source=third, target=one, type="knows", scope="global")])
        me = Filters(agent="me", workspace="mine")
        assert related(store, me) == {"zebra", "third"}
        assert related(store, Filters(scopes=("global",))) == {"zebra", "third"}
        assert related(store, Filters(agent=hidden.get("agent", "me"), workspace="w")) == {"zebra", "other", "third"}
        assert related(store, replace(me, kinds=("entity",))) == {"zebra", "third"}


class Meanwhile:
    """A store in which something happens between the candidates and their records."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self._record = record

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def load(self, keys: Iterable[int], *, tenant: str) -> dict[int, Record]:
        self._store.put([self._record])
        return self._store.load(keys, tenant=tenant)


@pytest.mark.parametrize(
    "changed", [{"scope": "agent", "agent": "you"}, {"type": "secret"}], ids=["private", "of another type"]
)
def test_what_no_longer_passes_the_filter_when_it_is_read_is_no_hit(place: Place, changed: dict[str, str]) -> None:
    with place.open() as store:
        name = store.put([fact("a", "tea", type="drink", scope="global")])[0].id
        filters = Filters(agent="me", types=("drink",))
        assert len(found_by(store, "tea", filters).hits) == 1
        private = fact("a", "tea and sympathy", **{"id": name, "type": "drink", "scope": "global", **changed})
        store_of: Store = Meanwhile(store, private)  # type: ignore[assignment]
        assert found_by(store_of, "tea", filters).hits == ()


def test_a_query_without_a_vector_has_no_similarity_and_its_exact_match_is_found(place: Place) -> None:
    with place.open(Knowing()) as store:
        wanted, _ = store.put([fact("a", "绿茶"), fact("b", "green tea")])
        query = StoreQuery(text="绿茶", vector=store.embedder.embed(["绿茶"])[0])
        for _ in range(2):
            assert np.isnan(store.candidates(query).dense).all()
            found = found_by(store, "绿茶", min_similarity=0.2)
            assert [hit.record.id for hit in found.hits] == [wanted.id]
            assert [hit.similarity for hit in found.hits] == [None]
            assert found.problem is not None
            assert "no word that the embedder knows" in found.problem
            store.catch_up()
        assert found_by(store, "tea").problem is None
