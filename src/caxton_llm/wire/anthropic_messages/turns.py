"""The conversation as Anthropic wants it: a system prompt, and turns of blocks in which user and assistant alternate.

Rules kept here: what stands in one turn stays in its order (tool results come first in theirs, because a conversation in
which they do not directly follow their calls is refused before); thinking blocks are replayed verbatim at the head of their
turn; empty text, which is refused, is left out; anything that has no place is refused with its path, never passed over.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import NoReturn

import msgspec
from msgspec import Raw, Struct, field

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.types import ContentPart, FunctionCall, Json, Message
from caxton_llm.wire.data_url import parse_data_url, sniff_image_type
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["Conversation", "Ending", "encode_conversation", "ending_of", "is_replayable"]

Block = dict[str, Json]

_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_OPENING = "(The conversation goes on from here.)"
"""Stands before a conversation that the assistant begins, because the first turn must be the user's."""

_arguments_decoder = msgspec.json.Decoder(dict[str, Raw])


class Ending(Struct):
    """How a conversation ends, as far as thinking with a budget depends on it."""

    is_prefill: bool
    """With an assistant's message that the model is to continue."""
    lost_thinking: bool
    """With the results of tool calls before which the assistant's signed thinking is missing. Most clients do not send it
    back, and Anthropic does not go on thinking without it."""


class Conversation(Struct):
    """`system` holds text blocks, `turns` the value of `messages`."""

    system: list[Block] = field(default_factory=list)
    turns: list[dict[str, Json]] = field(default_factory=list)

    @property
    def ending(self) -> Ending:
        answers_calls = False
        for turn in reversed(self.turns):
            if turn["role"] == "assistant":
                has_thinking = turn["content"][0]["type"] in ("thinking", "redacted_thinking")
                return Ending(turn is self.turns[-1], answers_calls and not has_thinking)
            answers_calls = answers_calls or turn["content"][0]["type"] == "tool_result"
        return Ending(is_prefill=False, lost_thinking=False)


def encode_conversation(
    messages: list[Message], model: ModelInfo, names: dict[str, str], notes: ParameterNotes
) -> Conversation:
    """`messages` are in order (`check_conversation`); `names` maps the caller's names of tools to those on the wire.

    Raises `InvalidRequest` for what no provider could understand, `UnsupportedFeature` for what this one cannot take.
    """
    writer = _Writer(messages, model.capabilities, names, notes)
    for index, message in enumerate(messages):
        writer.add(index, message)
    writer.finish()
    return writer.conversation


def is_replayable(block: Json) -> bool:
    """A thinking block that Anthropic itself has signed: any other is refused by it."""
    return isinstance(block, dict) and (
        bool(block.get("signature")) if block.get("type") == "thinking" else block.get("type") == "redacted_thinking"
    )


def ending_of(messages: list[Message]) -> Ending:
    """The ending of a conversation that is sent as it came.

    One that ends in the midst of the provider's own tools is no prefill: it is sent back so that they go on.
    """
    answers_calls = False
    for message in reversed(messages):
        if message.role == "assistant":
            content = message.content
            known = isinstance(content, str | None) or all(part.type in _PARTS for part in content)
            signed = any(is_replayable(block) for block in message.thinking_blocks or ())
            return Ending(message is messages[-1] and known, answers_calls and not signed)
        answers_calls = answers_calls or message.role == "tool"
    return Ending(is_prefill=False, lost_thinking=False)


