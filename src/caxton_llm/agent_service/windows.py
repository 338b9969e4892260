"""Windows of models that only the servers know which serve them: asked for before a first context is made for one."""

import asyncio
import logging
import time
from collections.abc import Sequence

from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.dispatch.target import Candidate
from caxton_llm.errors import LlmError
from caxton_llm.http_provider import HttpProvider
from caxton_llm.protocols import Clock

__all__ = ["ServedWindows"]

_SERVERS = ("vllm", "ollama")
"""Kinds of providers that somebody has started with a window of his own; of others the catalogue knows."""
_PATIENCE_S = 2.0
"""How long a request waits for the answer, which is remembered whenever it comes."""
_AGAIN_S = 60.0
"""After this a server that did not answer is asked again."""

_log = logging.getLogger("caxton_llm.agents")


class ServedWindows:
    """Asks servers for windows that are not known; what they say is what their targets tell of a model from then on. Its
    methods belong to one event loop at a time."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[tuple[str, str], float] = {}
        """When a server is to be asked for a model again, at the earliest."""
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def learn(self, candidates: Sequence[Candidate]) -> None:
        """Wait for those windows that can be asked for, a short while; without them a window is assumed."""
        asking = [task for one in candidates if (task := self._question(one)) is not None]
        if asking:
            await asyncio.wait(asking, timeout=_PATIENCE_S)

    async def aclose(self) -> None:
        asking, self._asking = of_this_loop([*self._asking.values()]), {}
        await end_tasks(asking)

    def _question(self, candidate: Candidate) -> "asyncio.Task[None] | None":
        """The server being asked; `None`: there is nothing to ask for, or no answer to be had for now."""
        target, key = candidate.target, (candidate.target.name, candidate.model)
        provider = target.provider
        is_unknown = target.kind in _SERVERS and target.describe(candidate.model).context_window is None
        if not is_unknown or not isinstance(provider, HttpProvider):
            return None
        asking = of_this_loop([self._asking[key]] if key in self._asking else [])
        if asking and not asking[0].done():
            return asking[0]
        if self._clock() < self._asked.get(key, 0.0):
            return None
        self._asked[key] = self._clock() + _AGAIN_S
        self._asking[key] = asyncio.get_running_loop().create_task(_ask(provider, *key), name="caxton-window")
        return self._asking[key]


async def _ask(provider: HttpProvider, target: str, model: str) -> None:
    try:
        await provider.model_info(model)
    except LlmError as error:
        _log.warning("%s does not say how large the window of %s is: %s", target, model, error.kind)
