"""The analysis of the lexical index is the memory's: every store finds the same words."""

from caxton_llm.memory.analysis import ANALYZER, analyzer, terms_of

__all__ = ["ANALYZER", "analyzer", "terms_of"]