class _Writer:
    """Builds one conversation, message by message."""

    def __init__(
        self, messages: list[Message], capabilities: Capabilities, names: dict[str, str], notes: ParameterNotes
    ) -> None:
        self.conversation = Conversation()
        self._messages = messages
        self._capabilities = capabilities
        self._names = names
        self._notes = notes
        self._system_at: dict[int, int] = {}
        """Where the system turns came from, by the identity of the turn."""

    def add(self, index: int, message: Message) -> None:
        role = message.role
        if role == "user":
            self._open("user").extend(self._hinted(message, self._blocks(index, message.content)))
        elif role == "assistant":
            self._assistant(index, message)
        elif role == "tool":
            self._tool_result(index, message)
        else:
            self._system(index, message)
        if message.name is not None and role != "tool":
            self._notes.strip(f"messages[{index}].name", "Anthropic's messages have no name")

    def finish(self) -> None:
        self._drop_empty()
        if self._system_at:
            self._settle_system()
        turns = self.conversation.turns
        if not turns:
            raise UnsupportedFeature("Anthropic needs a message of the user that is not empty", param="messages")
        if turns[0]["role"] == "assistant":
            turns.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
            self._notes.map("messages[0]", "a user message stands before it")
        if turns[-1]["role"] == "assistant":
            self._prefill(turns[-1]["content"])

    def _prefill(self, blocks: list[Block]) -> None:
        index = len(self._messages) - 1
        if self._capabilities.prefill is False:
            raise UnsupportedFeature(
                "this model does not continue an assistant's message; let the conversation end with the user's",
                param=f"messages[{index}]",
            )
        last = blocks[-1]
        if last.get("type") == "text" and last["text"] != (text := last["text"].rstrip()):
            blocks[-1] = {**last, "text": text}
            self._notes.map(f"messages[{index}].content", "without the white space at its end")

    def _open(self, role: str) -> list[Block]:
        """The blocks of the turn that the next content of `role` belongs to."""
        self._drop_empty()
        turns = self.conversation.turns
        if turns and turns[-1]["role"] == role:
            blocks: list[Block] = turns[-1]["content"]
            return blocks
        opened: list[Block] = []
        turns.append({"role": role, "content": opened})
        return opened

    def _drop_empty(self) -> None:
        """Only the last turn can have stayed empty."""
        turns = self.conversation.turns
        if turns and not turns[-1]["content"]:
            turns.pop()

    # -- system ---------------------------------------------------------------------------------------------------------

    def _system(self, index: int, message: Message) -> None:
        blocks = self._hinted(message, self._blocks(index, message.content))
        for position, block in enumerate(blocks):
            if block["type"] != "text":
                self._refuse("a system message has text only", index, position)
        self._drop_empty()
        if not self.conversation.turns:
            self.conversation.system.extend(blocks)
        elif self._capabilities.inline_system:
            self._open("system").extend(blocks)
            self._system_at[id(self.conversation.turns[-1])] = index
        else:
            self._hoist(index, blocks)

    def _settle_system(self) -> None:
        """A system message may stand after the user's turn and before the assistant's, or at the end; any other moves up."""
        settled: list[dict[str, Json]] = []
        turns = self.conversation.turns
        for position, turn in enumerate(turns):
            if turn["role"] == "system":
                follows = turns[position + 1]["role"] if position + 1 < len(turns) else "assistant"
                if not settled or settled[-1]["role"] != "user" or follows != "assistant":
                    self._hoist(self._system_at[id(turn)], turn["content"])
                    continue
            elif settled and settled[-1]["role"] == turn["role"]:
                settled[-1]["content"] += turn["content"]
                continue
            settled.append(turn)
        self.conversation.turns = settled

    def _hoist(self, index: int, blocks: list[Block]) -> None:
        self.conversation.system.extend(blocks)
        self._notes.map(f"messages[{index}]", "moved to the system prompt")

    # -- assistant ------------------------------------------------------------------------------------------------------

    def _assistant(self, index: int, message: Message) -> None:
        blocks = self._open("assistant")
        blocks.extend(self._thinking(index, message))
        content = self._blocks(index, message.content)
        for position, block in enumerate(content):
            if block["type"] != "text":
                self._refuse("an assistant message has text and tool calls only", index, position)
        if not content and message.refusal and not _is_blank(message.refusal):
            content = [{"type": "text", "text": message.refusal}]
        calls: list[Block] = []
        for position, call in enumerate(message.tool_calls or ()):
            if call.function is None:
                raise UnsupportedFeature(
                    f"Anthropic has no tool calls of type {call.type!r}",
                    param=f"messages[{index}].tool_calls[{position}]",
                )
            calls.append(self._tool_use(call.id, call.function))
        blocks.extend(self._hinted(message, content + calls))
        self._note_extras(index, message, content)

    def _thinking(self, index: int, message: Message) -> list[Block]:
        blocks = message.thinking_blocks
        if not blocks:
            return []
        if self._capabilities.reasoning is False:
            self._notes.strip(f"messages[{index}].thinking_blocks", "this model does not think")
            return []
        signed = [block for block in blocks if is_replayable(block)]
        if len(signed) < len(blocks):
            self._notes.strip(f"messages[{index}].thinking_blocks", "not signed by Anthropic")
        return signed

    def _tool_use(self, call_id: str, function: FunctionCall) -> Block:
        return {
            "type": "tool_use",
            "id": _wire_id(call_id),
            "name": self._names.get(function.name, function.name),
            "input": _input_of(function.arguments),
        }

    def _note_extras(self, index: int, message: Message, content: list[Block]) -> None:
        """What clients send back of an answer and Anthropic has no place for."""
        if message.reasoning_content and not message.thinking_blocks:
            self._notes.strip(f"messages[{index}].reasoning_content", "only signed thinking blocks can be replayed")
        if message.annotations:
            self._notes.strip(f"messages[{index}].annotations", "Anthropic has no such field")
        if message.audio is not None:
            if not content:
                raise UnsupportedFeature("Anthropic has no audio", param=f"messages[{index}].audio")
            self._notes.strip(f"messages[{index}].audio", "Anthropic has no audio; the text is sent")

    # -- tool results ---------------------------------------------------------------------------------------------------

    def _tool_result(self, index: int, message: Message) -> None:
        block: Block = {"type": "tool_result", "tool_use_id": _wire_id(message.tool_call_id or "")}
        if isinstance(message.content, str):
            if message.content:
                block["content"] = message.content
        elif content := self._blocks(index, message.content):
            for part in content:
                # The breakpoint belongs to the result: inside it there may be none.
                hint = part.pop("cache_control", None)
                if hint is not None:
                    block["cache_control"] = hint
            block["content"] = content
        self._open("user").extend(self._hinted(message, [block]))

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _blocks(self, index: int, content: str | list[ContentPart] | None) -> list[Block]:
        if isinstance(content, str):
            return [] if _is_blank(content) else [{"type": "text", "text": content}]
        blocks = []
        for position, part in enumerate(content or ()):
            encode = _PARTS.get(part.type)
            if encode is None:
                self._refuse(f"content of type {part.type!r} cannot be translated for Anthropic", index, position)
            block = encode(self, part, index, position)
            if block is None:
                continue
            if part.cache_control is not None:
                block["cache_control"] = part.cache_control
            blocks.append(block)
        return blocks

    def _hinted(self, message: Message, blocks: list[Block]) -> list[Block]:
        """The hint of a whole message stands at its last block."""
        if message.cache_control is None:
            return blocks
        if blocks:
            blocks[-1].setdefault("cache_control", message.cache_control)
        else:
            self._notes.strip("cache_control", "the message is empty")
        return blocks

    def _text(self, part: ContentPart, _index: int, _position: int) -> Block | None:
        text = part.text if part.type == "text" else part.refusal
        return None if text is None or _is_blank(text) else {"type": "text", "text": text}

    def _image(self, part: ContentPart, index: int, position: int) -> Block:
        if self._capabilities.vision is False:
            self._refuse("this model does not see images", index, position)
        if part.image_url is None:
            raise InvalidRequest("the part has no image_url", param=_path(index, position))
        if part.image_url.detail not in (None, "auto"):
            self._notes.drop(f"{_path(index, position)}.image_url.detail", "Anthropic has no such choice")
        url = part.image_url.url
        if self._is_address(url, index, position):
            return {"type": "image", "source": {"type": "url", "url": url}}
        data = parse_data_url(url)
        if data is None:
            raise InvalidRequest(
                "an image is given by an https URL or by a data URL", param=f"{_path(index, position)}.image_url.url"
            )
        media_type = sniff_image_type(data[1]) or data[0]
        if media_type != data[0]:
            self._notes.map(f"{_path(index, position)}.image_url.url", f"{media_type}, which the image is")
        if media_type not in _IMAGE_TYPES:
            self._refuse(f"Anthropic takes PNG, JPEG, GIF and WebP images, not {media_type[:40]}", index, position)
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data[1]}}

    def _file(self, part: ContentPart, index: int, position: int) -> Block:
        file = part.file
        if file is None or not (file.file_data or file.file_id):
            raise InvalidRequest("a file needs file_data or file_id", param=f"{_path(index, position)}.file")
        document: Block = {"type": "document"}
        if file.file_data is None:
            document["source"] = {"type": "file", "file_id": file.file_id}
        elif self._is_address(file.file_data, index, position):
            document["source"] = {"type": "url", "url": file.file_data}
        else:
            document["source"] = self._document_source(file.file_data, index, position)
        if self._capabilities.pdf is False and document["source"].get("media_type") != "text/plain":
            self._refuse("this model does not read PDF documents", index, position)
        if file.filename:
            document["title"] = file.filename
        return document

    def _document_source(self, url: str, index: int, position: int) -> dict[str, Json]:
        data = parse_data_url(url)
        if data is None:
            raise InvalidRequest(
                "file_data must be a data URL such as data:application/pdf;base64,...",
                param=f"{_path(index, position)}.file.file_data",
            )
        media_type, encoded = data
        if media_type == "text/plain":
            return {"type": "text", "media_type": media_type, "data": _plain_text(encoded, _path(index, position))}
        if media_type != "application/pdf":
            self._refuse(f"Anthropic takes PDF and plain text documents, not {media_type[:40]}", index, position)
        return {"type": "base64", "media_type": media_type, "data": encoded}

    def _is_address(self, url: str, index: int, position: int) -> bool:
        if url.startswith("http://"):
            self._refuse("Anthropic fetches over https only; send an https URL or the data itself", index, position)
        return url.startswith("https://")

    def _audio(self, _part: ContentPart, index: int, position: int) -> NoReturn:
        self._refuse("Anthropic takes no audio", index, position)

    def _refuse(self, why: str, index: int, position: int) -> NoReturn:
        raise UnsupportedFeature(why, param=_path(index, position))


