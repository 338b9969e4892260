"""Which records have to go because they are too old or too many."""

import sqlite3

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.store import Retention
from caxton_llm.stores.sqlite_memory.rows import KINDS, marks

__all__ = ["expired"]


def expired(db: sqlite3.Connection, retention: Retention, now: float) -> list[int]:
    """Keys of the records. Raises `InvalidRequest` for a negative age or number."""
    if (retention.max_age_s or 0) < 0 or (retention.max_records or 0) < 0:
        raise InvalidRequest("an age or a number of records must not be negative", param="retention")
    kinds = [KINDS[kind] for kind in retention.kinds]
    where = f"kind in ({marks(kinds)}) and (? is null or tenant = (select id from tenants where name = ?))"  # noqa: S608
    values = (*kinds, retention.tenant, retention.tenant)
    keys: set[int] = set()
    if retention.max_age_s is not None:
        sql = f"select key from records where {where} and updated < ?"  # noqa: S608
        keys.update(row[0] for row in db.execute(sql, (*values, now - retention.max_age_s)))
    if retention.max_records is not None:
        sql = f"""select key from (select key, row_number() over (partition by owner order by updated desc, key desc) place
            from records where {where}) where place > ?"""  # noqa: S608
        keys.update(row[0] for row in db.execute(sql, (*values, retention.max_records)))
    return sorted(keys)
