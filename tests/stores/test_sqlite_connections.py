"""Connections to a database that is only just being made."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from caxton_llm.stores.sqlite import connect


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            for db in pool.map(connect, [tmp_path / f"{number}.db"] * 8):
                assert db.execute("pragma journal_mode").fetchone() == ("wal",)
                db.close()