_PARTS: dict[str, Callable[[_Writer, ContentPart, int, int], Block | None]] = {
    "text": _Writer._text,
    "refusal": _Writer._text,
    "image_url": _Writer._image,
    "file": _Writer._file,
    "input_audio": _Writer._audio,
}


def _path(index: int, position: int) -> str:
    return f"messages[{index}].content[{position}]"


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _plain_text(encoded: str, path: str) -> str:
    try:
        return base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest("the document is not UTF-8 text in base64", param=f"{path}.file.file_data") from None


def _wire_id(call_id: str) -> str:
    """The id itself where Anthropic accepts it, else one that follows from it alone, so that call and result still meet."""
    plain = call_id.replace("_", "").replace("-", "")
    if call_id.isascii() and (plain.isalnum() or (call_id and not plain)):
        return call_id
    digest = hashlib.blake2s(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"call_{digest}"


def _input_of(arguments: str) -> Raw:
    """The arguments as an object. What the model wrote is never corrected: text that is no object travels under `_raw`."""
    text = arguments.strip()
    if not text or text == "null":
        return Raw(b"{}")
    encoded = text.encode("utf-8", "replace")
    try:
        _arguments_decoder.decode(encoded)
    except (msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.encode({"_raw": arguments}))
    return Raw(encoded)
