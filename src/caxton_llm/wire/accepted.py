"""What a server or a model is known not to accept, taken out of a request before it is encoded."""

from msgspec.structs import replace

from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["without_refused"]


def without_refused(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> ChatRequest:
    """`request` without what this server (`quirks.drop`) or this model (`parameters.refuses`) does not accept, each noted."""
    names = (*options.quirks.drop, *(options.model.parameters.refuses or ()))
    if not names:
        return request
    absent: dict[str, Json] = {}
    for name in names:
        if name in request.extra:
            notes.drop(name, "this server or model does not accept it")
        elif name in request.__struct_fields__ and getattr(request, name) is not None:
            notes.drop(name, "this server or model does not accept it")
            absent[name] = None
    extra = {name: value for name, value in request.extra.items() if name not in names}
    return replace(request, **absent, extra=extra)
