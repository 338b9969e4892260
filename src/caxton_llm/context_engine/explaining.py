"""A request's context without sending it: the document, and the exact requests that it becomes."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.config.parts import HTTP_KINDS, make_parts
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.context.document import ContextDocument, document_of
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.context_engine.engine import GatheredContext
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import InvalidRequest, LlmError
from caxton_llm.http_provider import HttpProvider
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import ProviderAdapter
from caxton_llm.types import ChatRequest, Json

__all__ = ["PAYLOAD_KINDS", "Destination", "assumed_destination", "destination_of", "explain"]

PAYLOAD_KINDS = tuple(kind for kind in HTTP_KINDS if kind not in ("azure", "custom"))
"""Kinds of providers that a request can be shown for without a configuration."""
_NO_MODEL = "MODEL"
_NOWHERE = "http://127.0.0.1"


class Destination(Struct, frozen=True, kw_only=True):
    """A model that a context is shown for; without an `adapter` (the builtin provider, plug-ins) no request over HTTP is."""

    name: str
    kind: str
    info: ModelInfo
    adapter: ProviderAdapter | None = None


def destination_of(candidate: Candidate) -> Destination:
    """A configured model, as requests to it are made."""
    target = candidate.target
    provider = target.provider
    return Destination(
        name=target.name,
        kind=target.kind,
        info=target.describe(candidate.model),
        adapter=provider.adapter if isinstance(provider, HttpProvider) else None,
    )


def assumed_destination(kind: str) -> Destination:
    """A model of a kind of provider that is not configured: nothing is known of it. Raises `InvalidRequest`."""
    if kind not in PAYLOAD_KINDS:
        known = ", ".join(PAYLOAD_KINDS)
        message = f"no request can be shown for {kind!r}: it is no configured entry, and none of {known}"
        raise InvalidRequest(message, param="providers")
    entry = ProviderEntry(provider=kind, model=_NO_MODEL, base_url=_NOWHERE, api_key="none")
    adapter, _ = make_parts(entry)
    return Destination(name=kind, kind=kind, info=ModelInfo(id=_NO_MODEL, provider=kind), adapter=adapter)


async def explain(
    contexts: Contexts, destinations: Sequence[Destination], *, notes: tuple[str, ...] = ()
) -> ContextDocument:
    """The document for the first destination, with the requests to all of them, by their names; `notes` go into it.

    A destination that cannot take the request has the reason in the place of its request. Raises `InvalidRequest` when the
    first cannot be given a context.
    """
    begun = time.perf_counter()
    gathered, first = contexts.gathered, destinations[0]
    composed = await contexts.composed(contexts.view(first.name, first.kind, first.info))
    seconds = gathered.seconds + time.perf_counter() - begun
    document = document_of(
        gathered.material,
        gathered.analysis,
        {need.query: searched.found for need, searched in gathered.memory.found},
        composed,
        parameters=_parameters(gathered),
        seconds=seconds,
        notes=notes,
    )
    payloads = {one.name: await _payload(contexts, one, one.adapter) for one in destinations if one.adapter is not None}
    return replace(document, payloads=payloads)


async def _payload(contexts: Contexts, destination: Destination, adapter: ProviderAdapter) -> Json:
    try:
        composed = await contexts.composed(contexts.view(destination.name, destination.kind, destination.info))
        request = contexts.request_for(contexts.gathered.request, composed, destination.kind, destination.info.id)
        return await asyncio.to_thread(_encoded, adapter, request, destination.info)
    except LlmError as error:
        return {"error": str(error)}


def _encoded(adapter: ProviderAdapter, request: ChatRequest, info: ModelInfo) -> Json:
    return msgspec.json.decode(adapter.open(request, info, stream=bool(request.stream)).request.body)


def _parameters(gathered: GatheredContext) -> Mapping[str, str]:
    """What the request says beside its messages; what was derived from it is left out."""
    derived = {"user_request", "agent", "capability", "requesting_agent", "request_type"}
    return {name: value for name, value in gathered.analysis.variables.items() if name not in derived}
