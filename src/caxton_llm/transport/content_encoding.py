"""Undoes `content-encoding`, for servers that compress although they were asked not to.

Incremental; a compressed body that ends early or is damaged is an error, never a shorter body.
"""

import zlib
from collections.abc import Mapping

from caxton_llm.errors import MalformedResponse, StreamInterrupted

__all__ = ["ContentDecoder", "content_decoder"]

_AUTO_WBITS = zlib.MAX_WBITS | 32
"""zlib recognises gzip and zlib by their headers."""
_ZLIB_MAGIC = 0x78
"""The first byte of every zlib stream with the usual window."""


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
    """gzip and deflate, the latter with or without the zlib wrapper that many servers leave out."""

    __slots__ = ("_inflate", "_started")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_AUTO_WBITS)
        self._started = False

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that `data` completes, possibly none. Raises `MalformedResponse`."""
        if data and not self._started:
            self._started = True
            if data[0] not in {_ZLIB_MAGIC, 0x1F}:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            plain = self._inflate.decompress(data)
            while self._inflate.eof and self._inflate.unused_data:  # gzip allows several members in a row
                following = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_AUTO_WBITS)
                plain += self._inflate.decompress(following)
        except zlib.error:
            raise MalformedResponse("the compressed body is damaged") from None
        return plain

    def close(self) -> None:
        """The body has ended. Raises `StreamInterrupted` when the compressed data has not."""
        if self._started and not self._inflate.eof:
            raise StreamInterrupted("the compressed body ends before its end")
