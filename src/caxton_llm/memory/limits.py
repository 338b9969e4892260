"""What a memory accepts: sizes, ranges and names, checked before anything is written or searched."""

import math
from typing import NoReturn, get_args

import msgspec

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.model import Entity, Record, Relation, Scope, Turn

__all__ = ["MAX_OBSERVATION", "MAX_QUERY", "MAX_RECORD", "MAX_RESULTS", "check_query", "check_record"]

MAX_NAME = 1_000
"""Characters of a name, a type, a tenant, an agent, a conversation, a source."""
MAX_OBSERVATION = 2 * 1024 * 1024
"""Characters of one observation or turn."""
MAX_RECORD = 16 * 1024 * 1024
"""Bytes of a record as JSON."""
MAX_QUERY = 100_000
"""Characters of a query."""
MAX_RESULTS = 10_000
_MAX_TIME = 253_402_300_800.0
"""The end of the year 9999."""


def check_record(record: Record, path: str) -> None:
    """Raises `InvalidRequest` that names the field, starting with `path`."""
    for name in ("id", "tenant", "agent", "workspace"):
        _check_name(getattr(record, name), f"{path}.{name}", may_be_empty=True)
    if record.scope not in get_args(Scope):
        scopes = ", ".join(get_args(Scope))
        _refuse(f"unknown scope {record.scope[:40]!r}; the scopes are {scopes}", f"{path}.scope")
    if record.scope == "agent" and not record.agent:
        _refuse("a record of the scope agent needs the agent's name", f"{path}.agent")
    for name in ("created", "updated"):
        _check_time(getattr(record, name), f"{path}.{name}")
    if isinstance(record, Entity):
        _check_entity(record, path)
    elif isinstance(record, Relation):
        _check_relation(record, path)
    else:
        _check_turn(record, path)
    try:
        size = len(msgspec.json.encode(record))
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        message = (
            f"cannot be written as JSON ({type(error).__name__}): half characters and odd objects are not accepted"
        )
        raise InvalidRequest(message, param=path) from None
    if size > MAX_RECORD:
        _refuse(f"{size} bytes are more than the {MAX_RECORD} that one record may have", path)


def check_query(text: str, limit: int) -> None:
    """Raises `InvalidRequest` for a query or a number of results out of range."""
    if len(text) > MAX_QUERY:
        _refuse(f"{len(text)} characters are more than the {MAX_QUERY} that a query may have", "query")
    if type(limit) is not int:
        _refuse(f"must be a whole number, not {type(limit).__name__}", "max_results")
    if not 1 <= limit <= MAX_RESULTS:
        _refuse(f"{limit} is not between 1 and {MAX_RESULTS}", "max_results")
    _check_characters(text, "query")


def _check_entity(entity: Entity, path: str) -> None:
    _check_name(entity.name, f"{path}.name")
    _check_name(entity.type, f"{path}.type")
    for name in ("valid_from", "valid_until"):
        _check_time(getattr(entity, name), f"{path}.{name}")
    if entity.valid_from is not None and entity.valid_until is not None and entity.valid_until < entity.valid_from:
        _refuse("ends before valid_from", f"{path}.valid_until")
    for number, observation in enumerate(entity.observations):
        where = f"{path}.observations[{number}]"
        _check_text(observation.text, f"{where}.text")
        _check_time(observation.at, f"{where}.at")
        _check_share(observation.confidence, f"{where}.confidence")
        _check_name(observation.source or "", f"{where}.source", may_be_empty=True)


def _check_relation(relation: Relation, path: str) -> None:
    _check_name(relation.source, f"{path}.from")
    _check_name(relation.target, f"{path}.to")
    _check_name(relation.type, f"{path}.type")
    _check_share(relation.strength, f"{path}.strength")
    _check_share(relation.confidence, f"{path}.confidence")


def _check_turn(turn: Turn, path: str) -> None:
    _check_name(turn.conversation, f"{path}.conversation")
    _check_name(turn.role, f"{path}.role")
    _check_name(turn.speaker, f"{path}.speaker", may_be_empty=True)
    _check_text(turn.text, f"{path}.text")
    _check_time(turn.at, f"{path}.at")
    if not 0 <= turn.index < 2**31:
        _refuse(f"{turn.index} is not between 0 and {2**31 - 1}", f"{path}.index")


def _check_name(value: str, path: str, *, may_be_empty: bool = False) -> None:
    if not value.strip() and not (may_be_empty and not value):
        _refuse("must not be empty", path)
    if len(value) > MAX_NAME:
        _refuse(f"{len(value)} characters are more than {MAX_NAME}", path)
    _check_characters(value, path)


def _check_text(value: str, path: str) -> None:
    if not value.strip():
        _refuse("must not be empty", path)
    if len(value) > MAX_OBSERVATION:
        _refuse(f"{len(value)} characters are more than {MAX_OBSERVATION}; cut it into several", path)
    _check_characters(value, path)


def _check_characters(value: str, path: str) -> None:
    if "\0" in value:
        _refuse("must not have a NUL character", path)
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse("has half of a surrogate pair, which is no character", path)


def _check_time(value: float | None, path: str) -> None:
    if value is not None and not -_MAX_TIME < value < _MAX_TIME:
        _refuse("must be seconds since 1970 and at most the year 9999; milliseconds have to be divided by 1000", path)


def _check_share(value: float | None, path: str) -> None:
    if value is not None and (math.isnan(value) or not 0.0 <= value <= 1.0):
        _refuse(f"{value!r} is not between 0 and 1", path)


def _refuse(message: str, path: str) -> NoReturn:
    raise InvalidRequest(message, param=path)
