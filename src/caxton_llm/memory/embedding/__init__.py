"""Texts to vectors. Imports numpy: nothing that `import caxton_llm` loads may import this."""

from caxton_llm.memory.embedding.embedder import Embedder, TokenVectors
from caxton_llm.memory.embedding.static import StaticEmbedder

__all__ = ["Embedder", "StaticEmbedder", "TokenVectors"]
