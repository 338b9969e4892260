"""What a memory and a store of conversations do by themselves every hour: delete what may not stay."""

import threading
from collections.abc import Callable

from caxton_llm.errors import LlmError

__all__ = ["Upkeep"]

_EVERY_S = 3_600.0


class Upkeep:
    """Calls `work` at once and then every `every_s` seconds in a thread of its own, until it is closed.

    A failure is kept in `problem` until it goes well again.
    """

    def __init__(self, work: Callable[[], object], every_s: float = _EVERY_S) -> None:
        self.problem: str | None = None
        self._work = work
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caxton-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after what is under way."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._closing.wait(wait):
            try:
                self._work()
            except LlmError as error:
                self.problem = f"what is too old or too much could not be deleted: {error}"
            else:
                self.problem = None
            wait = self._every_s
