"""OpenAI's chat completions, which most servers speak: the dialect `openai_chat`, the side that faces providers."""

from caxton_llm.errors import LlmError
from caxton_llm.protocols import Restore, WireResponse
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.openai_chat.request import encode_chat
from caxton_llm.wire.openai_chat.response import decode_chat
from caxton_llm.wire.openai_chat.stream import OpenAIStreamDecoder

__all__ = ["classify", "decode_chat", "encode_chat", "name", "stream_decoder"]

name = "openai_chat"


def stream_decoder(restore: Restore) -> OpenAIStreamDecoder:
    """A decoder for one streamed answer."""
    return OpenAIStreamDecoder(restore)


def classify(response: WireResponse) -> LlmError:
    """An answer outside 2xx, of OpenAI itself or of any server that speaks like it."""
    return classify_failure(response)
