"""Newline-delimited JSON: one value per line, blank lines skipped. The only parser of it in the project."""

from caxton_llm.errors import MalformedResponse

__all__ = ["NdjsonDecoder"]

_LINE_LIMIT = 32 * 1024 * 1024


class NdjsonDecoder:
    """Bytes -> lines, whatever the cuts between the bytes. The lines are not parsed here."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def pending(self) -> bool:
        """A line has begun and not ended."""
        return bool(self._buffer.strip())

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`. Raises `MalformedResponse` for a line over 32 MiB."""
        buffer = self._buffer
        buffer += data
        end = buffer.rfind(b"\n", self._searched)
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > _LINE_LIMIT:
                raise MalformedResponse(f"a line of the stream is larger than {_LINE_LIMIT // 1024 // 1024} MiB")
            return []
        complete = bytes(buffer[:end])
        del buffer[: end + 1]
        self._searched = len(buffer)
        return [line for line in complete.split(b"\n") if line.strip()]

    def take_rest(self) -> bytes:
        """What stands after the last newline, once the body has ended: the last line may lack its newline."""
        rest = bytes(self._buffer.strip())
        self._buffer.clear()
        return rest
