"""A memory in a folder: SQLite is the truth; a lexical and a vector index beside it can be made from it at any time."""

from caxton_llm.stores.sqlite_memory.place import SqlitePlace
from caxton_llm.stores.sqlite_memory.store import SqliteMemory

__all__ = ["SqliteMemory", "SqlitePlace"]
