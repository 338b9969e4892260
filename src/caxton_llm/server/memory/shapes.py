"""What the endpoints of the memory are sent and answer: the records themselves, and what stands around them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from caxton_llm.discreet import Discreet
from caxton_llm.memory.filters import Filters
from caxton_llm.memory.hits import Hit
from caxton_llm.memory.limits import MAX_RESULTS
from caxton_llm.memory.model import Entity, Record, Relation, Scope, Turn
from caxton_llm.memory.store import StoreStats, Written
from caxton_llm.memory.transfer import Format

MAX_PAGE = 1_000
MAX_RECORDS = 1_000
"""Records of one call, which are written all or none."""

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class SearchBody(Discreet, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search. `min_similarity` is on the calibrated scale; `focus_areas` are those of `filters`, within easier reach."""

    query: str
    filters: Filters = Filters()
    max_results: Annotated[int, Meta(ge=1, le=MAX_RESULTS)] | None = None
    min_similarity: Annotated[float, Meta(ge=0, le=1)] | None = None
    focus_areas: tuple[str, ...] | None = None


class TenantQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose records; empty: the tenant without a name."""

    tenant: str = ""


class RecordQuery(TenantQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `history`, the earlier versions come along."""

    history: bool = False


class PageQuery(TenantQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of records. With `agent` only what this agent may see; `cursor` is that of the page before."""

    agent: str | None = None
    workspace: str | None = None
    scope: Scope | None = None
    limit: Limit = 100
    cursor: str | None = None


class EntityPageQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of entities; `name` however it is spelled, `type` exactly."""

    name: str | None = None
    type: str | None = None


class RelationPageQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of relations; `entity` is the id of one of both ends."""

    entity: str | None = None
    type: str | None = None


class TurnPageQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of turns."""

    conversation: str | None = None


class ExportQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `tenant` everything is exported; without `history` no earlier versions."""

    tenant: str | None = None
    history: bool = True


class ImportQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `tenant` everything becomes this tenant's; with `keep_going` lines that cannot be used are passed over."""

    format: Format = "auto"
    tenant: str | None = None
    keep_going: bool = False


class WrittenList(Struct, frozen=True):
    """What became of each record, in the order in which they were sent."""

    written: list[Written]


class EntityPage(Struct, frozen=True):
    """`cursor` leads to the next page; `null`: this is the last."""

    records: list[Entity]
    cursor: str | None


class RelationPage(Struct, frozen=True):
    """`cursor` leads to the next page; `null`: this is the last."""

    records: list[Relation]
    cursor: str | None


class TurnPage(Struct, frozen=True):
    """`cursor` leads to the next page; `null`: this is the last."""

    records: list[Turn]
    cursor: str | None


class OneRecord(Struct, frozen=True):
    """A record; `versions`, the newest first, when they were asked for."""

    record: Record
    versions: list[Record] | UnsetType = UNSET


class SearchAnswer(Struct, frozen=True):
    """What was found, best first; see the documentation of the memory for what the figures mean."""

    hits: tuple[Hit, ...]
    searched: int
    candidates: int
    above_threshold: int
    search_ms: float
    problem: str | None
    """Why similarities are not known: the embedder failed, for instance, and words alone were searched."""


class StatsAnswer(Struct, frozen=True):
    """How much there is, and what was wrong with index files since the gateway started."""

    stats: StoreStats
    problems: list[str]


class Purged(Struct, frozen=True):
    """Index files hold no more traces of what was deleted."""

    indexes: str = "clean"
