"""Requests for an OpenAI chat server, as its tests make them: from a client, from the library, from another dialect."""

import json
from typing import Any

import pytest

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.model_info import Capabilities, ModelInfo, ParameterRules
from caxton_llm.protocols import Defaults, EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import ChatRequest, Message, RequestSource
from caxton_llm.wire import openai_chat
from caxton_llm.wire.openai_chat import client as openai_chat_client

__all__ = ["TOOL", "USER", "encode", "from_client", "from_elsewhere", "from_library", "options", "refused", "sent"]

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def options(
    *,
    rules: ParameterRules | None = None,
    can: Capabilities | None = None,
    quirks: Quirks | None = None,
    defaults: Defaults | None = None,
    strict: bool = False,
) -> EncodeOptions:
    info = ModelInfo(
        id="m-1", provider="openai", parameters=rules or ParameterRules(), capabilities=can or Capabilities()
    )
    return EncodeOptions(
        model=info, send_model="m-1", quirks=quirks or Quirks(), defaults=defaults or Defaults(), strict=strict
    )


def from_client(**fields: Any) -> ChatRequest:
    body = {"model": "primary", "messages": [USER], **fields}
    return openai_chat_client.decode_request(json.dumps(body).encode(), {})


def from_library(**fields: Any) -> ChatRequest:
    fields.setdefault("messages", [Message(role="user", content="hi")])
    return ChatRequest(**fields)


def from_elsewhere(**fields: Any) -> ChatRequest:
    return from_library(source=RequestSource("anthropic_messages", {}), **fields)


def encode(request: ChatRequest, *, stream: bool = False, **given_options: Any) -> EncodedChat:
    return openai_chat.encode_chat(request, options(**given_options), stream=stream)


def sent(request: ChatRequest, *, stream: bool = False, **given_options: Any) -> Any:
    return json.loads(encode(request, stream=stream, **given_options).body)


def refused(request: ChatRequest, *, stream: bool = False, **given_options: Any) -> str | None:
    with pytest.raises(UnsupportedFeature) as caught:
        encode(request, stream=stream, **given_options)
    return caught.value.param
