"""The provider of a live demonstration: the first for which there is a key in the environment, else an Ollama on its port."""

import asyncio
from collections.abc import Mapping

import msgspec

from caxton_llm.cli.demo.plan import Plan
from caxton_llm.config.locate import is_set
from caxton_llm.errors import ConfigurationError, LlmError
from caxton_llm.model_info import ModelInfo, ModelPrice
from caxton_llm.protocols import Origin, Transport, WireRequest
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.providers.prices import EntryPrices
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.transport.lean import LeanTransport
from caxton_llm.types import Json

__all__ = ["OLLAMA", "live_plan"]

_MAX_TOKENS = 500
OLLAMA = Origin("http", "127.0.0.1", 11434)
"""Where an Ollama usually listens."""
_FREE = {"input_usd_per_million": 0.0, "output_usd_per_million": 0.0}
_ONCE: dict[str, Json] = {"retry_policy": {"max_attempts": 1}}
"""What is not repeated cannot cost more than was said."""
_OLLAMA_WAIT_S = 2.0
_LOOKED_AT = 20
"""Models of an Ollama that are asked for their abilities."""
_AZURE = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT")


async def live_plan(environ: Mapping[str, str] | None = None, *, ollama: Origin = OLLAMA) -> Plan:
    """`environ` is the process's environment unless given. Raises `ConfigurationError`, which says what to set, when there is
    no provider."""
    for provider, variable in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")):
        if is_set(variable, environ):
            return _vendor_plan(provider, variable)
    if all(is_set(variable, environ) for variable in _AZURE):
        return _azure_plan()
    model = await _ollama_model(ollama)
    if model is not None:
        return Plan(
            about=f"Ollama at {ollama}, model {model}",
            configuration={
                "llm": {"provider": "ollama", "model": model, "base_url": str(ollama), "model_facts": _FREE} | _ONCE
            },
            max_tokens=_MAX_TOKENS,
            costs=False,
        )
    raise ConfigurationError(
        "--live found no provider: set OPENAI_API_KEY, ANTHROPIC_API_KEY, or all of "
        f"{', '.join(_AZURE)}, or start an Ollama with a model on {ollama}; without --live no provider is needed"
    )


def _vendor_plan(provider: str, variable: str) -> Plan:
    model, price = _cheapest(provider)
    settings: dict[str, Json] = {"provider": provider, "model": model.id, "api_key": f"${{{variable}}}"} | _ONCE
    if "none" in (model.parameters.efforts or ()):
        settings["reasoning_effort"] = "none"
    return Plan(
        about=f"{provider} with the key in {variable}, model {model.id}, the cheapest of the catalogue",
        configuration={"llm": settings},
        max_tokens=_MAX_TOKENS,
        costs=True,
        price=price,
    )


def _azure_plan() -> Plan:
    key, endpoint, deployment = (f"${{{variable}}}" for variable in _AZURE)
    settings = {"provider": "azure", "api_key": key, "endpoint": endpoint, "deployment_name": deployment} | _ONCE
    return Plan(
        about=f"Azure OpenAI with the deployment in {_AZURE[2]}",
        configuration={"llm": settings},
        max_tokens=_MAX_TOKENS,
        costs=True,
    )


def _cheapest(provider: str) -> tuple[ModelInfo, ModelPrice]:
    """The active model with tools that costs least per token of answer."""
    prices = EntryPrices(shipped_catalog(), ProviderSettings(provider=provider))
    priced = [
        (price.output, price.input, model.id, model, price)
        for model in shipped_catalog().models(provider)
        if _shows_everything(model) and (price := prices(model.id)) is not None
    ]
    if not priced:
        raise ConfigurationError(f"the catalogue has no model of {provider} with a known price")
    *_, model, price = min(priced, key=lambda item: item[:3])
    return model, price


def _shows_everything(model: ModelInfo) -> bool:
    rules = model.parameters
    refused = rules.chat_completions is False or rules.chat_tools is False
    return model.lifecycle == "active" and model.capabilities.tools is True and not refused


async def _ollama_model(ollama: Origin) -> str | None:
    """The first model of a local Ollama that calls tools; `None` when there is no Ollama or no such model."""
    transport = LeanTransport()
    try:
        listed = await _asked(transport, ollama, "GET", "/api/tags")
        names = [model["name"] for model in listed["models"][:_LOOKED_AT]]
        for name in names:
            shown = await _asked(transport, ollama, "POST", "/api/show", {"model": name})
            if "tools" in (shown.get("capabilities") or ()):
                return str(name)
    except (LlmError, TimeoutError, msgspec.DecodeError, KeyError, TypeError):
        return None  # whatever listens there is no Ollama
    finally:
        await transport.aclose()
    return None


async def _asked(transport: Transport, ollama: Origin, method: str, path: str, body: Json = None) -> Json:
    request = WireRequest(
        method=method,
        origin=ollama,
        path=path,
        headers=(("content-type", "application/json"),),
        body=b"" if body is None else msgspec.json.encode(body),
    )
    async with asyncio.timeout(_OLLAMA_WAIT_S):
        response = await transport.send(request, connect_timeout_s=_OLLAMA_WAIT_S, idle_timeout_s=_OLLAMA_WAIT_S)
        try:
            return msgspec.json.decode(await response.read())
        finally:
            response.abort()
