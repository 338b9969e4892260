"""Brings the indexes up to date with the database. One process at a time, whoever has the writer's lock.

Every step can be cut off anywhere: the manifest is written last, and what is done twice is there once.
"""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from caxton_llm.memory.analysis import terms_of
from caxton_llm.memory.store import Progress
from caxton_llm.stores.sqlite_memory import manifest as manifests
from caxton_llm.stores.sqlite_memory.dense import EXACT, Graph
from caxton_llm.stores.sqlite_memory.indexes import Indexes
from caxton_llm.stores.sqlite_memory.lexical import Lexical, PassageText, passage_texts
from caxton_llm.stores.sqlite_memory.locks import writer_lock
from caxton_llm.stores.sqlite_memory.manifest import DenseFile, LexicalFolder, Manifest
from caxton_llm.stores.sqlite_memory.vectors import from_bytes, quantised

__all__ = ["Indexer"]

STEP = 20_000
"""Passages of one commit."""
_SAMPLE = 20
"""Every so many passages are counted for the average length."""
GRAPH_LAG = 8_192
"""Vectors that may be missing in a graph, and a tenth of it: they are compared one by one."""
_GRAPH_READ = 50_000
_KEPT_REMOVALS = 100_000


class Indexer:
    """The writer's side of the index folder."""

    def __init__(self, indexes: Indexes, space: int) -> None:
        self.indexes = indexes
        self.space = space
        self._lock = indexes.folder / "writer.lock"
        self._looked: int | None = None

    def waiting(self, db: sqlite3.Connection) -> int:
        """Passages that the lexical index does not have."""
        indexed = self.indexes.current(db).indexed
        return int(db.execute("select count(*) from passages where id > ?", (indexed,)).fetchone()[0])

    def catch_up(self, db: sqlite3.Connection, progress: Progress | None = None, *, wait: bool = False) -> bool:
        """Index all that is committed. Returns whether this process had the lock."""
        with writer_lock(self._lock, wait=wait) as held:
            if not held:
                return False
            total, done = self.waiting(db), 0
            while (count := self._lexical_step(db)) is not None:
                done += count
                if progress is not None:
                    progress(min(done, total), total)
            if self._should_look(db):
                self._dense_step(db)
            self._sweep(db)
            return True

    def rebuild(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        """Make all indexes anew; the old ones serve until the new ones are there."""
        with writer_lock(self._lock, wait=True):
            total = int(db.execute("select count(*) from passages").fetchone()[0])
            folder = LexicalFolder(f"lexical-{uuid.uuid4().hex}", 0, self._newest_removal(db), 0, 0.0, {})
            manifest = self.indexes.current(db).manifest
            lexical, done = Lexical(self.indexes.folder / folder.folder), 0
            while texts := passage_texts(db, "p.id > ?", (folder.passage,), STEP):
                lexical.change(texts, (), is_new=True)
                done += len(texts)
                folder = self._grown(folder, lexical, texts)
                if progress is not None:
                    progress(done, total)
            manifests.write(self.indexes.folder, Manifest(manifest.store, lexical=folder))
            self._dense_step(db)
            self._sweep(db)

    def traces(self, db: sqlite3.Connection, passages: Iterable[int] = ()) -> bool:
        """Whether index files may hold something of deleted passages; `passages` have just been deleted."""
        manifest = self.indexes.current(db).manifest
        ends = [(dense.removal, dense.passage) for dense in manifest.dense]
        if manifest.lexical is not None:
            if manifest.lexical.deleted:
                return True
            ends.append((manifest.lexical.removal, manifest.lexical.passage))
        first = min(passages, default=None)
        if first is not None and any(first <= passage for _, passage in ends):
            return True
        sql = "select 1 from removals where seq > ? and passage <= ? limit 1"
        return any(db.execute(sql, end).fetchone() for end in ends)

    # -- the lexical index ----------------------------------------------------------------------------------------------

    def _lexical_step(self, db: sqlite3.Connection) -> int | None:
        """One commit. Returns how many passages it added; `None`: there was nothing to do."""
        opened = self.indexes.current(db)
        lexical, folder = opened.lexical, opened.manifest.lexical
        if lexical is None or folder is None:
            folder = LexicalFolder(f"lexical-{uuid.uuid4().hex}", 0, self._newest_removal(db), 0, 0.0, {})
        sql = "select seq, passage from removals where seq > ? order by seq limit ?"
        removed = db.execute(sql, (folder.removal, STEP)).fetchall()
        texts = passage_texts(db, "p.id > ?", (folder.passage,), STEP)
        if not texts and not removed:
            return None
        if lexical is None:
            lexical = Lexical(self.indexes.folder / folder.folder)
        inside = [passage for _, passage in removed if passage <= folder.passage]
        if texts or inside:
            lexical.change(texts, (passage for _, passage in removed), is_new=folder.passage == 0 and not lexical.count)
        removal = removed[-1][0] if removed else folder.removal
        folder = self._grown(replace(folder, removal=removal, deleted=folder.deleted + len(inside)), lexical, texts)
        manifests.write(self.indexes.folder, replace(opened.manifest, lexical=folder))
        return len(texts)

    def _grown(self, folder: LexicalFolder, lexical: Lexical, texts: list[PassageText]) -> LexicalFolder:
        """The folder's entry after a commit."""
        sample = [len(terms_of(passage.text)) for passage in texts[::_SAMPLE]]
        average = folder.average_length
        if sample:
            new = sum(sample) / len(sample)
            share = len(texts) / max(1, folder.count + len(texts))
            average += share * (new - average)
        return replace(
            folder,
            passage=texts[-1].id if texts else folder.passage,
            count=lexical.count,
            average_length=average,
            files=manifests.checksums(lexical.files(), folder.files),
        )

    # -- the graphs -----------------------------------------------------------------------------------------------------

    def _should_look(self, db: sqlite3.Connection) -> bool:
        """Counting passages takes its time, so it is done again only when there was much to index."""
        folder = self.indexes.current(db).manifest.lexical
        done = 0 if folder is None else folder.passage + folder.removal
        if self._looked is not None and done - self._looked < GRAPH_LAG // 2:
            return False
        self._looked = done
        return True

    def _dense_step(self, db: sqlite3.Connection) -> None:
        """Build or extend the graph of every tenant that has many vectors."""
        opened = self.indexes.current(db)
        known = {(dense.tenant, dense.space): dense for dense in opened.manifest.dense}
        sql = "select tenant, count(*) from passages group by tenant having count(*) > ?"
        wanted = dict(db.execute(sql, (EXACT,)).fetchall())
        left = [dense for dense in opened.manifest.dense if dense.tenant in wanted and dense.space == self.space]
        if len(left) < len(opened.manifest.dense):
            manifests.write(self.indexes.folder, replace(opened.manifest, dense=tuple(left)))
        for tenant, count in wanted.items():
            dense = known.get((tenant, self.space))
            graph = opened.graphs.get((tenant, self.space))
            last = dense.passage if dense is not None and graph is not None else 0
            sql = "select count(*) from passages where tenant = ? and id > ?"
            missing = db.execute(sql, (tenant, last)).fetchone()[0]
            gone = len(graph) - (count - missing) if graph is not None else 0
            if graph is None or missing > GRAPH_LAG + count // 10 or gone > count // 5:
                self._write_graph(db, tenant, dense if graph is not None and gone <= count // 5 else None)

    def _write_graph(self, db: sqlite3.Connection, tenant: int, old: DenseFile | None) -> None:
        folder = self.indexes.folder
        # A graph of its own: the one that is being searched must not change under a reader.
        graph = Graph(self.indexes.dimensions, None if old is None else folder / old.file)
        last = 0 if old is None else old.passage
        removal = self._newest_removal(db) if old is None else old.removal
        threads = max(1, (os.cpu_count() or 1) // 2)
        sql = """select p.id, v.vector from passages p join vectors v on v.space = ? and v.passage = p.id
            where p.tenant = ? and p.id > ? order by p.id limit ?"""
        while rows := db.execute(sql, (self.space, tenant, last, _GRAPH_READ)).fetchall():
            small, _ = quantised(from_bytes([vector for _, vector in rows], self.indexes.dimensions))
            graph.add(np.array([row[0] for row in rows], np.int64), small, threads)
            last = rows[-1][0]
        name = f"dense-{tenant}-{self.space}-{uuid.uuid4().hex}.usearch"
        graph.save(folder / name)
        _sync(folder / name)
        entry = DenseFile(tenant, self.space, name, last, removal, len(graph), manifests.checksums([folder / name]))
        manifest = manifests.read(folder, self.indexes.store)
        others = (dense for dense in manifest.dense if (dense.tenant, dense.space) != (tenant, self.space))
        manifests.write(folder, replace(manifest, dense=(*others, entry)))

    # -- housekeeping ---------------------------------------------------------------------------------------------------

    def _newest_removal(self, db: sqlite3.Connection) -> int:
        row = db.execute("select seq from sqlite_sequence where name = 'removals'").fetchone()
        return int(row[0]) if row else 0

    def _sweep(self, db: sqlite3.Connection) -> None:
        """Delete files that the manifest does not name, and removals that everybody has seen."""
        manifest = self.indexes.current(db).manifest
        named = {dense.file for dense in manifest.dense}
        if manifest.lexical is not None:
            named.add(manifest.lexical.folder)
        for path in self.indexes.folder.iterdir():
            if path.name.startswith(("lexical-", "dense-")) and path.name not in named:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        seen = min((entry.removal for entry in (manifest.lexical, *manifest.dense) if entry is not None), default=0)
        if (first := db.execute("select min(seq) from removals").fetchone()[0]) and seen - first > 2 * _KEPT_REMOVALS:
            db.execute("delete from removals where seq < ?", (seen - _KEPT_REMOVALS,))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
