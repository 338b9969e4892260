"""What a server or a model is known not to accept, taken out of a request before it is encoded."""

from msgspec.structs import replace

from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["without_refused"]


def without_refused(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> ChatRequest:
    """`request` without what this server (`quirks.drop`) or this model (`parameters.refuses`) does not accept, each noted.

    Raises `UnsupportedFeature` for what the model does not accept and the answer depends on.
    """
    unwanted = dict.fromkeys(options.model.parameters.refuses or (), True)
    unwanted.update(dict.fromkeys(options.quirks.drop, False))
    if not unwanted:
        return request
    absent: dict[str, Json] = {}
    for name, refusable in unwanted.items():
        value = _value(request, name)
        if value is None:
            continue
        why = f"{options.model.id} does not accept it" if refusable else "the server does not accept it (quirks.drop)"
        notes.leave_out(name, value, why, refusable=refusable)
        if name in request.__struct_fields__:
            absent[name] = None
    extra = {name: value for name, value in request.extra.items() if name not in unwanted}
    return replace(request, **absent, extra=extra)


def _value(request: ChatRequest, name: str) -> Json:
    if name in request.extra:
        return request.extra_value(name)
    return getattr(request, name) if name in request.__struct_fields__ else None
