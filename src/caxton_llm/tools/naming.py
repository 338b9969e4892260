"""Names of tools as models see them: unique among those of an agent, and the same as long as the tools are there."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["unique_names"]

_LONGEST = 64
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")

Tool = tuple[str, str]
"""A server and its own name for the tool."""
_NONE: Mapping[Tool, str] = {}


def unique_names(tools: Iterable[Tool], given: Mapping[Tool, str] = _NONE) -> Mapping[Tool, str]:
    """A name of 1 to 64 letters, digits, `_` and `-` for each: the tool's own, `server__tool` where several share it, and
    with a number made from both where even that is taken or too long. The order of the tools makes no difference.

    Those that have been `given` a name keep it, also while they are not there: a tool that comes later must do with what is
    left.
    """
    every = sorted(set(tools))
    names = {tool: given[tool] for tool in every if tool in given}
    taken = set(given.values())
    wanted = {tool: _fit(tool[1]) for tool in every if tool not in names}
    shared = Counter(wanted.values())
    longer = {
        tool: name if shared[name] == 1 and name not in taken else _fit(f"{tool[0]}__{tool[1]}")
        for tool, name in wanted.items()
    }
    counted = Counter(longer.values())
    for tool, name in longer.items():
        is_free = counted[name] == 1 and name not in taken and len(name) <= _LONGEST
        names[tool] = name if is_free else _numbered(tool, name)
    return names


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name) or "_"


def _numbered(tool: Tool, name: str) -> str:
    number = hashlib.sha256("\0".join(tool).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{number}"
