"""The index files as a searcher holds them open: checked once, followed as the writer goes on, never trusted beyond that."""

import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from caxton_llm.memory.problems import Problems
from caxton_llm.stores.sqlite_memory import manifest as manifests
from caxton_llm.stores.sqlite_memory.dense import Graph
from caxton_llm.stores.sqlite_memory.lexical import Lexical
from caxton_llm.stores.sqlite_memory.manifest import DenseFile, LexicalFolder, Manifest

__all__ = ["Indexes", "Opened"]


class Opened(NamedTuple):
    """What can be searched. Without a lexical index everything is the tail."""

    manifest: Manifest
    lexical: Lexical | None
    graphs: dict[tuple[int, int], Graph]

    @property
    def indexed(self) -> int:
        """The last passage that the lexical index has."""
        folder = self.manifest.lexical
        return 0 if self.lexical is None or folder is None else folder.passage


class Indexes:
    """The index files of one store. `problems` has what was wrong with those that were not opened."""

    def __init__(self, folder: Path, store: str, dimensions: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = store
        self.dimensions = dimensions
        self.problems = Problems()
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._opened = Opened(Manifest(store), None, {})
        self._files: dict[tuple[int, int], str] = {}

    def current(self, db: sqlite3.Connection) -> Opened:
        """What the newest manifest names, as far as it is whole. Must be asked before the transaction of the search."""
        stamp = manifests.stamp(self.folder)
        if stamp != self._stamp or (stamp is None and self._opened.lexical is not None):
            with self._lock:
                if stamp != self._stamp or stamp is None:
                    self._open(manifests.read(self.folder, self.store), db)
                    self._stamp = stamp
        return self._opened

    def lost(self, problem: str) -> None:
        """The lexical index has failed while it was used: from now on everything is the tail until it is made anew."""
        with self._lock:
            self.problems.add(problem)
            self._opened = Opened(self._opened.manifest, None, self._opened.graphs)

    def _open(self, manifest: Manifest, db: sqlite3.Connection) -> None:
        lexical = self._lexical(manifest.lexical, db) if manifest.lexical is not None else None
        graphs: dict[tuple[int, int], Graph] = {}
        files: dict[tuple[int, int], str] = {}
        for dense in manifest.dense:
            where = (dense.tenant, dense.space)
            known = self._files.get(where) == dense.file
            graph = self._opened.graphs.get(where) if known else self._graph(dense)
            if graph is not None:
                graphs[where], files[where] = graph, dense.file
        self._opened = Opened(manifest, lexical, graphs)
        self._files = files

    def _lexical(self, wanted: LexicalFolder, db: sqlite3.Connection) -> Lexical | None:
        path = self.folder / wanted.folder
        known = self._opened.lexical
        try:
            if known is not None and known.folder == path:
                known.reload()
                return known
            problem = _problem_before(path, wanted, db)
            if problem is None:
                lexical = Lexical(path)
                alive = db.execute("select count(*) from passages where id <= ?", (wanted.passage,)).fetchone()[0]
                if lexical.count >= alive:
                    return lexical
                problem = f"has {lexical.count} of {alive} passages"
        except (ValueError, OSError) as error:
            problem = f"cannot be opened: {error}"
        self.problems.add(f"the lexical index {problem}")
        return None

    def _graph(self, dense: DenseFile) -> Graph | None:
        path = self.folder / dense.file
        try:
            if not path.is_file() or manifests.differing(self.folder, dense.files):
                self.problems.add(f"{dense.file} is missing or damaged")
                return None
            return Graph(self.dimensions, path, dense.passage)
        except (ValueError, RuntimeError, OSError) as error:
            self.problems.add(f"{dense.file} cannot be opened: {error}")
            return None


def _problem_before(path: Path, wanted: LexicalFolder, db: sqlite3.Connection) -> str | None:
    """What is wrong with a lexical index before it is opened."""
    newest = db.execute("select seq from sqlite_sequence where name = 'passages'").fetchone()
    if wanted.passage > (newest[0] if newest else 0):
        return "is newer than the database"
    if not path.is_dir():
        return "is missing"
    wrong = manifests.differing(path, wanted.files)
    return f"is damaged: {', '.join(wrong)}" if wrong else None
