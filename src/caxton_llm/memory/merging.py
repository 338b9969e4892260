"""What becomes of an entity, a relation or a turn when another one with the same identity is written."""

from functools import lru_cache
from hashlib import blake2b

from msgspec.structs import replace

from caxton_llm.memory.duplicates import name_words, statement, words_key
from caxton_llm.memory.model import Entity, Observation, Record, Relation, Turn, owner_of

__all__ = ["fold", "identity_of", "merged", "name_key", "set_apart"]


@lru_cache(4096)
def name_key(name: str) -> bytes:
    """16 bytes that are equal for the spellings of a name."""
    return words_key(" ".join(name_words(name)))


def identity_of(record: Record) -> bytes:
    """16 bytes: equal for records that are the same thing, however its name is spelled."""
    where = owner_of(record)
    parts = [where.tenant, where.scope, where.owner]
    if isinstance(record, Entity):
        parts += ["entity", record.type.casefold(), name_key(record.name).hex()]
    elif isinstance(record, Relation):
        parts += ["relation", record.source, record.type, record.target]
    else:
        parts += ["turn", record.conversation, str(record.index)]
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


def set_apart(identity: bytes, record: str) -> bytes:
    """The identity of a record that must not be another's, though both are called the same: by its id alone it is found."""
    return blake2b(identity + record.encode(), digest_size=16).digest()


def fold(entity: Entity) -> tuple[Entity, int]:
    """The entity without observations that repeat each other, and how many those were."""
    if len(entity.observations) < 2:
        return entity, 0
    return _joined(replace(entity, observations=()), entity.observations)


def merged(old: Record, new: Record) -> tuple[Record, int]:
    """`old` with what `new` adds, and how many of its observations were duplicates.

    Id, creation and version stay as they are in `old`. Of an entity the first spelling of the name stays, new observations
    come last, and what `new` says of validity and metadata holds. A relation and a turn are replaced.
    """
    metadata = {**old.metadata, **new.metadata}
    kept = {"id": old.id, "version": old.version, "created": old.created, "updated": old.updated, "metadata": metadata}
    if isinstance(old, Entity) and isinstance(new, Entity):
        joined, duplicates = _joined(old, new.observations)
        valid_from = old.valid_from if new.valid_from is None else new.valid_from
        valid_until = old.valid_until if new.valid_until is None else new.valid_until
        changed = replace(joined, metadata=metadata, valid_from=valid_from, valid_until=valid_until)
        return changed, duplicates
    if isinstance(old, Relation) and isinstance(new, Relation):
        strength = old.strength if new.strength is None else new.strength
        confidence = old.confidence if new.confidence is None else new.confidence
        return replace(new, **kept, strength=strength, confidence=confidence), 0
    if isinstance(old, Turn) and isinstance(new, Turn):
        return replace(new, **kept, at=old.at if new.at is None else new.at), 0
    return replace(new, id=old.id, version=old.version, created=old.created, updated=old.updated), 0


def _joined(entity: Entity, added: tuple[Observation, ...]) -> tuple[Entity, int]:
    kept: list[Observation] = []
    places: dict[tuple[str, ...], int] = {}
    near: dict[tuple[str, ...], int] = {}
    duplicates = 0
    for observation in (*entity.observations, *added):
        said = statement(observation.text)
        number = places.get(said.words)
        if number is None:
            number = near.get(said.bare)
        # What is there already stays, also what would be a duplicate today.
        if number is None or len(kept) < len(entity.observations):
            number = len(kept)
            kept.append(observation)
        else:
            duplicates += 1
            kept[number] = _confirmed(kept[number], observation)
        places.setdefault(said.words, number)
        if said.bare:
            near.setdefault(said.bare, number)
    return replace(entity, observations=tuple(kept)), duplicates


def _confirmed(old: Observation, again: Observation) -> Observation:
    """What was said twice is as certain as the more certain of the two, and as new as the newer."""
    confidence = max((c for c in (old.confidence, again.confidence) if c is not None), default=None)
    at = max((t for t in (old.at, again.at) if t is not None), default=None)
    if confidence == old.confidence and at == old.at:
        return old
    return replace(old, confidence=confidence, at=at, source=old.source or again.source)
