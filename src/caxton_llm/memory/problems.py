"""What went wrong with a store in the background, for the operator to read: the last distinct problems, until mended."""

import threading

__all__ = ["Problems"]

_KEPT = 20


class Problems:
    """Any thread may use it. What happens again is named once, as the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        with self._lock:
            self._texts.pop(text, None)
            self._texts[text] = None
            while len(self._texts) > _KEPT:
                del self._texts[next(iter(self._texts))]

    def mended(self) -> None:
        """Everything goes well again."""
        with self._lock:
            self._texts.clear()

    @property
    def texts(self) -> list[str]:
        """The oldest first."""
        with self._lock:
            return list(self._texts)
