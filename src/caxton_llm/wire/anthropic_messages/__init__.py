"""Anthropic's Messages API: the dialect `anthropic_messages`, as a provider speaks it.

How a client of it is served stands in its package `client`.
"""

from caxton_llm.errors import LlmError
from caxton_llm.protocols import Restore, WireResponse
from caxton_llm.wire.anthropic_messages.request import encode_chat, encode_count
from caxton_llm.wire.anthropic_messages.response import DIALECT, decode_chat
from caxton_llm.wire.anthropic_messages.stream import AnthropicStreamDecoder
from caxton_llm.wire.failures import classify_failure

__all__ = ["classify", "decode_chat", "encode_chat", "encode_count", "name", "stream_decoder"]

name = DIALECT


def stream_decoder(restore: Restore) -> AnthropicStreamDecoder:
    """A decoder for one streamed answer."""
    return AnthropicStreamDecoder(restore)


def classify(response: WireResponse) -> LlmError:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}` with a status."""
    return classify_failure(response)
