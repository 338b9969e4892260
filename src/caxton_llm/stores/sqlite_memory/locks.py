"""The lock of the index writer: one process at a time; whoever dies frees it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["writer_lock"]


@contextmanager
def writer_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Whether the lock is held inside; with `wait` it always is."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - not on every system
    except ImportError:
        return _lock_region(descriptor, wait=wait)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_region(descriptor: int, *, wait: bool) -> bool:
    import msvcrt  # noqa: PLC0415 - Windows alone

    mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]
    try:
        msvcrt.locking(descriptor, mode, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
