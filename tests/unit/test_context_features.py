"""A model that lacks what a request needs is told before the request is encoded, and every encoder would say the same."""

from typing import Any

import pytest

from caxton_llm.context.features import missing_feature
from caxton_llm.errors import UnsupportedFeature
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import (
    AudioInput,
    ChatRequest,
    ContentPart,
    FileInput,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
)
from caxton_llm.wire import anthropic_messages, ollama_chat, openai_chat

ENCODERS = {"openai": openai_chat, "anthropic": anthropic_messages, "ollama": ollama_chat}

TOOLS = [Tool(type="function", function=FunctionDefinition(name="f"))]
SCHEMA = ResponseFormat(
    type="json_schema", json_schema=JsonSchemaFormat(schema={"type": "object", "properties": {"a": {"type": "string"}}})
)
IMAGE = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64,iVBORw0KGgo="))
AUDIO = ContentPart(type="input_audio", input_audio=AudioInput("AAAA", "wav"))
PDF = ContentPart(type="file", file=FileInput(file_data="data:application/pdf;base64,JVBE", filename="a.pdf"))
NOTE = ContentPart(type="file", file=FileInput(file_data="data:text/plain;base64,aGk=", filename="a.txt"))


def asking(*parts: ContentPart, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=list(parts) or "q")], **fields)


def lacking(provider: str, **capabilities: bool | None) -> ModelInfo:
    return ModelInfo(id="m", provider=provider, capabilities=Capabilities(**capabilities))


def is_refused(request: ChatRequest, info: ModelInfo) -> bool:
    try:
        ENCODERS[info.provider].encode_chat(request, EncodeOptions(model=info, send_model="m"), stream=False)
    except UnsupportedFeature:
        return True
    return False


NEEDS = [
    (asking(tools=TOOLS), "tools", "m takes no tools"),
    (asking(functions=[FunctionDefinition(name="f")]), "tools", "m takes no tools"),
    (asking(response_format=SCHEMA), "json_schema", "m has no json_schema output"),
    (asking(IMAGE), "vision", "m does not read images"),
    (asking(AUDIO), "audio", "m does not read audio"),
    (asking(PDF), "pdf", "m does not read documents"),
]


@pytest.mark.parametrize("provider", ENCODERS)
@pytest.mark.parametrize(("request_", "capability", "why"), NEEDS)
def test_what_is_missing_is_what_the_encoders_refuse(
    request_: ChatRequest, capability: str, why: str, provider: str
) -> None:
    info = lacking(provider, **{capability: False})
    expected = None if (provider, capability) == ("anthropic", "json_schema") else why
    assert missing_feature(request_, info) == expected
    assert is_refused(request_, info) is (expected is not None)


@pytest.mark.parametrize(("request_", "capability", "why"), NEEDS)
def test_what_is_not_known_to_be_missing_is_tried(request_: ChatRequest, capability: str, why: str) -> None:
    assert missing_feature(request_, lacking("openai")) is None
    assert missing_feature(request_, lacking("openai", **{capability: True})) is None
    nothing_else = {name: False for name in ("tools", "json_schema", "vision", "audio", "pdf") if name != capability}
    assert missing_feature(request_, lacking("openai", **nothing_else)) is None


def test_what_only_some_encoders_refuse_is_left_to_them() -> None:
    assert missing_feature(asking(NOTE), lacking("anthropic", pdf=False)) is None
    assert not is_refused(asking(NOTE), lacking("anthropic", pdf=False))
    unused = asking(tools=TOOLS, tool_choice="none")
    assert missing_feature(unused, lacking("ollama", tools=False)) is None
    assert not is_refused(unused, lacking("ollama", tools=False))
