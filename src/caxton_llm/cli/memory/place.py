"""Where the memory of a command is, as the command line says it."""

from pathlib import Path

from msgspec import Struct

__all__ = ["Place"]


class Place(Struct, frozen=True):
    """Which memory the command line means: the one in a folder, else that of a configuration, else ./caxton-memory."""

    path: Path | None = None
    config: Path | None = None
