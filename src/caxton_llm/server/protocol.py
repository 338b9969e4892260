"""uvicorn's HTTP/1.1 protocol with what a gateway needs beside it: a limit for the head of a request, and whole answers that
leave in one write.

ASGI sends the head and the body of a response one after the other, which costs a system call and the client a wake-up more
than a short answer needs. The application finds the shorter way under `WHOLE_RESPONSE` in the extensions of its scope; where
it is missing, in another server, it sends as usual.
"""

from collections.abc import Callable
from functools import partial
from weakref import ref

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from caxton_llm.errors import InvalidRequest
from caxton_llm.server.headers import Header
from caxton_llm.wire.openai_chat.client import encode_error

__all__ = ["WHOLE_RESPONSE", "GatewayProtocol", "RespondWhole"]

WHOLE_RESPONSE = "caxton.http.response.whole"

RespondWhole = Callable[[int, list[Header], bytes], None]
"""Status, headers with their content-length, and body: the whole response, written at once."""

_HEAD_BYTES = 64 * 1024
"""The longest head of a request: request line and headers."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _unfinished_head = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        scope: HTTPScope | None = self.scope  # none before the first byte of the first request
        if scope is None or "path" in scope:
            self._unfinished_head = 0
            return
        self._unfinished_head += len(data)
        if self._unfinished_head > _HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, f"the head of the request is longer than {_HEAD_BYTES // 1024} KiB")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.scope["extensions"] = {WHOLE_RESPONSE: {"respond": partial(_respond_whole, ref(self.cycle))}}

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, f"{msg.rstrip('.')}: this is not HTTP/1.1")

    def _refuse(self, status: int, message: str) -> None:
        """Answer what no application sees, and close: nobody knows where the next request would begin."""
        body = encode_error(InvalidRequest(message, code="malformed_http"))
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def _respond_whole(responding: "ref[RequestResponseCycle]", status: int, headers: list[Header], body: bytes) -> None:
    """`responding` is a weak reference, because its object holds the scope that holds this function."""
    cycle = responding()
    if cycle is None or cycle.disconnected:
        return
    cycle.response_started = cycle.response_complete = True
    parts = [STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]]
    parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    if cycle.scope["method"] != "HEAD":
        parts.append(body)
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
