"""Several threads at once, each waited for within bounds."""

import threading
from collections.abc import Callable, Iterable

__all__ = ["run_in_threads"]

_LONGEST_S = 60


def run_in_threads(works: Iterable[Callable[[], object]]) -> None:
    """Do all of it at the same time, a thread for each; returns when all have ended."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONGEST_S)
    assert not any(thread.is_alive() for thread in threads)
