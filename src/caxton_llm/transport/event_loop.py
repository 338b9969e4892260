"""What the transports say to a caller who uses them where or when they cannot be used: mistakes in a program, not failures
of a provider."""

import asyncio

from caxton_llm.errors import MisusedError

__all__ = ["leave", "transport_closed"]


def leave(loop: asyncio.AbstractEventLoop | None) -> None:
    """Connections live on one event loop; they can be forgotten for another one when theirs is closed. Else raises
    `RuntimeError`."""
    if loop is not None and not loop.is_closed():
        raise MisusedError(
            "the connections belong to another event loop, which is still open: use one Caxton per event loop, or SyncCaxton"
        )


def transport_closed() -> MisusedError:
    """A request after `aclose`."""
    return MisusedError("the transport is closed: its Caxton was closed before this request")
