"""What texts, messages and tools take of a target's window at most."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from caxton_llm.context.context_meter import ContextMeter, is_plain
from caxton_llm.context.conversation.turns import PastTurn
from caxton_llm.tokens.calibrated import DEVIATIONS, Factors
from caxton_llm.tokens.content import KINDS, ContentKind
from caxton_llm.tokens.file_tokens import file_text, file_tokens, sound_tokens
from caxton_llm.tokens.image_tokens import image_tokens
from caxton_llm.tokens.overheads import format_text, overheads_of, tool_prompt_tokens, tool_texts
from caxton_llm.tokens.prompt import message_images, message_texts
from caxton_llm.types import ChatRequest, ContentPart, FileInput, FunctionDefinition, Message, Tool
from caxton_llm.wire.written import written

__all__ = ["Costs"]

_COUNTED = ("text", "image_url", "refusal", "input_audio")
_TAKE_NO_REASONING = ("openai", "azure", "builtin", "anthropic")
"""Kinds of providers that are sent no `reasoning_content`."""
_FILES_KNOWN = 256
"""Documents whose tokens are remembered, by a hash: too large to be kept, and counted several times for a request."""
_SOME_TOOL = [Tool(type="function", function=FunctionDefinition(name="tool"))]


class Costs:
    """Upper bounds in the tokens of a model behind a kind of provider, whose `factors` are of the vocabulary that `meter`
    counts with."""

    def __init__(self, meter: ContextMeter, factors: Factors, kind: str, model: str) -> None:
        self._meter = meter
        self._kind = kind
        self._model = model
        self._overheads = overheads_of(kind, model)
        self._files: dict[tuple[int, int], int | None] = {}
        margin = math.exp(DEVIATIONS * factors.deviation)
        self._margins = {
            "prose": factors.prose * margin,
            "code": factors.code * margin,
            "json": factors.json * margin,
            "cjk": factors.cjk * margin,
        }
        self._by_kind = np.array([self._margins[content] for content in KINDS])

    def text(self, text: str) -> int:
        """A text alone."""
        tokens, kind = self._meter.measure(text)
        return math.ceil(tokens * self._margins[kind])

    def line(self, text: str) -> int:
        """A text on a line of its own, with its end; little to do for one that comes again."""
        tokens, kind = self._meter.line(text)
        return math.ceil(tokens * self._margins[kind])

    def message(self, message: Message) -> int:
        """A message with its frame."""
        around = self._overheads
        if is_plain(message):
            return self._plain([self._meter.measure(str(message.content))])
        calls = len(message.tool_calls or ()) + (message.function_call is not None)
        return (
            around.message
            + around.call * calls
            + (around.parallel if calls > 1 else 0)
            + (around.name if message.name else 0)
            + (around.result if message.role in ("tool", "function") else 0)
            + sum(map(self.text, message_texts(message)))
            + sum(map(self.text, _reasoning(message, self._kind)))
            + sum(map(self._part, _parts(message)))
            + sum(image_tokens(image, self._kind, self._model) for image in message_images(message))
        )

    def turn(self, turn: PastTurn) -> int:
        """The messages of a turn; little to do for one that comes again with every request."""
        measured = self._meter.plain_turn(turn)
        return sum(map(self.message, turn.messages)) if measured is None else self._plain(measured)

    def _plain(self, measured: Sequence[tuple[int, ContentKind]]) -> int:
        margins = self._margins
        texts = [math.ceil(tokens * margins[kind]) for tokens, kind in measured]
        return len(texts) * self._overheads.message + sum(texts)

    def uncounted(self, messages: Sequence[Message]) -> set[str]:
        """The types of content that the messages count as nothing, because nobody can tell what it takes."""
        return {
            part.type
            for message in messages
            if isinstance(message.content, list)
            for part in message.content
            if part.type not in _COUNTED and (part.file is None or self._file(part.file) is None)
        }

    def _part(self, part: ContentPart) -> int:
        """A document or a sound."""
        if part.input_audio is not None:
            return sound_tokens(part.input_audio)
        return 0 if part.file is None else self._file(part.file) or 0

    def _file(self, file: FileInput) -> int | None:
        """A document; `None` where nobody can tell."""
        key = hash(file.file_data), len(file.file_data or "")
        if key not in self._files:
            if len(self._files) >= _FILES_KNOWN:
                self._files.clear()
            text = file_text(file)
            self._files[key] = file_tokens(file) if text is None else self.text(text)
        return self._files[key]

    def tools(self, tools: tuple[Tool, ...]) -> list[int]:
        """The definitions of tools, each with what separates it from the next one; little to do for the same tools again."""
        tokens = self._meter.tools(tools, self._kind, self._model) @ self._by_kind
        return [math.ceil(count) + 1 for count in tokens.tolist()]

    def frame(self, request: ChatRequest, *, offers_tools: bool) -> int:
        """What a request has around its messages, the caller's own tools among it, and what the vendor writes by itself
        because tools are offered."""
        own = bool(request.tools or request.functions)
        told = replace(request, tools=_SOME_TOOL if offers_tools and not own else request.tools)
        schema = format_text(request)
        return (
            self._overheads.answer
            + self._overheads.without_system
            + tool_prompt_tokens(told, self._kind, self._model)
            + (sum(map(self.text, tool_texts(request, self._kind, self._model))) if own else 0)
            + (0 if schema is None else self.text(schema) + self._overheads.response_format)
        )


def _parts(message: Message) -> list[ContentPart]:
    return message.content if isinstance(message.content, list) else []


def _reasoning(message: Message, kind: str) -> Iterator[str]:
    """The reasoning of an earlier turn, as a kind of provider is sent it again."""
    if kind == "anthropic":
        yield from (written(block).decode() for block in message.thinking_blocks or ())
    elif kind not in _TAKE_NO_REASONING and message.reasoning_content:
        yield message.reasoning_content
