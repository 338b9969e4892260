"""The records of a memory: entities with observations, relations between them, turns of conversations.

Times are seconds since 1970 (UTC); `None` is "not said". Strengths and confidences are 0..1. Where a record belongs is its
tenant (a wall: nothing is ever found across it) and, inside, its scope: `global` for everybody, `workspace` for the agents of
one workspace, `agent` for one agent alone.
"""

from typing import Literal

from msgspec import Struct, field

from caxton_llm.discreet import Discreet
from caxton_llm.types import Json

__all__ = ["Entity", "Kind", "Observation", "Owner", "Record", "Relation", "Scope", "Turn", "owner_of"]

Scope = Literal["agent", "workspace", "global"]
Kind = Literal["entity", "relation", "turn"]


class Observation(Discreet, Struct, frozen=True, omit_defaults=True):
    """One thing that is known of an entity. `source` says where it comes from: a conversation, a file, a person."""

    text: str
    at: float | None = None
    source: str | None = None
    confidence: float | None = None


class Owner(Struct, frozen=True):
    """Where a record belongs. `owner` is the agent's or the workspace's name; empty for `global`."""

    tenant: str
    scope: Scope
    owner: str


class _Placed(Discreet, Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all records have. `version` 0 means that no store has it yet; the store sets `created` and `updated`."""

    id: str = ""
    """Empty: the store finds the record by what identifies it, or gives it a new name."""
    tenant: str = ""
    scope: Scope = "workspace"
    agent: str = ""
    """Needed for the scope `agent`; for the others it only says who wrote the record."""
    workspace: str = ""
    version: int = 0
    created: float | None = None
    updated: float | None = None
    metadata: dict[str, Json] = field(default_factory=dict)
    """`tags`, a list of strings, is what `focus_areas` are compared with, beside the type."""


class Entity(_Placed, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="entity"):
    """Something that has a name; identified by tenant, scope, type and name (however it is spelled)."""

    name: str
    type: str = "note"
    observations: tuple[Observation, ...] = ()
    valid_from: float | None = None
    valid_until: float | None = None


class Relation(_Placed, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="relation"):
    """One entity's relation to another, by their ids; identified by both and its type."""

    source: str = field(name="from")
    target: str = field(name="to")
    type: str
    strength: float | None = None
    confidence: float | None = None


class Turn(_Placed, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="turn"):
    """What somebody said in a conversation; identified by the conversation and its place in it, from 0."""

    conversation: str
    index: int
    role: str = "user"
    speaker: str = ""
    text: str
    at: float | None = None


Record = Entity | Relation | Turn


def owner_of(record: Record) -> Owner:
    """Where a record belongs."""
    names = {"agent": record.agent, "workspace": record.workspace, "global": ""}
    return Owner(record.tenant, record.scope, names[record.scope])
