"""Streams of an OpenAI chat server, as its tests make and read them."""

import json
from collections.abc import Iterable
from typing import Any

from caxton_llm.protocols import Restore
from caxton_llm.types import ChatChunk
from caxton_llm.wire import openai_chat
from caxton_llm.wire.openai_chat.stream import OpenAIStreamDecoder

__all__ = ["DONE", "bytewise", "calls_of", "chunk", "event", "finishes", "run", "text_of", "tool"]

DONE = b"data: [DONE]\n\n"


def event(payload: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    data = payload if isinstance(payload, str) else json.dumps(payload)
    return f"{head}data: {data}\n\n".encode()


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, index: int = 0, **top: Any) -> bytes:
    choice: dict[str, Any] = {"index": index, "finish_reason": finish}
    if delta is not None:
        choice["delta"] = delta
    return event({"id": "chatcmpl-1", "created": 7, "model": "m-2", "choices": [choice], "usage": None} | top)


def tool(**call: Any) -> bytes:
    return chunk({"tool_calls": [call]})


def run(
    *pieces: bytes, restore: Restore | None = None, closed: bool = True
) -> tuple[list[ChatChunk], OpenAIStreamDecoder]:
    decoder = openai_chat.stream_decoder(restore or Restore())
    chunks = [made for piece in pieces for made in decoder.feed(piece)]
    return (chunks + decoder.close() if closed else chunks), decoder


def bytewise(stream: bytes) -> Iterable[bytes]:
    return (stream[index : index + 1] for index in range(len(stream)))


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(choice.delta.content or "" for made in chunks for choice in made.choices)


def calls_of(chunks: list[ChatChunk]) -> dict[int, list[str]]:
    """index -> [id, name, arguments]"""
    calls: dict[int, list[str]] = {}
    for made in chunks:
        for choice in made.choices:
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, ["", "", ""])
                known[0] += call.id or ""
                known[1] += (call.function.name if call.function else None) or ""
                known[2] += (call.function.arguments if call.function else None) or ""
    return calls


def finishes(chunks: list[ChatChunk]) -> list[str]:
    return [choice.finish_reason for made in chunks for choice in made.choices if choice.finish_reason]
