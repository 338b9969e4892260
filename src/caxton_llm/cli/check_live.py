"""Asks every configured provider its cheapest question, all at the same time."""

import asyncio
import time

from msgspec import Struct

from caxton_llm.dispatch.target import Target
from caxton_llm.errors import LlmError, UnsupportedFeature
from caxton_llm.http_provider import HttpProvider
from caxton_llm.model_info import ModelInfo
from caxton_llm.providers.ollama import OllamaAdapter

__all__ = ["LiveResult", "ask_all"]

_LONGEST_S = 30.0


class LiveResult(Struct, kw_only=True):
    """What a provider said; nothing at all when it was not asked."""

    seconds: float | None = None
    info: ModelInfo | None = None
    version: str = ""
    """Of the server, where it tells it."""
    warnings: tuple[str, ...] = ()
    failure: str = ""
    asked: bool = True
    keyless: bool = False
    """A secret could not be fetched."""

    @property
    def status(self) -> str:
        """`ok 12 ms`, `ok 12 ms, version 0.30.0`, `failed`, `not asked`, or nothing."""
        if self.seconds is None:
            return ""
        if self.failure or not self.asked:
            return "failed" if self.failure else "not asked"
        return f"ok {self.seconds * 1000:.0f} ms" + (f", version {self.version}" if self.version else "")


async def ask_all(targets: list[Target]) -> dict[str, LiveResult]:
    """By the targets' names. Nothing is raised: a failure is a result."""
    results = await asyncio.gather(*(_ask(target) for target in targets))
    return {target.name: result for target, result in zip(targets, results, strict=True)}


async def _ask(target: Target) -> LiveResult:
    result = LiveResult()
    limit_s = min(target.timeouts.attempt_s, _LONGEST_S)
    started = time.monotonic()
    try:
        async with asyncio.timeout(limit_s):
            if isinstance(target.provider, HttpProvider):
                await _probe(target.provider, result)
                result.seconds = time.monotonic() - started
            result.info = await target.provider.get_model_info()
            if isinstance(target.provider, HttpProvider):
                await _check_gpu(target.provider, target.models, result)
                result.version = await target.provider.server_version() or ""
    except LlmError as error:
        result.failure = str(error)
    except TimeoutError:
        result.failure = f"no answer within {limit_s:g} s"
    result.seconds = result.seconds or time.monotonic() - started
    return result


async def _probe(provider: HttpProvider, result: LiveResult) -> None:
    try:
        await provider.probe()
    except UnsupportedFeature as error:
        result.asked = False
        result.warnings += (error.message,)


async def _check_gpu(provider: HttpProvider, models: tuple[str, ...], result: LiveResult) -> None:
    """Ollama only: whether a model that should be on the GPU is."""
    adapter = provider.adapter
    request = adapter.gpu_check() if isinstance(adapter, OllamaAdapter) else None
    if request is None or not isinstance(adapter, OllamaAdapter):
        return
    body = await provider.fetch(request)
    warnings = [adapter.decode_gpu_use(body, model) for model in models]
    result.warnings += tuple(warning for warning in warnings if warning)
