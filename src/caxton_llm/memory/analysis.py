"""Texts -> the terms by which passages are found: the same for every store, for what is indexed and for queries."""

from functools import lru_cache

import tantivy

from caxton_llm.memory.words import indexable

__all__ = ["ANALYZER", "analyzer", "terms_of"]

ANALYZER = "caxton_memory_1"
"""The analyzer's name inside the index; another rule needs another name and another format of the manifest."""
_LONGEST = 64


@lru_cache(1)
def analyzer() -> tantivy.TextAnalyzer:
    """Runs of letters and digits, small, without accents and English stop words, stemmed."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(_LONGEST))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def terms_of(text: str) -> list[str]:
    """The terms of a text, in order, with repetitions."""
    return list(analyzer().analyze(indexable(text)))
