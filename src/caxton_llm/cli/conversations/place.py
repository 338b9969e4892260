"""Which conversations a command line means."""

from pathlib import Path

from msgspec import Struct

__all__ = ["Whose"]


class Whose(Struct, frozen=True):
    """The store: in a folder, else that of a configuration, else ./caxton-conversations. Of it: a tenant's, an agent's."""

    path: Path | None
    config: Path | None
    tenant: str | None
    agent: str | None
