"""Whatever is asked, Anthropic either is not asked at all or accepts what it gets.

The judge is the fake provider's own checks; the facts of the models are the catalogue's.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anthropic_models import encoded
from caxton_llm.errors import InvalidRequest
from caxton_llm.protocols import Defaults, EncodeOptions
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.types import (
    ChatRequest,
    FileInput,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)
from caxton_llm.types import ContentPart as Part
from caxton_llm.wire import anthropic_messages
from fakes.anthropic_checks import MODELS, check_count, check_message_request

SIGNATURES = {"signed": "Hm.", "empty": "", "opaque": ""}
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

TEXTS = st.sampled_from(["", " ", "\n", "a", "b \n", "Grüße 🙂"])
PARTS = st.one_of(
    st.builds(lambda text: Part(type="text", text=text), TEXTS),
    st.builds(lambda text: Part(type="refusal", refusal=text), TEXTS),
    st.just(Part(type="image_url", image_url=ImageUrl(url=PNG, detail="high"))),
    st.just(Part(type="image_url", image_url=ImageUrl(url="https://x/y.png"))),
    st.just(Part(type="file", file=FileInput(file_data="data:application/pdf;base64,JVBERi0xLjQ=", filename="a.pdf"))),
    st.just(Part(type="hologram")),
)
TEXT_PARTS = st.builds(lambda text: Part(type="text", text=text), TEXTS)
CONTENT = TEXTS | st.lists(PARTS, max_size=3)
NAMES = st.sampled_from(["f", "g", "files/read", "x" * 70])
THINKING = st.none() | st.lists(
    st.sampled_from(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "signed"},
            {"type": "thinking", "thinking": "", "signature": "empty"},
            {"type": "thinking", "thinking": "foreign", "signature": ""},
            {"type": "redacted_thinking", "data": "opaque"},
        ]
    ),
    max_size=2,
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Conversations of the common model: any order of turns, with every call answered."""
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 5))):
        role = draw(st.sampled_from(["system", "developer", "user", "user", "assistant", "calls"]))
        if role == "calls":
            ids = [f"{draw(st.sampled_from(['call', 'c:1']))}_{number}_{i}" for i in range(draw(st.integers(1, 2)))]
            arguments = draw(st.sampled_from(["", "{}", '{"a":1}', "{broken"]))
            calls = [ToolCall(id=each, function=FunctionCall(draw(NAMES), arguments)) for each in ids]
            messages.append(
                Message(role="assistant", content=draw(TEXTS), tool_calls=calls, thinking_blocks=draw(THINKING))
            )
            results = [Message(role="tool", tool_call_id=each, content=draw(CONTENT)) for each in ids]
            messages += draw(st.permutations(results))
        elif role == "assistant":
            said = draw(TEXTS | st.none() | st.lists(TEXT_PARTS, max_size=2))
            messages.append(Message(role="assistant", content=said, thinking_blocks=draw(THINKING)))
        elif role == "user":
            messages.append(Message(role="user", content=draw(CONTENT)))
        else:
            messages.append(Message(role=role, content=draw(TEXTS)))  # type: ignore[arg-type]
    return messages


SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
        {"type": "object"},
        {},
    ]
)
TOOLS = st.lists(
    st.builds(
        lambda name, schema, strict: Tool(
            type="function", function=FunctionDefinition(name=name, parameters=schema, strict=strict)
        ),
        NAMES,
        SCHEMAS,
        st.booleans(),
    ),
    max_size=2,
    unique_by=lambda tool: tool.function.name if tool.function else "",
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "f"}}]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.builds(
            lambda schema: ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=schema)), SCHEMAS
        )
        | st.just(ResponseFormat(type="json_object")),
        "temperature": st.sampled_from([0, 0.5, 1, 1.9]),
        "top_p": st.sampled_from([0, 0.5, 0.99, 1]),
        "stop": st.sampled_from(["x", ["x", " "], [" "]]),
        "max_tokens": st.sampled_from([1, 1000, 20_000, 500_000]),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "user": st.sampled_from(["u", "a@b.c"]),
        "service_tier": st.sampled_from(["auto", "flex"]),
        "seed": st.just(1),
        "extra": st.fixed_dictionaries(
            {},
            optional={
                "top_k": st.just(3),
                "thinking": st.sampled_from(
                    [
                        {"type": "enabled", "budget_tokens": 2000},
                        {"type": "adaptive"},
                        {"type": "disabled"},
                        {"type": "between_tools"},
                    ]
                ),
                "output_config": st.sampled_from([{"effort": "low"}, {"effort": "max"}]),
                "unknown": st.just(1),
            },
        ),
    },
)
DEFAULTS = st.builds(
    Defaults,
    temperature=st.none() | st.just(0.7),
    top_p=st.none() | st.just(0.8),
    reasoning_effort=st.none() | st.sampled_from(["low", "high"]),
    max_tokens=st.none() | st.just(200_000),
)


@pytest.mark.parametrize("model", sorted(MODELS))
@given(messages=conversations(), tools=TOOLS, options=OPTIONS, defaults=DEFAULTS, stream=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_sent_is_accepted(
    model: str, messages: list[Message], tools: list[Tool], options: dict[str, Any], defaults: Defaults, stream: bool
) -> None:
    request = ChatRequest(messages=messages, tools=tools or None, **options)
    info = shipped_catalog().find("anthropic", model)
    try:
        sent = encoded(request, info, stream=stream, defaults=defaults)
        counted = anthropic_messages.encode_count(
            request, EncodeOptions(model=info, send_model=model, defaults=defaults)
        )
    except InvalidRequest as refusal:
        path = refusal.param
        assert path is not None
        return
    check_message_request(sent.body, models=MODELS, version="2023-06-01", signatures=SIGNATURES)
    check_count(msgspec.json.decode(counted.body), models=MODELS, signatures=SIGNATURES)
