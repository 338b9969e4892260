"""Connections to a database that is only just being made, and to one that is closed meanwhile."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caxton_llm.errors import ConversationStoreError
from caxton_llm.stores.connections import Connections
from caxton_llm.stores.sqlite import connect


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            for db in pool.map(connect, [tmp_path / f"{number}.db"] * 8):
                assert db.execute("pragma journal_mode").fetchone() == ("wal",)
                db.close()


def test_what_is_lent_is_closed_when_it_comes_back_and_no_sooner(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "some.db", lambda: ConversationStoreError("it is closed"))
    with connections.lent() as db:
        connections.close()
        assert db.execute("select 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("select 1")
    with pytest.raises(ConversationStoreError, match="it is closed"), connections.lent():
        pass
