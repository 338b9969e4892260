"""A gateway with the laboratory as its first target and a healthy provider as its second, and how it is asked."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from caxton_llm.types import Json
from chat_clients import ChatClient, Told, clients_of, problem_of
from fakes import FakeOpenAI
from fakes.http_server import HttpServer
from faults.laboratory import FAULTS, KEYS, TEXT, Laboratory
from live_gateway import QUICK_RETRIES, LiveGateway, gateway_with

__all__ = [
    "ECHO",
    "PROMPT",
    "FaultGateway",
    "assert_answered_by",
    "fault_gateway",
    "first_entry",
    "second_entry",
    "target_attempts",
]

PROMPT = "hello there"
ECHO = f"You said: {PROMPT}"
"""What the healthy provider answers."""

_TEXTS = {"first": TEXT, "second": ECHO}
_ANSWERING = {"second": "gpt-4o-mini-2024-07-18"}
_COMPLETION_TOKENS = {"first": 60, "second": 4}
_SECOND_COST_USD = (2 * 0.15 + 4 * 0.60) / 1e6
"""Two words asked and four answered, at the list price of gpt-4o-mini."""


@dataclass(frozen=True)
class FaultGateway:
    """A running gateway and its clients: both packages, and plain HTTP."""

    gateway: LiveGateway
    clients: Mapping[str, ChatClient]
    http: httpx.AsyncClient

    async def ask(self, model: str, *, package: str = "openai", streams: bool) -> Told:
        return await self.clients[package].ask(model, PROMPT, streams=streams)

    async def error_of(self, model: str, *, package: str = "openai", streams: bool) -> Any:
        """The error that the package raises; a whole answer fails the test."""
        client = self.clients[package]
        with pytest.raises(client.api_error) as caught:
            await client.ask(model, PROMPT, streams=streams)
        return caught.value

    async def raw_stream(self, model: str, *, package: str = "openai") -> str:
        """The bytes of a stream as they come, whatever they are."""
        path = "/v1/chat/completions" if package == "openai" else "/v1/messages"
        body = {"model": model, "max_tokens": 500, "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
        response = await self.http.post(path, json=body)
        return response.text


def first_entry(lab: Laboratory, keys: Iterable[str] = (), **more: Json) -> dict[str, Json]:
    """The entry `first`: every fault is one of its models."""
    given = {"api_keys": list(keys)} if keys else {"api_key": KEYS[0]}
    server = {"provider": "openai", "base_url": lab.base_url, "models": list(FAULTS)}
    return {"name": "first", "priority": 100, **server, **given, **more}


def second_entry(server: HttpServer, **more: Json) -> dict[str, Json]:
    """The entry `second`; a server that is not OpenAI's needs a `provider` and a `model`."""
    openai = {"provider": "openai", "model": "gpt-4o-mini", "api_key": getattr(server, "api_key", None)}
    return {"name": "second", "priority": 50, "base_url": server.base_url, **openai, **more}


@contextlib.asynccontextmanager
async def fault_gateway(
    lab: Laboratory,
    second: FakeOpenAI | dict[str, Json] | None,
    *,
    keys: Iterable[str] = (),
    patience_s: float | None = None,
    **llm: Json,
) -> AsyncIterator[FaultGateway]:
    """The gateway and its clients. `patience_s` is how long `first` may be silent; `llm` has further keys of the block."""
    waits = {} if patience_s is None else {"timeout_seconds": patience_s, "read_timeout_seconds": patience_s}
    entries = [first_entry(lab, keys, **waits)]
    if second is not None:
        entries.append(second if isinstance(second, dict) else second_entry(second))
    block = {
        "providers": entries,
        "fallback_strategy": "priority",
        "retry_policy": QUICK_RETRIES,
        "deadline_seconds": 10,
        "circuit_breaker": {"enabled": False},
        **llm,
    }
    async with (
        gateway_with({"llm": block}) as running,
        clients_of(running.url) as clients,
        httpx.AsyncClient(base_url=running.url) as http,
    ):
        yield FaultGateway(running, clients, http)


def assert_answered_by(target: str, told: Told, *, attempts: int, asked: str, streams: bool) -> None:
    """A whole answer of this target, with its model, its usage and its cost, after so many attempts in all."""
    assert (told.headers["x-caxton-provider"], told.headers["x-caxton-attempts"]) == (target, str(attempts))
    assert (told.text, told.finish) == (_TEXTS[target], "stop")
    model = _ANSWERING.get(target, f"{asked}-2026-01-01")
    assert told.model == model
    assert (told.prompt_tokens, told.completion_tokens) == (2, _COMPLETION_TOKENS[target])
    cost = _SECOND_COST_USD if target == "second" else None
    if streams:
        assert (told.caxton["provider"], told.caxton["attempts"], told.caxton["model"]) == (target, attempts, model)
        assert told.caxton["cost_usd"] == (cost if cost is None else pytest.approx(cost))
    else:
        assert told.headers["x-caxton-model"] == model
        assert told.headers["x-caxton-cost-usd"] == ("unknown" if cost is None else f"{cost:.8f}")


def target_attempts(error: Any) -> list[tuple[str, str]]:
    """Target and kind of every attempt that an error tells of, in their order, with times that can be true."""
    attempts = problem_of(error)["attempts"]
    started = [attempt["started"] for attempt in attempts]
    assert started == sorted(started)
    assert all(attempt["started"] >= 0 and attempt["seconds"] >= 0 for attempt in attempts)
    return [(attempt["target"], attempt["error"]) for attempt in attempts]
