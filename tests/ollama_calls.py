"""Requests as the Ollama dialect encodes them."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import LlmError
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import Defaults, EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import ChatRequest, FunctionDefinition, Message, Tool
from caxton_llm.wire import ollama_chat

__all__ = ["HELLO", "WEATHER", "encoded", "info", "refusal", "sent", "sent_messages"]

HELLO = [Message(role="user", content="Hello")]
WEATHER = Tool(
    type="function",
    function=FunctionDefinition(name="get_weather", parameters={"type": "object", "properties": {}}, strict=True),
)


def encoded(
    request: ChatRequest,
    *,
    stream: bool = False,
    info: ModelInfo | None = None,
    defaults: Defaults | None = None,
    quirks: Quirks | None = None,
    strict: bool = False,
) -> EncodedChat:
    options = EncodeOptions(
        model=info or ModelInfo(id="m", provider="ollama"),
        send_model="llama3.1:8b",
        quirks=quirks or Quirks(),
        defaults=defaults or Defaults(),
        strict=strict,
    )
    return ollama_chat.encode_chat(request, options, stream=stream)


def sent(request: ChatRequest, **how: Any) -> Any:
    return msgspec.json.decode(encoded(request, **how).body)


def sent_messages(*messages: Message, **how: Any) -> Any:
    return sent(ChatRequest(messages=list(messages)), **how)["messages"]


def refusal(request: ChatRequest, **how: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        encoded(request, **how)
    return caught.value


def info(**capabilities: bool) -> ModelInfo:
    return ModelInfo(id="m", provider="ollama", capabilities=Capabilities(**capabilities))
