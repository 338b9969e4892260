"""The `anthropic` package as a reader of bytes: what we write is given to it as if a server had answered."""

from typing import Any

import anthropic
import httpx2
from anthropic.types import Message as AnthropicMessage

from caxton_llm.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    CompletionTokensDetails,
    FunctionCall,
    Message,
    PromptTokensDetails,
    ToolCall,
    Usage,
)
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client

__all__ = ["USAGE", "asked", "call", "client", "dumped", "read_stream", "read_whole", "response"]

USAGE = Usage(
    prompt_tokens=113,
    completion_tokens=7,
    total_tokens=120,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=100, cache_write_tokens=3),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=2),
)


def client(body: bytes, content_type: str = "application/json", status: int = 200) -> anthropic.Anthropic:
    """The vendor's client, answered with these bytes."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    return anthropic.Anthropic(
        api_key="key", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )


def asked() -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "q"}]}


def read_whole(response: ChatResponse) -> AnthropicMessage:
    with client(anthropic_messages_client.encode_response(response, ChatRequest(messages=[]))) as vendor:
        message: AnthropicMessage = vendor.messages.create(**asked())
    return message


def read_stream(body: bytes) -> AnthropicMessage:
    with client(body, "text/event-stream") as vendor, vendor.messages.stream(**asked()) as stream:
        return stream.get_final_message()


def response(message: Message, finish_reason: Any = "stop", **fields: Any) -> ChatResponse:
    stop_sequence = fields.pop("stop_sequence", None)
    choice = Choice(index=0, message=message, finish_reason=finish_reason, stop_sequence=stop_sequence)
    return ChatResponse(id="chatcmpl-1", model="gpt-4o", choices=[choice], usage=USAGE, **fields)


def call(call_id: str, name: str, arguments: str) -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall(name, arguments))


def dumped(message: AnthropicMessage) -> list[dict[str, Any]]:
    """The blocks of an answer, without what the client adds to them."""
    return [block.model_dump(exclude_none=True, exclude_unset=True) for block in message.content]
