"""Undoes `content-encoding`, for servers that compress although they were asked not to.

Incremental; a compressed body that ends early or is damaged is an error, never a shorter body.
"""

import zlib
from collections.abc import Mapping

from caxton_llm.errors import MalformedResponse, StreamInterrupted

__all__ = ["STEP_BYTES", "ContentDecoder", "content_decoder"]

_AUTO_WBITS = zlib.MAX_WBITS | 32
"""zlib recognises gzip and zlib by their headers."""
_ZLIB_MAGIC = 0x78
"""The first byte of every zlib stream with the usual window."""
STEP_BYTES = 256 * 1024
"""The most plain bytes that come out at once: less than a millisecond's work."""
_SLICE_BYTES = 16 * 1024
"""How much zlib gets at once: what it does not use it copies."""


def content_decoder(headers: Mapping[str, str]) -> "ContentDecoder | None":
    """What undoes the response's `content-encoding`; `None` when there is none.

    Raises `MalformedResponse` for an encoding other than gzip and deflate.
    """
    encoding = headers.get("content-encoding")
    if encoding is None or (encoding := encoding.lower()) in {"identity", ""}:
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return ContentDecoder()
    raise MalformedResponse(
        "the body has a content-encoding that was not asked for and is not understood; only gzip and deflate are"
    )


class ContentDecoder:
    """gzip and deflate, the latter with or without the zlib wrapper that many servers leave out.

    What is fed comes out in steps of bounded size, so that a few bytes that stand for very many cost neither the memory for
    all of them nor the time of everything else on the event loop.
    """

    __slots__ = ("_at", "_data", "_full", "_inflate", "_started", "_tail")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_AUTO_WBITS)
        self._started = False
        self._data = b""
        self._at = 0
        """How much of `_data` has been handed to zlib."""
        self._tail = b""
        """What zlib has given back of that."""
        self._full = False
        """The last step was as large as it may be: zlib may hold more, although it has all of the input."""

    @property
    def pending(self) -> bool:
        """Whether there is something to do for `step`."""
        return self._full or bool(self._tail) or self._at < len(self._data)

    def feed(self, data: bytes) -> None:
        """More of the compressed body, when nothing is `pending`."""
        if data and not self._started:
            self._started = True
            if data[0] not in {_ZLIB_MAGIC, 0x1F}:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = data
        self._at = 0

    def step(self) -> bytes:
        """Some of the plain bytes, at most `STEP_BYTES`, possibly none. Raises `MalformedResponse`."""
        data = self._tail
        if not data:
            data = self._data[self._at : self._at + _SLICE_BYTES]
            self._at += len(data)
        if data and self._inflate.eof:  # gzip allows several members in a row
            self._inflate = zlib.decompressobj(_AUTO_WBITS)
        try:
            plain = self._inflate.decompress(data, STEP_BYTES)
        except zlib.error:
            raise MalformedResponse("the compressed body is damaged") from None
        self._tail = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._full = len(plain) == STEP_BYTES and not self._inflate.eof
        return plain

    def close(self) -> None:
        """The body has ended. Raises `StreamInterrupted` when the compressed data has not."""
        if self._started and not self._inflate.eof:
            raise StreamInterrupted("the compressed body ends before its end")
