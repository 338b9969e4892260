"""What OpenAI-compatible servers tell about a model in `/v1/models`: one model, or a list of all."""

import msgspec
from msgspec import Struct

from caxton_llm.errors import MalformedResponse, ModelNotFound
from caxton_llm.model_info import ModelInfo
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["decode_listed_model"]


class _Listed(Struct):
    id: str = ""
    shutdown_date: str | None = None
    """OpenAI."""
    max_model_len: int | None = None
    """vLLM."""
    context_length: int | None = None
    """OpenRouter."""
    context_window: int | None = None
    """Groq."""
    max_context_length: int | None = None
    """Mistral."""


class _Listing(_Listed):
    data: list[_Listed] | None = None


_DECODER = msgspec.json.Decoder(_Listing)


def decode_listed_model(kind: str, model: str, body: bytes) -> ModelInfo:
    """Only what the server said of `model`. Raises `ModelNotFound` when a list does not have it, `MalformedResponse` when
    the body is no list of models."""
    try:
        listing = _DECODER.decode(body)
    except UNREADABLE:
        raise MalformedResponse("the answer of /models is not what the OpenAI API promises; check base_url") from None
    found: _Listed | None = listing
    if listing.data is not None:
        found = next((entry for entry in listing.data if entry.id == model), None)
    if found is None:
        raise ModelNotFound(f"the server does not list the model {model!r}; check the name")
    window = found.max_model_len or found.context_length or found.context_window or found.max_context_length
    said = {"context_window": window, "retires_on": found.shutdown_date}
    return ModelInfo(
        id=model,
        provider=kind,
        context_window=window,
        retires_on=found.shutdown_date,
        sources={name: "provider" for name, value in said.items() if value is not None},
    )
