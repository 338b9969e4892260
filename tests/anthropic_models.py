"""Models as Anthropic has had them, by what they accept, and a short way to encode a request for one."""

from typing import Any

import msgspec

from caxton_llm.model_info import Capabilities, ModelInfo, ParameterRules
from caxton_llm.protocols import Defaults, EncodedChat, EncodeOptions, Quirks
from caxton_llm.types import ChatRequest, ContentPart, Message
from caxton_llm.wire import anthropic_messages

__all__ = ["ADAPTIVE", "ALWAYS_THINKS", "BUDGETED", "OLD", "UNKNOWN", "Sent", "encoded", "part", "user"]

UNKNOWN = ModelInfo(id="claude-next", provider="anthropic")

OLD = ModelInfo(
    id="claude-3-haiku",
    provider="anthropic",
    max_output_tokens=4096,
    capabilities=Capabilities(reasoning=False, json_schema=False, prefill=True, inline_system=False),
    parameters=ParameterRules(sampling="always", efforts=[], thinking=[]),
)
"""No thinking, no structured outputs."""

BUDGETED = ModelInfo(
    id="claude-haiku-4-5",
    provider="anthropic",
    max_output_tokens=64_000,
    capabilities=Capabilities(reasoning=True, json_schema=True, prefill=True, inline_system=False),
    parameters=ParameterRules(sampling="always", efforts=[], thinking=["enabled", "disabled"], exclusive_sampling=True),
)
"""Thinks with a budget; temperature and top_p exclude each other."""

ADAPTIVE = ModelInfo(
    id="claude-opus-5",
    provider="anthropic",
    max_output_tokens=128_000,
    capabilities=Capabilities(reasoning=True, json_schema=True, prefill=False, inline_system=True),
    parameters=ParameterRules(
        sampling="never", efforts=["low", "medium", "high", "xhigh", "max"], thinking=["adaptive", "disabled"]
    ),
)
"""Decides by itself how much it thinks; no sampling, no prefill; system messages between the turns."""

ALWAYS_THINKS = ModelInfo(
    id="claude-fable-5",
    provider="anthropic",
    max_output_tokens=128_000,
    capabilities=Capabilities(reasoning=True, json_schema=True, prefill=False, forced_tool_choice=False),
    parameters=ParameterRules(
        sampling="never", efforts=["low", "medium", "high"], thinking=["adaptive"], thinking_always_on=True
    ),
)
"""Thinking cannot be switched off, tools cannot be forced."""


class Sent:
    """An encoded request, its body decoded again."""

    def __init__(self, chat: EncodedChat) -> None:
        self.body: dict[str, Any] = msgspec.json.decode(chat.body)
        self.headers = dict(chat.headers)
        self.mapped = chat.report.mapped
        self.dropped = chat.report.dropped
        self.restore = chat.restore
        self.bytes = chat.body


def encoded(
    request: ChatRequest,
    model: ModelInfo = UNKNOWN,
    *,
    stream: bool = False,
    strict: bool = False,
    defaults: Defaults = Defaults(),  # noqa: B008 - frozen
    quirks: Quirks = Quirks(),  # noqa: B008 - frozen
) -> Sent:
    options = EncodeOptions(model=model, send_model=model.id, strict=strict, defaults=defaults, quirks=quirks)
    return Sent(anthropic_messages.encode_chat(request, options, stream=stream))


def user(*content: Any, **fields: Any) -> ChatRequest:
    """A request with one message of the user: text, or parts."""
    text = content[0] if content and isinstance(content[0], str) else list(content) or "Hi"
    fields.setdefault("messages", [Message(role="user", content=text)])
    return ChatRequest(**fields)


def part(type_: str, **fields: Any) -> ContentPart:
    return ContentPart(type=type_, **fields)
