"""An answer that was cut, continued by another model: the request for it, and the joint between the two texts.

A model continues a message of its own that ends the conversation. White space at its end is taken off first: Anthropic
refuses it, and other models go on badly behind it, because their tokens begin with it.
"""

from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.context.source import with_answer_begun, with_fields, with_output_limit
from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, Discreet
from caxton_llm.wire.anthropic_messages.tools import forces_a_tool
from caxton_llm.wire.legacy_functions import modernized

__all__ = ["Continuation", "Joint", "continuation"]

_CONTINUING_KINDS = frozenset({"ollama", "vllm"})
"""Kinds of provider whose servers continue a final assistant's message with any model."""

_VLLM_FIELDS = {"continue_final_message": True, "add_generation_prompt": False}
_CONSTRAINTS = ("structured_outputs", "guided_", "format")
"""Beginnings of the names of fields that hold the text that is still to be written to a form, as if it were the whole."""

_BYTES_PER_TOKEN = 4
"""Of an answer whose tokens nobody has told."""


class Continuation(Discreet, Struct, frozen=True, kw_only=True):
    """`request` asks for the rest of an answer; `tail` is the white space at the end of what its reader already has."""

    request: ChatRequest
    tail: str

    def joint(self) -> "Joint":
        """For one stream of the rest."""
        return Joint(self.tail)


class Joint:
    """Takes the white space that the reader already has from the beginning of the rest."""

    __slots__ = ("_tail",)

    def __init__(self, tail: str) -> None:
        self._tail = tail

    def rest(self, text: str) -> str:
        """What of the next piece of text is new to the reader; may be empty."""
        if not self._tail or not text:
            return text
        known = next(
            (at for at, (old, new) in enumerate(zip(self._tail, text, strict=False)) if old != new),
            min(len(self._tail), len(text)),
        )
        self._tail = self._tail[known:] if known == len(text) else ""
        return text[known:]


def continuation(request: ChatRequest, text_so_far: str, info: ModelInfo, kind: str) -> Continuation | None:
    """The request that lets a model of a provider of `kind` continue `text_so_far`, the text that the reader has.

    `None` where the model may not continue a message, or where the rest would not be held to what holds for the whole:
    several answers, a forced tool, a form of the text. An output limit is lowered by what was written, as far as its length
    tells, to 1 at least.
    """
    text = text_so_far.rstrip()
    if not text or not _continues(info, kind) or not _is_continuable(request, kind):
        return None
    begun = with_answer_begun(request, text)
    if begun is None:
        return None
    if kind == "vllm":
        begun = with_fields(begun, dict(_VLLM_FIELDS))
    if request.output_limit is not None:
        written = max(1, ceil(len(text_so_far.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN))
        begun = with_output_limit(begun, max(1, request.output_limit - written))
    return Continuation(request=begun, tail=text_so_far[len(text) :])


def _continues(info: ModelInfo, kind: str) -> bool:
    known = info.capabilities.prefill
    return kind in _CONTINUING_KINDS if known is None else known


def _is_continuable(request: ChatRequest, kind: str) -> bool:
    if not request.messages or request.messages[-1].role == "assistant" or request.n not in (None, 1):
        return False
    if forces_a_tool(modernized(replace(request, messages=[]))):
        return False
    if request.response_format is not None and request.response_format.type != "text":
        return False
    if any(value is not None and name.startswith(_CONSTRAINTS) for name, value in request.extra.items()):
        return False
    return kind != "anthropic" or not _asks_to_think(request)


def _asks_to_think(request: ChatRequest) -> bool:
    """Anthropic's models do not continue a message while they think."""
    thinking = request.extra_value("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") not in ("disabled", "between_tools")
    return request.reasoning_effort not in (None, "none")
