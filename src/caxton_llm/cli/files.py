"""Files and standard streams of exports and imports; `-` is a stream."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import typer

__all__ = ["is_stream", "pieces_of", "reading", "writing"]

_PIECE = 1024 * 1024


@contextlib.contextmanager
def writing(output: Path) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there when it is complete, and not before."""
    if is_stream(output):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        raise typer.BadParameter(f"{part} cannot be written: {error.strerror}", param_hint="--output") from None
    try:
        with file:
            yield file
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def reading(source: Path) -> Iterator[BinaryIO]:
    """Standard input, or a file. Raises `typer.BadParameter`."""
    if is_stream(source):
        yield sys.stdin.buffer
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="FILE") from None
    with file:
        yield file


def pieces_of(
    file: BinaryIO, size: int | None = None, told: Callable[[int, int], object] | None = None
) -> Iterator[bytes]:
    """The file in pieces; where its size is known, the progress is that of reading it."""
    done = 0
    while piece := os.read(file.fileno(), _PIECE):  # what is there; a buffer would wait until it is full
        yield piece
        done += len(piece)
        if size is not None and told is not None:
            told(done, size)


def is_stream(path: Path) -> bool:
    """Whether a path means standard input or output: `-`."""
    return str(path) == "-"
