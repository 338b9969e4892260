"""Records as people and other programs write them: checked more strictly than what a store has written itself.

Unknown fields are mistakes, and an observation may be a plain text.
"""

import msgspec

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Turn

__all__ = [
    "EntityBody",
    "ObservationBody",
    "RecordBody",
    "RelationBody",
    "TurnBody",
    "observation_of",
    "read_record",
    "record_of",
]


class ObservationBody(Observation, frozen=True, forbid_unknown_fields=True):
    """One thing that is known of an entity."""


class EntityBody(Entity, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="entity"):
    """An entity to write. `version`, `created` and `updated` are the store's and change nothing."""

    observations: tuple[str | ObservationBody, ...] = ()  # type: ignore[assignment]


class RelationBody(Relation, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="relation"):
    """A relation to write, from one entity to another by their ids."""


class TurnBody(Turn, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="turn"):
    """A turn of a conversation to write."""


RecordBody = EntityBody | RelationBody | TurnBody

_decoder: msgspec.json.Decoder[RecordBody] = msgspec.json.Decoder(RecordBody)


def read_record(line: bytes) -> Record:
    """The record of a line of JSON. Raises `InvalidRequest`."""
    try:
        return record_of(_decoder.decode(line))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"is not a record: {str(error).replace('`', '')}") from None


def record_of(body: RecordBody) -> Record:
    """The value that the library takes."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    if isinstance(body, RelationBody):
        return Relation(**values)
    if isinstance(body, TurnBody):
        return Turn(**values)
    values["observations"] = tuple(observation_of(one) for one in body.observations)
    return Entity(**values)


def observation_of(body: str | Observation) -> Observation:
    """The value that the library takes."""
    if isinstance(body, str):
        return Observation(body)
    return Observation(body.text, body.at, body.source, body.confidence)
