"""What a name that does not exist may have meant."""

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["nearest_name"]


def nearest_name(name: str, known: Sequence[str], cutoff: float) -> str | None:
    """The known name that is nearest to `name` in any case; `None` where none is as near as `cutoff`, of 0 to 1. A name of a
    kind (`agent:NAME`) is also known by what stands behind the first colon."""
    return _nearest(name[:200].casefold(), tuple(known), cutoff)


@lru_cache(maxsize=1024)
def _nearest(name: str, known: tuple[str, ...], cutoff: float) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - needed for mistakes only

    short = {one.partition(":")[2].casefold(): one for one in reversed(known) if ":" in one}
    whole = short | {one.casefold(): one for one in known}
    close = get_close_matches(name, whole, n=1, cutoff=cutoff)
    if not close and ":" in name:
        close = get_close_matches(name.partition(":")[2], whole, n=1, cutoff=cutoff)
    return whole[close[0]] if close else None
