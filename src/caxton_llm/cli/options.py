"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Config"]

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration; else $CAXTON_CONFIG, else ./caxton.yaml."),
]
