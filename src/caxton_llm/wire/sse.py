"""Server-sent events: the only parser of them in the project.

Follows the WHATWG event stream format: lines end with LF, CRLF or CR; a blank line ends an event; lines that start with a
colon are comments; one space after the field's colon is dropped; several `data` lines are joined with LF. `id` and `retry`
are ignored. An event that the end of the body cuts off is never dispatched: `pending` tells that there was one.
"""

from caxton_llm.errors import MalformedResponse

__all__ = ["SseDecoder", "SseEvent"]

SseEvent = tuple[str | None, bytes]
"""Name of the event (`None` when it has none) and its data."""

_BOM = b"\xef\xbb\xbf"
_EVENT_LIMIT = 32 * 1024 * 1024


class SseDecoder:
    """Bytes -> events, whatever the cuts between the bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._held_cr = False
        self._at_start = True

    @property
    def pending(self) -> bool:
        """An event has begun and not ended."""
        return bool(self._buffer.strip(b"\n"))

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that end in `data`. Raises `MalformedResponse` for an event over 32 MiB."""
        if self._held_cr or b"\r" in data:
            data = self._with_plain_newlines(data)
        buffer = self._buffer
        buffer += data
        if self._at_start and len(buffer) >= 3:
            self._at_start = False
            if buffer.startswith(_BOM):
                del buffer[:3]
        end = buffer.rfind(b"\n\n", max(self._searched - 1, 0))
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > _EVENT_LIMIT:
                raise MalformedResponse(f"an event of the stream is larger than {_EVENT_LIMIT // 1024 // 1024} MiB")
            return []
        complete = bytes(buffer[:end])
        del buffer[: end + 2]
        self._searched = len(buffer)
        events: list[SseEvent] = []
        for block in complete.split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:  # what nearly every event looks like
                events.append((None, block[6:]))
            elif (event := _parse_event(block)) is not None:
                events.append(event)
        return events

    def _with_plain_newlines(self, data: bytes) -> bytes:
        """CRLF and CR become LF; a CR at the end waits, because its LF may still come."""
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse_event(block: bytes) -> SseEvent | None:
    name: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return (name, b"\n".join(data)) if data else None
