"""Ollama's native chat API: the dialect `ollama_chat`.

Always the native API: its OpenAI-compatible side cannot set the size of the context window.
"""

from caxton_llm.errors import LlmError
from caxton_llm.protocols import Restore, WireResponse
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.ollama_chat.decode import OllamaStreamDecoder, decode_chat
from caxton_llm.wire.ollama_chat.encode import encode_chat

__all__ = ["classify", "decode_chat", "encode_chat", "name", "stream_decoder"]

name = "ollama_chat"


def stream_decoder(restore: Restore) -> OllamaStreamDecoder:
    """A decoder for one streamed answer."""
    return OllamaStreamDecoder(restore)


def classify(response: WireResponse) -> LlmError:
    """`{"error": "text"}` with a status; the text is Ollama's own."""
    return classify_failure(response)
