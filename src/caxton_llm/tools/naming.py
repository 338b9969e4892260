"""Names of tools as models see them: unique among all servers, and the same as long as the servers' tools are."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["unique_names"]

_LONGEST = 64
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")

Tool = tuple[str, str]
"""A server and its own name for the tool."""


def unique_names(tools: Iterable[Tool]) -> Mapping[Tool, str]:
    """A name of 1 to 64 letters, digits, `_` and `-` for each: the tool's own, `server__tool` where several share it, and
    with a number made from both where even that is taken or too long. The order of the tools makes no difference."""
    wanted = {tool: _fit(tool[1]) for tool in sorted(set(tools))}
    shared = Counter(wanted.values())
    longer = {tool: name if shared[name] == 1 else _fit(f"{tool[0]}__{tool[1]}") for tool, name in wanted.items()}
    taken = Counter(longer.values())
    return {
        tool: name if taken[name] == 1 and len(name) <= _LONGEST else _numbered(tool, name)
        for tool, name in longer.items()
    }


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name) or "_"


def _numbered(tool: Tool, name: str) -> str:
    number = hashlib.sha256("\0".join(tool).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{number}"
