"""What documents and sound take of a prompt at most, from their bytes: vendors tell it only afterwards. Pure.

Nothing is decoded beyond what tells the number of pages, and that is bounded: what a caller sends may be made to harm.
"""

import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from caxton_llm.types import AudioInput, FileInput

__all__ = ["file_text", "file_tokens", "sound_tokens"]

_PER_PAGE = 4_600
"""Up to 3,000 for the text of a page, and an image of it of at most 1,600
(https://platform.claude.com/docs/en/build-with-claude/pdf-support)."""
_BYTES_PER_TOKEN = 3
"""Of a document whose pages nobody can count."""
_BYTES_PER_SOUND_TOKEN = 60
"""Vendors make 10 to 32 tokens of a second, and speech has 2,000 bytes a second at least."""
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")
_PACKED = re.compile(rb"/Type\s*/ObjStm\b[^>]{0,400}>>\s*stream\r?\n")
_LARGEST_PACKED, _MOST_PACKED = 2_000_000, 2_000


def file_text(file: FileInput) -> str | None:
    """The text of a document that is one; `None` for any other."""
    kind, data = _data(file)
    return data.decode("utf-8", "replace") if data is not None and kind.startswith("text/") else None


def file_tokens(file: FileInput) -> int | None:
    """The most tokens of a document that is no text: by its pages, where they can be counted, else by its bytes. `None` where
    the request has no bytes of it."""
    _, data = _data(file)
    if data is None:
        return None
    pages = sum(1 for _ in _PAGE.finditer(data)) + sum(len(_PAGE.findall(one)) for one in _unpacked(data))
    return pages * _PER_PAGE if pages else len(data) // _BYTES_PER_TOKEN + 1


def sound_tokens(sound: AudioInput) -> int:
    """The most tokens of a sound."""
    return len(sound.data) * 3 // 4 // _BYTES_PER_SOUND_TOKEN + 1


def _data(file: FileInput) -> tuple[str, bytes | None]:
    """The type of a document, and its bytes."""
    head, comma, body = (file.file_data or "").partition(",")
    if not comma:
        head, body = "", head
    if not body:
        return "", None
    kind = head.removeprefix("data:").lower()
    if comma and "base64" not in kind:
        return kind, unquote_to_bytes(body)
    try:
        return kind, b64decode(body)
    except ValueError:
        return kind, body.encode()  # whoever reads it will refuse it


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What a PDF keeps in compressed streams of objects, pages among it."""
    for place, match in enumerate(_PACKED.finditer(data)):
        if place == _MOST_PACKED:
            return
        try:
            yield zlib.decompressobj().decompress(data[match.end() : match.end() + _LARGEST_PACKED], _LARGEST_PACKED)
        except zlib.error:
            continue
