"""What a request needs and a model is known to lack: told before anything is encoded for it.

Only what the encoders of every dialect refuse too; an unknown capability is tried. Anthropic's models answer in a schema
without having structured outputs, by a forced tool, so that one is left to their encoder.
"""

from collections.abc import Iterator

from caxton_llm.model_info import ModelInfo
from caxton_llm.types import ChatRequest, ContentPart, FileInput

__all__ = ["missing_feature"]

_PLAIN_TEXT = "data:text/plain"


def missing_feature(request: ChatRequest, info: ModelInfo) -> str | None:
    """Why the model surely cannot serve the request, with the model's name; `None` when it may."""
    can = info.capabilities
    if can.tools is False and (request.tools or request.functions) and request.tool_choice != "none":
        return f"{info.id} takes no tools"
    wanted = request.response_format
    if (
        can.json_schema is False
        and wanted is not None
        and wanted.type == "json_schema"
        and info.provider != "anthropic"
    ):
        return f"{info.id} has no json_schema output"
    if can.vision is False or can.audio is False or can.pdf is False:
        unreadable = {"image_url": can.vision is False, "input_audio": can.audio is False, "file": can.pdf is False}
        for part in _parts(request):
            if unreadable.get(part.type, False) and not _is_plain_text(part.file):
                return f"{info.id} does not read {_WHAT[part.type]}"
    return None


_WHAT = {"image_url": "images", "input_audio": "audio", "file": "documents"}


def _parts(request: ChatRequest) -> Iterator[ContentPart]:
    for message in request.messages:
        if isinstance(message.content, list):
            yield from message.content


def _is_plain_text(file: FileInput | None) -> bool:
    """A document that is no PDF, which some encoders send whatever the model reads."""
    return file is not None and (file.file_data or "")[: len(_PLAIN_TEXT)].lower() == _PLAIN_TEXT
