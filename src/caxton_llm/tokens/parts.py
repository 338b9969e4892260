"""A prompt taken apart: what each component costs for one vendor, and how much of it is text of which kind. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.tokens.content import ContentKind, kind_of
from caxton_llm.tokens.image_tokens import image_tokens
from caxton_llm.tokens.overheads import Overheads, format_text, overheads_of, tool_prompt_tokens, tool_texts
from caxton_llm.tokens.prompt import message_images, message_texts, uncounted_parts
from caxton_llm.types import ChatRequest, ImageUrl, Message

__all__ = ["PromptParts", "prompt_parts", "shared"]

_TEXTS = ("system", "messages", "tools", "response_format")


class PromptParts(Struct, frozen=True, kw_only=True):
    """Tokens by component; they add up to `tokens`. `system`, `messages`, `tools` and `response_format` are texts, counted
    with a vocabulary; the others are figures of the vendor's (`fixed`), whatever the vocabulary."""

    system: int = 0
    messages: int = 0
    tools: int = 0
    """The tools as the request has them."""
    response_format: int = 0
    tool_prompt: int = 0
    """What the vendor says to the model itself about tools, and about thinking."""
    images: int = 0
    frame: int = 0
    """Around messages, names, calls of tools and the answer."""
    by_kind: Mapping[ContentKind, int] = {}
    """The tokens of all texts, by the kind of text."""
    uncounted: tuple[str, ...] = ()
    """Types of content that is in none of the figures, because nobody knows what it costs."""

    @property
    def text(self) -> int:
        """The part that depends on the vocabulary, and that a calibration corrects."""
        return self.system + self.messages + self.tools + self.response_format

    @property
    def fixed(self) -> int:
        return self.tool_prompt + self.images + self.frame

    @property
    def tokens(self) -> int:
        return self.text + self.fixed

    def scaled_to(self, tokens: int) -> Self:
        """The same components for a prompt of `tokens`: texts share what the fixed ones leave, to the last token. Where
        these leave nothing, they share all."""
        names = _TEXTS if tokens >= self.fixed and self.text else (*_TEXTS, "tool_prompt", "images", "frame")
        left = tokens - self.fixed if names is _TEXTS else tokens
        before = [int(getattr(self, name)) for name in names]
        return replace(self, **dict(zip(names, shared(left, before), strict=True)))


def prompt_parts(
    request: ChatRequest, provider: str, count: Callable[[str], int], *, model: str | None = None
) -> PromptParts:
    """The components of a request to a kind of provider (`openai`, `anthropic`, ...).

    `count` gives the tokens of a text; `model` is the provider's own name for the model, `request.model` where it is not
    given. Raises `InvalidRequest` for a tool that JSON cannot express.
    """
    model = request.model if model is None else model
    texts = _Texts(count)
    overheads = overheads_of(provider, model)
    system = texts.add(text for message in request.messages if _is_system(message) for text in message_texts(message))
    messages = texts.add(
        text for message in request.messages if not _is_system(message) for text in message_texts(message)
    )
    schema = format_text(request)
    return PromptParts(
        system=system,
        messages=messages,
        tools=texts.add(tool_texts(request, provider, model)),
        response_format=0 if schema is None else texts.add([schema]),
        tool_prompt=tool_prompt_tokens(request, provider, model),
        images=sum(image_tokens(image, provider, model) for image in _images(request)),
        frame=_frame_tokens(request, overheads) + (0 if schema is None else overheads.response_format),
        by_kind=texts.by_kind,
        uncounted=tuple(sorted({kind for message in request.messages for kind in uncounted_parts(message)})),
    )


class _Texts:
    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self.by_kind: dict[ContentKind, int] = {}

    def add(self, texts: Iterable[str]) -> int:
        total = 0
        for text in texts:
            tokens = self._count(text)
            kind = kind_of(text)
            self.by_kind[kind] = self.by_kind.get(kind, 0) + tokens
            total += tokens
        return total


def _frame_tokens(request: ChatRequest, overheads: Overheads) -> int:
    total = overheads.answer
    if not any(map(_is_system, request.messages)):
        total += overheads.without_system
    for message in request.messages:
        calls = len(message.tool_calls or ()) + (message.function_call is not None)
        total += overheads.message + overheads.call * calls
        total += overheads.parallel if calls > 1 else 0
        total += overheads.name if message.name else 0
        total += overheads.result if message.role in ("tool", "function") else 0
    return total


def _images(request: ChatRequest) -> Iterator[ImageUrl]:
    return (image for message in request.messages for image in message_images(message))


def _is_system(message: Message) -> bool:
    return message.role in ("system", "developer")


def shared(total: int, weights: list[int]) -> list[int]:
    """Whole numbers in proportion to the weights that add up to `total`."""
    whole = sum(weights)
    if whole == 0:
        return [*weights[:-1], total]
    shares: list[int] = []
    before = 0
    for weight in weights:
        done = sum(shares)
        before += weight
        shares.append(round(total * before / whole) - done)
    return shares
