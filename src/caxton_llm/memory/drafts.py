"""What becomes of each record that is written: a new one, a new version, or nothing. Pure: the store looks things up."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.limits import check_record
from caxton_llm.memory.merging import fold, identity_of, merged
from caxton_llm.memory.model import Entity, Record, Relation
from caxton_llm.memory.passages import passages_of
from caxton_llm.memory.store import Action
from caxton_llm.memory.versions import Change, change_between

__all__ = ["MAX_RECORDS", "Draft", "Lookup", "Stored", "check_records", "plan"]

MAX_RECORDS = 10_000
"""Records that are written at once: others wait for as long."""

_Name = tuple[str, str]
"""A tenant and an id of it."""


class Stored(Protocol):
    """A record as a store has it."""

    @property
    def key(self) -> int: ...
    @property
    def record(self) -> Record: ...


class Lookup(Protocol):
    """What a store has. An id is that of one record of a tenant; another tenant may have it too."""

    def by_id(self, record: str, tenant: str, /) -> Stored | None: ...
    def by_identity(self, identity: bytes, /) -> Stored | None: ...


@dataclass(slots=True)
class Draft:
    """What is going to be written of one record. `old` is what it replaces."""

    record: Record
    old: Stored | None
    action: Action
    duplicates: int = 0
    changes: list[Change] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Passages to embed; empty when the old ones stay as they are."""


def check_records(records: Sequence[Record]) -> None:
    """Raises `InvalidRequest` for too many, or for the first that cannot be."""
    if len(records) > MAX_RECORDS:
        message = f"{len(records)} records are more than the {MAX_RECORDS} that are written at once, all or none"
        raise InvalidRequest(f"{message}; write them in parts", param="records")
    for number, record in enumerate(records):
        check_record(record, f"records[{number}]")


def plan(
    records: Sequence[Record],
    now: float,
    changes: Sequence[Sequence[Change]] | None,
    stored: Lookup,
) -> list[Draft]:
    """One draft for each record; records that are the same thing share one. Raises `InvalidRequest`.

    `changes` are those of an export, whose versions and times are kept; `None`: everything is of `now`.
    """
    by_identity: dict[bytes, Draft] = {}
    by_id: dict[_Name, Draft] = {}
    outcome: list[Draft] = []
    for number, record in enumerate(records):
        path, restoring = f"records[{number}]", changes is not None
        draft = _draft(record, by_identity, by_id, stored, path=path, now=now, restoring=restoring)
        if changes is not None and number < len(changes) and draft.action in ("created", "updated"):
            draft.changes = list(changes[number])
        by_identity[identity_of(draft.record)] = by_id[_name(draft.record)] = draft
        outcome.append(draft)
    numbers = {id(draft): number for number, draft in reversed(list(enumerate(outcome)))}
    for draft in by_id.values():
        if isinstance(draft.record, Relation):
            _check_ends(draft.record, by_id, stored, f"records[{numbers[id(draft)]}]")
        if draft.action != "unchanged":
            draft.texts = passages_of(draft.record)
    return outcome


def _draft(
    record: Record,
    by_identity: dict[bytes, Draft],
    by_id: dict[_Name, Draft],
    stored: Lookup,
    *,
    path: str,
    now: float,
    restoring: bool,
) -> Draft:
    identity = identity_of(record)
    known = by_id.get(_name(record)) if record.id else None
    known = known or by_identity.get(identity)
    if known is not None:
        return _again(known, record, now)
    row = stored.by_id(record.id, record.tenant) if record.id else None
    same = stored.by_identity(identity)
    if row is not None and same is not None and same.key != row.key:
        message = f"another record, {same.record.id}, has this name already; forget one of them"
        raise InvalidRequest(message, param=path)
    if row is not None:
        return _replaced(row, record, now, restoring=restoring)
    if same is not None:
        joined, duplicates = merged(same.record, record)
        return _changed(same, joined, duplicates, "merged", now)
    return _created(record, now, restoring=restoring)


def _created(record: Record, now: float, *, restoring: bool) -> Draft:
    duplicates = 0
    if isinstance(record, Entity) and not restoring:
        record, duplicates = fold(record)
    name = record.id or uuid.uuid4().hex
    if restoring:
        times = {"created": record.created or now, "updated": record.updated or now}
        return Draft(replace(record, id=name, version=max(1, record.version), **times), None, "created", duplicates)
    return Draft(replace(record, id=name, version=1, created=now, updated=now), None, "created", duplicates)


def _replaced(row: Stored, record: Record, now: float, *, restoring: bool) -> Draft:
    """A record with an id takes the place of the one that has it."""
    if type(row.record) is not type(record):
        raise InvalidRequest(f"the id {record.id} is of a record of another kind", param="id")
    if restoring and record.version <= row.record.version:
        # Imported once already, or changed here since: what is here stays.
        return Draft(row.record, row, "unchanged")
    if restoring:
        return Draft(replace(record, created=record.created or now, updated=record.updated or now), row, "updated")
    duplicates = 0
    if isinstance(record, Entity):
        record, duplicates = fold(record)
    return _changed(row, record, duplicates, "updated", now)


def _changed(row: Stored, record: Record, duplicates: int, action: Action, now: float) -> Draft:
    old = row.record
    same = replace(record, version=old.version, created=old.created, updated=old.updated)
    if same == old:
        return Draft(old, row, "unchanged", duplicates)
    new = replace(record, version=old.version + 1, created=old.created, updated=now)
    return Draft(new, row, action, duplicates, [change_between(old, new, at=now, action=action)])


def _again(draft: Draft, record: Record, now: float) -> Draft:
    """The same thing twice in one call: one row, one new version."""
    joined, duplicates = merged(draft.record, replace(record, id=draft.record.id))
    draft.duplicates += duplicates
    if draft.old is None:
        draft.record = joined
        return draft
    again = _changed(draft.old, joined, draft.duplicates, "merged", now)
    draft.record, draft.action, draft.changes = again.record, again.action, again.changes
    return draft


def _check_ends(relation: Relation, by_id: dict[_Name, Draft], stored: Lookup, path: str) -> None:
    for name, end_id in (("from", relation.source), ("to", relation.target)):
        draft = by_id.get((relation.tenant, end_id))
        row = None if draft is not None else stored.by_id(end_id, relation.tenant)
        end = draft.record if draft is not None else row.record if row is not None else None
        if not isinstance(end, Entity):
            raise InvalidRequest(
                f"there is no entity with the id {end_id[:80]!r}; write it first", param=f"{path}.{name}"
            )


def _name(record: Record) -> _Name:
    return record.tenant, record.id
