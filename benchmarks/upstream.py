"""A provider as fast as Python allows: answers every POST with the same chat completion, whole or as a stream.

    python benchmarks/upstream.py PORT [EVENTS]

Every request whose body holds `"stream":true` gets EVENTS chunks (default 1000) in one go; every other a whole answer.
"""

import asyncio
import sys
from typing import cast

import uvloop

ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1790000000,"model":"gpt-4o-2024-08-06",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Twelve words make a short answer that is typical of '
    b'small talk.","refusal":null},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":14,"total_tokens":35,'
    b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},'
    b'"service_tier":"default","system_fingerprint":"fp_bench"}'
)
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: %d\r\n\r\n%s"
    % (
        len(ANSWER),
        ANSWER,
    )
)


def _event(delta: str, finish: str = "null") -> bytes:
    return (
        'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-2024-08-06",'
        f'"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}\n\n'
    ).encode()


def stream(events: int) -> bytes:
    """A whole streamed response in HTTP chunks of a few events each, as they come together over a network."""
    parts = [_event('{"role":"assistant","content":""}')]
    parts += [_event('{"content":" word"}') for _ in range(events)]
    parts.append(_event("{}", '"stop"'))
    parts.append(
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-2024-08-06",'
        b'"choices":[],"usage":{"prompt_tokens":21,"completion_tokens":1000,"total_tokens":1021}}\n\n'
    )
    parts.append(b"data: [DONE]\n\n")
    body = bytearray()
    for part in parts:
        body += b"%x\r\n%s\r\n" % (len(part), part)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + bytes(body) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Just enough HTTP: requests with a content-length, one after the other."""

    streamed = b""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            end = head_end + 4 + length
            if len(self._buffer) < end:
                return
            body = self._buffer[head_end + 4 : end]
            self._buffer = self._buffer[end:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        """One request has come."""
        assert self._transport is not None
        self._transport.write(self.streamed if b'"stream":true' in body else WHOLE)


async def main(port: int, events: int) -> None:
    Upstream.streamed = stream(events)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000))
