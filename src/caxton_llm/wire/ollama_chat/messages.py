"""Messages and tools as Ollama's native API wants them.

What differs from the common model: `content` is always a string, images stand beside it as bare base64, the arguments of a
tool call are an object, and a tool's result names the tool.
"""

from typing import NoReturn

import msgspec
from msgspec import Raw, Struct, field

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.model_info import Capabilities
from caxton_llm.types import ContentPart, FunctionCall, FunctionDefinition, Json, Message, Tool, ToolCall
from caxton_llm.wire.data_url import parse_data_url
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["Conversation", "OllamaMessage", "OllamaTool", "encode_messages", "encode_tools", "has_signed_thinking"]


class OllamaFunction(Struct):
    """`arguments` is a JSON object, verbatim as the model wrote it."""

    name: str
    arguments: Raw


class OllamaCall(Struct, omit_defaults=True, kw_only=True):
    """Older servers ignore `id`."""

    id: str | None = None
    function: OllamaFunction


class OllamaMessage(Struct, omit_defaults=True, kw_only=True):
    """One message on the wire."""

    role: str
    content: str
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaDefinition(Struct, omit_defaults=True, kw_only=True):
    """A function without OpenAI's `strict`, which Ollama does not know."""

    name: str
    description: str | None = None
    parameters: dict[str, Json]


class OllamaTool(Struct, kw_only=True):
    """A tool on the wire."""

    type: str
    function: OllamaDefinition


class Conversation(Struct):
    """The encoded messages, and how much there is of them for the model to read: bytes of text, thinking and calls, number of
    images."""

    messages: list[OllamaMessage] = field(default_factory=list)
    text_bytes: int = 0
    images: int = 0

    def add(self, message: OllamaMessage) -> None:
        self.messages.append(message)
        self.text_bytes += _size(message.content) + _size(message.thinking) + _size(message.tool_name)
        for call in message.tool_calls or ():
            self.text_bytes += _size(call.function.name) + len(bytes(call.function.arguments))
        self.images += len(message.images or ())


def _size(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


_NO_PARAMETERS: dict[str, Json] = {"type": "object", "properties": {}}
_arguments_decoder = msgspec.json.Decoder(dict[str, Raw])


def encode_messages(messages: list[Message], capabilities: Capabilities, notes: ParameterNotes) -> Conversation:
    """Messages that `check_conversation` has passed. Raises `UnsupportedFeature` for content that Ollama lacks."""
    conversation = Conversation()
    called: dict[str, str] = {}
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if message.role == "assistant":
            conversation.add(_assistant(message, path, called, notes))
        elif message.role == "tool":
            conversation.add(_tool_result(message, path, called, notes))
        else:
            text, images = _content(message.content, path, capabilities, notes)
            role = "system" if message.role == "developer" else message.role
            conversation.add(OllamaMessage(role=role, content=text, images=images or None))
    return conversation


def encode_tools(tools: list[Tool]) -> list[OllamaTool]:
    """Raises `UnsupportedFeature` for tools that are no functions."""
    return [OllamaTool(type="function", function=_definition(tool, index)) for index, tool in enumerate(tools)]


def _definition(tool: Tool, index: int) -> OllamaDefinition:
    function: FunctionDefinition | None = tool.function
    if tool.type != "function" or function is None:
        raise UnsupportedFeature(
            f"Ollama has function tools only, not tools of type {tool.type!r}", param=f"tools[{index}].type"
        )
    return OllamaDefinition(
        name=function.name,
        description=function.description or None,
        parameters=function.parameters or _NO_PARAMETERS,
    )


def _assistant(message: Message, path: str, called: dict[str, str], notes: ParameterNotes) -> OllamaMessage:
    text, images = _content(message.content, path, Capabilities(), notes)
    if images:
        _refuse("an image in an assistant's message", f"{path}.content")
    if message.audio is not None:
        if not text:
            _refuse("spoken answers", f"{path}.audio")
        notes.strip(f"{path}.audio", "Ollama has no audio; the text is sent")
    calls = []
    for index, call in enumerate(message.tool_calls or ()):
        function = _called_function(call, f"{path}.tool_calls[{index}]")
        called[call.id] = function.name
        calls.append(OllamaCall(id=call.id or None, function=OllamaFunction(function.name, _arguments(function))))
    return OllamaMessage(
        role="assistant",
        content=text or message.refusal or "",
        thinking=None if has_signed_thinking(message) else message.reasoning_content or None,
        tool_calls=calls or None,
    )


def has_signed_thinking(message: Message) -> bool:
    """Whether the message carries thinking that Anthropic has signed: that belongs to Anthropic alone."""
    return any(
        isinstance(block, dict) and (block.get("signature") or block.get("data"))
        for block in message.thinking_blocks or ()
    )


def _called_function(call: ToolCall, path: str) -> FunctionCall:
    if call.function is None:
        _refuse(f"a tool call of type {call.type!r}", path)
    return call.function


def _arguments(function: FunctionCall) -> Raw:
    """The arguments as an object. What the model wrote is never corrected: text that is no object travels under `_raw`."""
    text = function.arguments.strip()
    if not text:
        return Raw(b"{}")
    encoded = text.encode("utf-8", "replace")
    try:
        _arguments_decoder.decode(encoded)
    except (msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.encode({"_raw": function.arguments}))
    return Raw(encoded)


def _tool_result(message: Message, path: str, called: dict[str, str], notes: ParameterNotes) -> OllamaMessage:
    text, images = _content(message.content, path, Capabilities(), notes)
    if images:
        _refuse("an image in a tool's result", f"{path}.content")
    call_id = message.tool_call_id or ""
    return OllamaMessage(role="tool", content=text, tool_name=called[call_id], tool_call_id=call_id)


def _content(
    content: str | list[ContentPart] | None, path: str, capabilities: Capabilities, notes: ParameterNotes
) -> tuple[str, list[str]]:
    """Text and images of a message; the text parts are joined with line breaks."""
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(content):
        if part.type == "text":
            texts.append(part.text or "")
        elif part.type == "image_url":
            images.append(_image(part, f"{path}.content[{index}]", capabilities, notes))
        elif part.type == "refusal":
            texts.append(part.refusal or "")
        else:
            _refuse(f"a content part of type {part.type!r}", f"{path}.content[{index}].type")
    return "\n".join(texts), images


def _image(part: ContentPart, path: str, capabilities: Capabilities, notes: ParameterNotes) -> str:
    """The image as bare base64. The server recognises the format by itself."""
    if part.image_url is None:
        raise InvalidRequest("the part has no image_url", param=path)
    if capabilities.vision is False:
        raise UnsupportedFeature("this model does not see images", param=path)
    if part.image_url.detail not in (None, "auto"):
        notes.drop(f"{path}.image_url.detail", "Ollama has no such choice")
    data = parse_data_url(part.image_url.url)
    if data is None:
        raise UnsupportedFeature(
            "Ollama takes the bytes of an image, not an address: send it as a base64 data URL",
            param=f"{path}.image_url.url",
        )
    media_type, encoded = data
    if not media_type.startswith("image/"):
        raise UnsupportedFeature(f"{media_type} is not an image", param=f"{path}.image_url.url")
    return encoded


def _refuse(what: str, path: str) -> NoReturn:
    raise UnsupportedFeature(f"Ollama has no place for {what}", param=path)
