"""Agents that need each other in a circle, found before any of them is called."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Need", "circles"]


class Need(NamedTuple):
    """Agent number `agent` needs a capability, which agent number `server` serves."""

    agent: int
    capability: str
    server: int


def circles(needs: Sequence[Need]) -> list[tuple[Need, ...]]:
    """Circles such that, without the last need of each, there are none; every agent of a circle is there once.

    Deterministic: agents and needs are followed in their order.
    """
    following: dict[int, list[Need]] = {}
    for need in needs:
        following.setdefault(need.agent, []).append(need)
    found: list[tuple[Need, ...]] = []
    done: set[int] = set()
    for start in following:
        if start not in done:
            found += _from(start, following, done)
    return found


def _from(start: int, following: dict[int, list[Need]], done: set[int]) -> Iterator[tuple[Need, ...]]:
    """Depth first, without recursion: a chain of agents may be long."""
    path: list[Need] = []
    on_path = {start: 0}
    open_needs = [iter(following.get(start, ()))]
    while open_needs:
        need = next(open_needs[-1], None)
        if need is None:
            open_needs.pop()
            agent = path.pop().server if path else start
            on_path.pop(agent)
            done.add(agent)
        elif need.server in on_path:
            yield (*path[on_path[need.server] :], need)
        elif need.server not in done:
            path.append(need)
            on_path[need.server] = len(path)
            open_needs.append(iter(following.get(need.server, ())))
