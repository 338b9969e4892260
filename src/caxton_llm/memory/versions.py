"""Earlier versions of a record, kept as what has changed since: a record that only grows costs little."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from caxton_llm.memory.model import Record

__all__ = ["Change", "change_between", "earlier", "history_of"]

_KEPT = "observations_kept"


class Change(msgspec.Struct, frozen=True):
    """What turns a version into the one before it. `at` is when the earlier version was replaced, and `action` by what."""

    version: int
    """The number of the earlier version."""
    at: float
    action: str
    fields: dict[str, Any]
    """The earlier value of each field that has changed; `None`: it had its default."""


def change_between(old: Record, new: Record, *, at: float, action: str) -> Change:
    """What has to be kept so that `old` can be made of `new` again."""
    before = _plain(old)
    after = _plain(new)
    fields = {name: before.get(name) for name in {**before, **after} if before.get(name) != after.get(name)}
    kept = list(before.get("observations") or ())
    if "observations" in fields and list(after.get("observations") or ())[: len(kept)] == kept:
        del fields["observations"]
        fields[_KEPT] = len(kept)
    return Change(old.version, at, action, fields)


def earlier(record: Record, change: Change) -> Record:
    """The version before `record`."""
    plain = _plain(record)
    for name, value in change.fields.items():
        if name == _KEPT:
            plain["observations"] = (plain.get("observations") or [])[:value]
        elif value is None:
            plain.pop(name, None)
        else:
            plain[name] = value
    return cast("Record", msgspec.convert(plain, Record))


def history_of(record: Record, changes: Iterable[Change]) -> list[Record]:
    """The record and its earlier versions, from its changes, the last change first."""
    versions = [record]
    for change in changes:
        versions.append(earlier(versions[-1], change))
    return versions


def _plain(record: Record) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.to_builtins(record))
