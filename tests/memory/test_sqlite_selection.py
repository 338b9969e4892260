"""What a search may see is what was there when it looked, whatever others have written since."""

from pathlib import Path

from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.stores.sqlite_memory import SqliteMemory
from caxton_llm.stores.sqlite_memory.columns import Allowed, Columns
from caxton_llm.stores.sqlite_memory.rows import Rows
from caxton_llm.stores.sqlite_memory.selection import allowed, selection


def private(agent: str, name: str) -> Entity:
    observation = Observation(f"{name} ordered chairs")
    return Entity(name=name, type="note", tenant="t", scope="agent", agent=agent, observations=(observation,))


def test_an_owner_that_appears_after_a_search_has_looked_is_not_among_those_that_it_may_see(tmp_path: Path) -> None:
    embedder = StaticEmbedder.default()
    store = SqliteMemory(tmp_path, embedder, background=False)
    with Memory(store) as memory, store._connections.lent() as db:
        memory.add([private("A", "Ann")])
        tenant = Rows(db).tenant("t")
        assert tenant is not None
        chosen = selection(db, Filters(tenant="t", agent="A"), tenant)
        assert chosen.sees_all
        memory.add([private("B", "Ben")])
        seen = Columns(tenant, 1, embedder.dimensions, embedder).refresh(db)
        assert seen.count == 2
        assert allowed(seen, Filters(tenant="t", agent="A"), chosen).mask.tolist() == [True, False]


def test_what_a_filter_lets_through_is_found_once_and_anew_for_another_filter_or_state(tmp_path: Path) -> None:
    embedder = StaticEmbedder.default()
    store = SqliteMemory(tmp_path, embedder, background=False)
    with Memory(store) as memory, store._connections.lent() as db:
        ids = [one.id for one in memory.add([private("A", "Ann"), private("A", "Ben"), private("B", "Cy")])]
        tenant = Rows(db).tenant("t")
        assert tenant is not None
        columns = Columns(tenant, 1, embedder.dimensions, embedder)

        def let_through(agent: str) -> Allowed:
            filters = Filters(tenant="t", agent=agent)
            return allowed(columns.refresh(db), filters, selection(db, filters, tenant))

        first = let_through("A")
        assert let_through("A") is first
        assert (first.places.tolist(), first.records) == ([0, 1], 2)
        assert let_through("B").places.tolist() == [2]
        assert let_through("A").places.tolist() == [0, 1]
        nothing = Filters(tenant="t", agent="A", kinds=())
        assert allowed(columns.refresh(db), nothing, selection(db, nothing, tenant)).places.tolist() == []
        assert let_through("A").places.tolist() == [0, 1]
        memory.forget(ids[:1], tenant="t")
        assert let_through("A").places.tolist() == [1]
