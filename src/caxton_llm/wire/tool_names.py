"""Names of tools on the wire: a reversible, collision-free renaming to the alphabet that a provider accepts.

Providers accept `[a-zA-Z0-9_-]` and 64 characters; tools that come from elsewhere (an MCP server's `files/read`) are
called otherwise. The name on the wire follows from the caller's name alone, so it stays the same from turn to turn, whatever
other tools come and go, and the provider's prompt cache stays warm.
"""

import hashlib
from collections.abc import Iterable

__all__ = ["wire_tool_names"]

_DIGEST_BYTES = 4


def wire_tool_names(names: Iterable[str], *, limit: int = 64) -> dict[str, str]:
    """Caller's name -> name on the wire, for those names only that must change; `limit` is the longest name accepted.

    Pass every name of the request: the tools, the tool choice, and the calls of the history.
    """
    known = set(names)
    foreign = [name for name in known if not _is_plain(name, limit)]
    if not foreign:  # nearly always
        return {}
    taken = known.difference(foreign)
    renamed: dict[str, str] = {}
    for name in sorted(foreign):
        wire = _free_name(name, taken, limit)
        taken.add(wire)
        renamed[name] = wire
    return renamed


def _is_plain(name: str, limit: int) -> bool:
    return 0 < len(name) <= limit and name.isascii() and f"{name}a".replace("_", "").replace("-", "").isalnum()


def _free_name(name: str, taken: set[str], limit: int) -> str:
    """The readable part of the name and a digest of the whole of it; longer digests only if that is taken."""
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).strip("_") or "tool"
    digest = hashlib.blake2s(name.encode("utf-8", "surrogatepass")).hexdigest()
    for size in range(_DIGEST_BYTES * 2, len(digest)):
        wire = f"{readable[: limit - size - 1]}_{digest[:size]}"
        if wire not in taken:
            return wire
    raise AssertionError("digests of every length are taken")  # 57 names would have to collide on purpose
