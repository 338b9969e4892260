"""Anthropic's Messages API as our server speaks it: the dialect `anthropic_messages` on the client's side.

The `anthropic` package and everything else made for that API can talk to us, whatever provider answers behind.
"""

from caxton_llm.types import ChatRequest
from caxton_llm.wire.anthropic_messages.client.request import client_path, decode_count_request, decode_request
from caxton_llm.wire.anthropic_messages.client.response import encode_count, encode_error, encode_response
from caxton_llm.wire.anthropic_messages.client.stream import AnthropicStreamEncoder
from caxton_llm.wire.anthropic_messages.response import DIALECT

__all__ = [
    "client_path",
    "decode_count_request",
    "decode_request",
    "encode_count",
    "encode_error",
    "encode_response",
    "encoder",
    "name",
]

name = DIALECT


def encoder(request: ChatRequest, *, stream_dialect: str, stream_model: str) -> AnthropicStreamEncoder:  # noqa: ARG001
    """An encoder for one streamed answer; `stream_model` is named where the stream does not say who answers."""
    return AnthropicStreamEncoder(verbatim=stream_dialect == DIALECT, model=stream_model)
