"""A memory in PostgreSQL with pgvector, for many processes on many machines: the server keeps the records and finds them."""

from caxton_llm.errors import ConfigurationError

try:
    from caxton_llm.stores.postgres_memory.place import PostgresPlace
    from caxton_llm.stores.postgres_memory.store import PostgresMemory
except ImportError as error:
    raise ConfigurationError(
        f"a memory in PostgreSQL needs psycopg and its pool ({error}): pip install 'caxton-llm[postgres]'"
    ) from None

__all__ = ["PostgresMemory", "PostgresPlace"]
