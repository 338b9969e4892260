"""The lexical index of all tenants: tantivy, BM25, nothing stored but numbers of passages.

Filters stand inside the query, so they never leave too few results. An index is only ever changed by whoever holds the
writer's lock; readers see a commit after `reload`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Occur, Query

from caxton_llm.memory.analysis import ANALYZER, analyzer
from caxton_llm.memory.filters import Filters, areas_of, normal_area
from caxton_llm.memory.model import Turn
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.words import indexable
from caxton_llm.stores.sqlite_memory.rows import KINDS, decode

__all__ = ["Facets", "Found", "Lexical", "PassageText", "passage_texts"]

_HEAP = 64_000_000
_MOST_TERMS = 64
"""Terms of a query that are looked up, the rarest ones; the others would hardly change the order and cost most."""
_LARGE = 50_000
_COMMON = 20
"""In an index of `_LARGE` passages, terms that more than one passage in so many has are not looked up, if `_FEWEST_TERMS`
others are: of 100 results two change, and the slowest searches take half the time."""
_FEWEST_TERMS = 3


class Found(NamedTuple):
    """Passages, each once, and their scores."""

    passages: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty(0, np.int64), np.empty(0, np.float64))


class Facets(NamedTuple):
    """A filter in the numbers of the database: all of them must hold, one of the values each."""

    alternatives: tuple[tuple[str, ...], ...]
    since: float | None
    until: float | None


class PassageText(NamedTuple):
    """One passage as the index wants it."""

    id: int
    text: str
    facets: list[str]
    time: int


def passage_texts(db: sqlite3.Connection, where: str, values: Sequence[object], limit: int) -> list[PassageText]:
    """Passages with their texts, in the order of their numbers."""
    sql = f"""select p.id, p.ordinal, p.record, r.payload, r.tenant, r.owner, r.type, r.kind, r.at
        from passages p join records r on r.key = p.record where {where} order by p.id limit ?"""  # noqa: S608
    found: list[PassageText] = []
    last: tuple[int, list[str], list[str]] = (-1, [], [])
    for number, ordinal, key, payload, tenant, owner, type_code, kind, at in db.execute(sql, (*values, limit)):
        if last[0] != key:
            record = decode(payload)
            facets = [
                f"t{tenant}",
                f"o{owner}",
                f"y{type_code}",
                f"k{kind}",
                *(f"a{area}" for area in areas_of(record)),
            ]
            if isinstance(record, Turn):
                facets.append(f"c{record.conversation}")
            last = (key, passages_of(record), facets)
        found.append(PassageText(number, last[1][ordinal], last[2], int(at)))
    return found


def facets_of(filters: Filters, tenant: int, owners: Iterable[int] | None, types: Iterable[int] | None) -> Facets:
    """The filter as alternatives of facets."""
    every: list[tuple[str, ...]] = []
    every.append((f"t{tenant}",) if owners is None else tuple(f"o{owner}" for owner in owners))
    if types is not None:
        every.append(tuple(f"y{type_code}" for type_code in types))
    if filters.kinds is not None:
        every.append(tuple(f"k{KINDS[kind]}" for kind in filters.kinds))
    if filters.focus_areas is not None:
        every.append(tuple(f"a{normal_area(area)}" for area in filters.focus_areas))
    if filters.conversation is not None:
        every.append((f"c{filters.conversation}",))
    return Facets(tuple(every), filters.since, filters.until)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name=ANALYZER, index_option="freq")
    builder.add_text_field("facets", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("time", indexed=True, fast=True)
    builder.add_unsigned_field("key", indexed=True, fast=True)
    return builder.build()


class Lexical:
    """The index in one folder. Raises `ValueError` or `OSError` for files that cannot be read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.register_tokenizer(ANALYZER, analyzer())
        self._index.config_reader("manual")
        self.reload()

    def reload(self) -> None:
        """See what was committed."""
        self._index.reload()
        self._searcher = self._index.searcher()
        """Is replaced while others search, so each search takes it once."""

    @property
    def count(self) -> int:
        """Passages in the index."""
        return self._searcher.num_docs

    def frequency(self, term: str) -> int:
        """In how many passages a term stands."""
        return self._searcher.doc_freq("text", term)

    def has(self, passage: int) -> bool:
        return self._searcher.doc_freq("key", passage) > 0

    def search(self, terms: Iterable[str], facets: Facets, limit: int) -> Found:
        """The best passages for terms that are already analysed, best first."""
        searcher = self._searcher
        counted = ((searcher.doc_freq("text", term), term) for term in set(terms))
        known = _worth(sorted(one for one in counted if one[0]), searcher.num_docs)
        if not known:
            return Found.none()
        words = [(Occur.Should, Query.term_query(self._schema, "text", term, "freq")) for _, term in known]
        parts = [(Occur.Must, Query.boolean_query(words)), *((Occur.Must, query) for query in self._conditions(facets))]
        hits = searcher.search(Query.boolean_query(parts), limit, count=False).hits
        keys = searcher.fast_field_values("key", [address for _, address in hits])
        scores = [score for score, _ in hits]
        if None in keys:
            found = [(key, score) for key, score in zip(keys, scores, strict=True) if key is not None]
            keys, scores = [key for key, _ in found], [score for _, score in found]
        return Found(np.array(keys, np.int64), np.array(scores, np.float64))

    def _conditions(self, facets: Facets) -> list[Query]:
        conditions: list[Query] = []
        for values in facets.alternatives:
            if len(values) == 1:
                one = Query.term_query(self._schema, "facets", values[0], "basic")
            else:
                one = Query.term_set_query(self._schema, "facets", list(values))
            conditions.append(Query.const_score_query(one, 0.0))
        if facets.since is not None or facets.until is not None:
            lower = None if facets.since is None else int(facets.since) - 1
            upper = None if facets.until is None else int(facets.until) + 1
            kind = tantivy.FieldType.Integer
            conditions.append(Query.const_score_query(Query.range_query(self._schema, "time", kind, lower, upper), 0.0))
        return conditions

    def change(self, added: Sequence[PassageText], removed: Iterable[int], *, is_new: bool) -> None:
        """Commit passages. What was added before and is added again stands in the index once."""
        writer = self._index.writer(_HEAP, 1)
        try:
            for gone in removed:
                writer.delete_documents_by_term("key", gone)
            for passage in added:
                if not is_new:
                    writer.delete_documents_by_term("key", passage.id)
                document = tantivy.Document()
                document.add_text("text", indexable(passage.text))
                for facet in passage.facets:
                    document.add_text("facets", facet)
                document.add_integer("time", passage.time)
                document.add_unsigned("key", passage.id)
                writer.add_document(document)
            writer.commit()
        finally:
            # Also after a failure: it frees the lock of the index.
            writer.wait_merging_threads()
        self.reload()

    def files(self) -> list[Path]:
        """The files that never change once they are written."""
        changing = {"meta.json"}
        return [path for path in self.folder.iterdir() if path.name not in changing and not path.name.startswith(".")]


def _worth(known: list[tuple[int, str]], total: int) -> list[tuple[int, str]]:
    """The terms that are looked up, of all by ascending frequency."""
    common = total // _COMMON if total >= _LARGE else total
    rare = sum(count <= common for count, _ in known)
    return known[: min(max(rare, _FEWEST_TERMS), _MOST_TERMS)]
