"""What the options of a command mean: filters, times, metadata."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.memory.filters import Filters, check_filters
from caxton_llm.memory.store import Retention
from caxton_llm.types import Json

__all__ = ["FilterOptions", "filters_of", "metadata_of", "moment", "retention_of"]


class FilterOptions(Struct, frozen=True, kw_only=True):
    """As the command line has them."""

    tenant: str
    agent: str | None
    workspace: str | None
    scopes: Sequence[str] | None
    types: Sequence[str] | None
    kinds: Sequence[str] | None
    areas: Sequence[str] | None
    conversation: str | None
    since: str | None
    until: str | None


def filters_of(options: FilterOptions) -> Filters:
    """Raises `typer.BadParameter`."""
    filters = Filters(
        tenant=options.tenant,
        agent=options.agent,
        workspace=options.workspace,
        scopes=_given(options.scopes),  # type: ignore[arg-type]  # checked below
        kinds=_given(options.kinds),  # type: ignore[arg-type]
        types=_given(options.types),
        focus_areas=_given(options.areas),
        conversation=options.conversation,
        since=None if options.since is None else moment(options.since, "--since"),
        until=None if options.until is None else moment(options.until, "--until", end=True),
    )
    try:
        check_filters(filters)
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from None
    return filters


def retention_of(
    max_age_days: float | None, max_records: int | None, kinds: Sequence[str] | None, tenant: str | None
) -> Retention:
    """Raises `typer.BadParameter`."""
    if max_age_days is None and max_records is None:
        raise typer.BadParameter("say what may stay, with --max-age-days, --max-records or both")
    try:
        check_filters(Filters(kinds=_given(kinds)))  # type: ignore[arg-type]
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from None
    age_s = None if max_age_days is None else max_age_days * 86_400
    retention = Retention(max_age_s=age_s, max_records=max_records, tenant=tenant)
    return replace(retention, kinds=tuple(kinds)) if kinds else retention


def _given(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(values) if values else None


def moment(text: str, option: str, *, end: bool = False) -> float:
    """Seconds since 1970 of an ISO date or time, UTC unless it says otherwise. A day's `end` is its last moment."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return (begin + timedelta(days=1) - timedelta(microseconds=1) if end else begin).timestamp()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no ISO date or time, as 2024-05-01 or 2024-05-01T12:00:00Z", param_hint=option
        ) from None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def metadata_of(pairs: Sequence[str], tags: Sequence[str]) -> dict[str, Json]:
    """Of `KEY=VALUE`, where a value may be JSON. Raises `typer.BadParameter`."""
    metadata: dict[str, Json] = {"tags": list(tags)} if tags else {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--metadata")
        try:
            metadata[key] = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            metadata[key] = value
    return metadata
