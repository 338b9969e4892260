"""Memory: what is known of the world and what was said, found again by meaning and by words.

This package decides and describes: the records, what a duplicate is, how versions are kept, what a filter means. Stores
(`caxton_llm.stores`) keep the records and find candidates; nothing here touches a disk.
"""

from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Turn
from caxton_llm.memory.store import Forgotten, MemoryStore, Retention, StoreStats, Written
from caxton_llm.memory.transfer import Imported, export_lines, import_lines

__all__ = [
    "Embedder",
    "Entity",
    "Filters",
    "Forgotten",
    "Imported",
    "MemoryStore",
    "Observation",
    "Record",
    "Relation",
    "Retention",
    "StoreStats",
    "Turn",
    "Written",
    "export_lines",
    "import_lines",
]
