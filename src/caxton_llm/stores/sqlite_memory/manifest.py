"""What lies in the index folder: which files, how far they go, and their checksums.

Written last and at once, so that whatever it names is whole. A file that it does not name is a leftover and is deleted.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from caxton_llm.resolved import resolved

__all__ = ["DenseFile", "LexicalFolder", "Manifest", "checksums", "differing", "read", "stamp", "write"]

FORMAT = 1
"""Changes when older indexes cannot be used any more; they are made anew then."""
_NAME = "manifest.json"
_BLOCK = 1 << 20

Checksums = dict[str, tuple[int, int]]
"""File -> its size and its CRC-32."""


class LexicalFolder(Struct, frozen=True):
    """The lexical index has all passages up to `passage` but those of removals up to `removal`."""

    folder: str
    passage: int
    removal: int
    count: int
    average_length: float
    """Words of a passage, for scoring those that are not in the index in the same way."""
    files: Checksums
    deleted: int = 0
    """Passages that are deleted in the index and whose words may still be in its files."""


class DenseFile(Struct, frozen=True):
    """The vector index of one tenant. `deleted` vectors in it belong to passages that are gone."""

    tenant: int
    space: int
    file: str
    passage: int
    removal: int
    count: int
    files: Checksums


@resolved
class Manifest(Struct, frozen=True):
    """All index files of a store. `store` is the id of the database they were made from."""

    store: str
    format: int = FORMAT
    lexical: LexicalFolder | None = None
    dense: tuple[DenseFile, ...] = ()


def read(folder: Path, store: str) -> Manifest:
    """The manifest; an empty one where there is none that is of use."""
    try:
        manifest = msgspec.json.decode((folder / _NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Manifest(store)
    return manifest if manifest.store == store and manifest.format == FORMAT else Manifest(store)


def stamp(folder: Path) -> tuple[int, int] | None:
    """Changes with every new manifest."""
    try:
        status = os.stat(f"{folder}/{_NAME}")  # noqa: PTH116 - in every search: a path costs three times as much
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest at once."""
    temporary = folder / f"{_NAME}.new"
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(manifest))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _NAME)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checksums(paths: Iterable[Path], known: Checksums | None = None) -> Checksums:
    """Checksums by name; `known` ones are not computed again: the files of an index never change."""
    known = known or {}
    found: Checksums = {}
    for path in sorted(paths):
        found[path.name] = known.get(path.name) or (path.stat().st_size, _crc(path))
    return found


def differing(folder: Path, files: Checksums) -> list[str]:
    """Names of files that are there and are not what they were."""
    wrong: list[str] = []
    for name, (size, crc) in files.items():
        path = folder / name
        try:
            if path.stat().st_size != size or _crc(path) != crc:
                wrong.append(name)
        except FileNotFoundError:
            continue
    return wrong


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc
