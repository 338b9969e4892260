"""What a server or a model is known not to accept, taken out of a request before it is encoded."""

from msgspec.structs import replace

from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["dropped_for_server", "refused_by_model", "without_refused"]


def refused_by_model(options: EncodeOptions) -> list[tuple[str, str]]:
    """What this model does not accept (`parameters.refuses`), and why; without what the operator wants dropped anyway."""
    why = f"{options.model.id} does not accept it"
    return [(name, why) for name in options.model.parameters.refuses or () if name not in options.quirks.drop]


def dropped_for_server(options: EncodeOptions) -> list[tuple[str, str]]:
    """What this server does not accept (`quirks.drop`), and why: left out whatever it means."""
    return [(name, "the server does not accept it (quirks.drop)") for name in options.quirks.drop]


def without_refused(request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> ChatRequest:
    """`request` without what this server or this model does not accept, each noted.

    Raises `UnsupportedFeature` for what the model does not accept and the answer depends on.
    """
    refused, dropped = refused_by_model(options), dropped_for_server(options)
    if not (refused or dropped):
        return request
    for unwanted, refusable in ((refused, True), (dropped, False)):
        for name, why in unwanted:
            value = _value(request, name)
            if value is not None:
                notes.leave_out(name, value, why, refusable=refusable)
    names = {name for name, _ in (*refused, *dropped)}
    absent: dict[str, Json] = dict.fromkeys(names & set(request.__struct_fields__))
    extra = {name: value for name, value in request.extra.items() if name not in names}
    return replace(request, **absent, extra=extra)


def _value(request: ChatRequest, name: str) -> Json:
    if name in request.extra:
        return request.extra_value(name)
    return getattr(request, name) if name in request.__struct_fields__ else None
