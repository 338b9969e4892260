"""Passages that have a query's words, by BM25.

PostgreSQL's own ranks do not know how rare a word is. So each word's rank is weighed here, which is close to BM25 and orders
the passages on the server; the best of them, several times as many as asked for, get their exact score.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from caxton_llm.memory.analysis import terms_of
from caxton_llm.stores.postgres_memory.rows import lexeme, quoted
from caxton_llm.stores.postgres_memory.samples import Sample
from caxton_llm.stores.postgres_memory.selection import Selection
from caxton_llm.stores.postgres_memory.sessions import Connection

__all__ = ["Scored", "by_words"]

_K1, _B = 1.2, 0.75
_MOST_TERMS = 64
"""Terms of a query that are looked up, the rarest ones; the others would hardly change the order and cost most."""
_ENOUGH_MATCHES = 4_000
"""Passages that are ranked at first: those with the rarest words. Those with frequent words alone follow if these are few."""
_SPARE = 3
"""Times as many as asked for are scored exactly."""


class Scored(NamedTuple):
    """A passage with its BM25."""

    passage: int
    record: int
    score: float


class _Term(NamedTuple):
    lexeme: str
    frequency: float
    weight: float


def by_words(db: Connection, query: str, chosen: Selection, sample: Sample, limit: int) -> list[Scored]:
    """The best passages, best first: as many as are needed for `limit` records, if there are."""
    terms = _weighed(query, chosen.tenant, sample)
    if not terms:
        return []
    rare = _rarest(terms)
    wanted = limit * _SPARE
    while True:
        scored, count = _ranked(db, chosen, sample, terms=terms, rare=rare, wanted=wanted)
        enough = len({one.record for one in scored}) >= limit
        if enough or (count < wanted and len(rare) == len(terms)):
            return scored
        if count < wanted:
            rare = terms
        else:
            wanted *= 4


def _weighed(query: str, tenant: int, sample: Sample) -> list[_Term]:
    """The query's terms, the rarest first."""
    terms = []
    for term in dict.fromkeys(terms_of(query)):
        frequency = min(sample.frequency(term), sample.documents)
        weight = math.log(1 + (sample.documents - frequency + 0.5) / (frequency + 0.5))
        terms.append(_Term(lexeme(tenant, term), frequency, weight))
    return sorted(terms, key=lambda term: term.frequency)[:_MOST_TERMS]


def _rarest(terms: Sequence[_Term]) -> Sequence[_Term]:
    """Those that few enough passages have, at least one."""
    total, count = 0.0, 0
    for term in terms:
        total += term.frequency
        if count and total > _ENOUGH_MATCHES:
            break
        count += 1
    return terms[:count]


def _ranked(
    db: Connection, chosen: Selection, sample: Sample, *, terms: Sequence[_Term], rare: Sequence[_Term], wanted: int
) -> tuple[list[Scored], int]:
    """The best `wanted` of the passages that have one of the `rare` terms, and how many those are."""
    weights = " + ".join(
        f"%(w{number})s::float8 * ts_rank(p.words, %(t{number})s::tsquery)" for number in range(len(terms))
    )
    values: dict[str, object] = {**chosen.values, "wanted": wanted, "average": sample.average_length}
    for number, term in enumerate(terms):
        values |= {f"w{number}": term.weight, f"t{number}": quoted(term.lexeme)}
    values["any"] = " | ".join(quoted(term.lexeme) for term in rare)
    values["terms"] = [term.lexeme for term in terms]
    query = f"""select best.id, best.record, best.length, word.lexeme, cardinality(word.positions) from (
          select p.id, p.record, p.length, p.words,
            ({weights}) / ({1 + _K1 * (1 - _B)} + {_K1 * _B} * p.length / %(average)s::float8) as rank
          from passages p where p.words @@ %(any)s::tsquery and {chosen.of("p")} order by rank desc, p.id limit %(wanted)s
        ) best cross join lateral unnest(best.words) word where word.lexeme = any(%(terms)s)"""  # noqa: S608
    weight_of = {term.lexeme: term.weight * (_K1 + 1) for term in terms}
    scores: dict[tuple[int, int], float] = {}
    for passage, record, length, word, times in db.execute(query, values):
        norm = _K1 * (1 - _B + _B * length / sample.average_length)
        scores[passage, record] = scores.get((passage, record), 0.0) + weight_of[word] * times / (times + norm)
    found = [Scored(passage, record, score) for (passage, record), score in scores.items()]
    return sorted(found, key=lambda one: (-one.score, one.passage)), len(found)
