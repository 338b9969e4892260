"""What calibrations of token counts have learned, in one small JSON file.

Several processes may share the file: each adds what it has learned to what is there, and of a model that two have learned
the one that writes last counts. Nothing is lost that will not be learned again, so a file that cannot be used is begun anew.
"""

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from caxton_llm.resolved import resolved
from caxton_llm.tokens.calibrated import Factors

__all__ = ["TokenFactorFile"]

_log = logging.getLogger("caxton_llm.tokens")

_VERSION = 1
_MOST_BYTES = 16 * 1024 * 1024
"""More than a hundred thousand models: a file of that size is something else."""
_LARGEST_FACTOR = 100.0


@resolved
class _Content(Struct, frozen=True):
    version: int
    models: dict[str, Factors]


class TokenFactorFile:
    """A file of factors by model. Its folder is made when it is first written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Factors]:
        """The factors for a new `TokenCalibration`; none where there is no file. A damaged file, or one of another version,
        counts as none, and the log says so. Raises `OSError` when it cannot be read."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        found = _decoded(data)
        if isinstance(found, str):
            _log.warning("token factors in %s are not used and will be learned anew: %s", self.path, found)
            return {}
        return found

    def save(self, learned: Mapping[str, Factors]) -> None:
        """Add what a calibration has learned (`TokenCalibration.snapshot`), replacing the file at once. Raises `OSError`, and
        then the file is what it was."""
        if not learned:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = _Content(_VERSION, self.read() | dict(learned))
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(content))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _decoded(data: bytes) -> dict[str, Factors] | str:
    """The factors, or what is wrong with the file."""
    if len(data) > _MOST_BYTES:
        return f"the file has more than {_MOST_BYTES:,} bytes"
    try:
        content = msgspec.json.decode(data, type=_Content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "the file is damaged"
    if content.version != _VERSION:
        return f"the file has version {content.version}, this program writes version {_VERSION}"
    if not all(map(_is_possible, content.models.values())):
        return "the file has impossible factors"
    return content.models


def _is_possible(factors: Factors) -> bool:
    values = (factors.prose, factors.code, factors.json, factors.cjk)
    return all(0 < value <= _LARGEST_FACTOR for value in values) and 0 <= factors.deviation < math.inf
