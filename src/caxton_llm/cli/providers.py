"""`caxton providers`: how the providers of a running gateway are doing."""

import asyncio
from pathlib import Path
from typing import NoReturn

import msgspec
import typer

from caxton_llm.cli.screen import Screen
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.errors import ConfigurationError, LlmError
from caxton_llm.protocols import WireRequest
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.resolved import resolved
from caxton_llm.server.admin import PROVIDERS_PATH
from caxton_llm.target_status import Percentiles, TargetStatus
from caxton_llm.transport.lean import LeanTransport

__all__ = ["show_providers"]

_LIMIT_S = 10.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
_COLUMNS = (
    "provider",
    "kind",
    "state",
    "breaker",
    "last error",
    "health check",
    "p50/p95/p99 ms",
    "first content ms",
    "answers",
    "failures",
    "under way",
    "waiting",
    "requests left",
    "tokens left",
    "keys",
)


@resolved
class _Answer(msgspec.Struct):
    providers: list[TargetStatus]


def show_providers(config: Path | None, screen: Screen, *, url: str | None, as_json: bool) -> None:
    """Raises `ConfigurationError` for an address that is none; exit code 1 when no gateway answers there."""
    address = url or _configured(config)
    try:
        body = asyncio.run(_fetch(address))
        found = msgspec.json.decode(body, type=_Answer).providers
    except TimeoutError:
        _give_up(screen, address, f"no answer within {_LIMIT_S:g} s")
    except msgspec.MsgspecError:
        _give_up(screen, address, "what is there is something else")
    except ConfigurationError:
        raise
    except LlmError as error:
        _give_up(screen, address, error.kind)
    if as_json:
        screen.write(msgspec.json.format(body, indent=2).decode() + "\n")
    else:
        screen.table(_COLUMNS, [_row(status) for status in found])


def _configured(config: Path | None) -> str:
    server = load_file(locate(config)).server
    if server.port == 0:
        raise ConfigurationError("server.port is 0, so the gateway's port is not known: give its address with --url")
    host = _ANYWHERE.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


async def _fetch(address: str) -> bytes:
    origin, prefix = parse_base_url(address, default_path=None)
    transport = LeanTransport()
    try:
        async with asyncio.timeout(_LIMIT_S):
            request = WireRequest(method="GET", origin=origin, path=prefix + PROVIDERS_PATH)
            response = await transport.send(request, connect_timeout_s=_LIMIT_S, idle_timeout_s=_LIMIT_S)
            return await response.read()
    finally:
        await transport.aclose()


def _give_up(screen: Screen, address: str, why: str) -> NoReturn:
    screen.fail(f"no gateway answers at {address}: {why}")
    screen.note("Start the gateway with `caxton serve`, or say with --url where it is.")
    raise typer.Exit(1)


def _row(status: TargetStatus) -> tuple[str, ...]:
    error, check = status.last_error, status.health_check
    breaker = status.breaker.state.replace("_", "-")
    if status.breaker.state == "closed" and status.breaker.share < 1.0:
        breaker += f", {status.breaker.share:.0%} of its requests"
    limit = status.queue.concurrency_limit
    return (
        status.name,
        status.provider,
        status.state,
        breaker,
        "" if error is None else f"{error.kind}{f' {error.status}' if error.status else ''} at {_clock(error.at)}",
        "" if check is None else f"{check.error or 'ok'} at {_clock(check.at)}",
        _figures(status.latency.whole),
        _figures(status.latency.first_content),
        str(status.successes),
        str(status.failures),
        f"{status.queue.in_flight}" + ("" if limit is None else f" of {limit}"),
        str(status.queue.queued),
        _left(status.limits.remaining_requests),
        _left(status.limits.remaining_tokens),
        f"{status.keys.count - status.keys.resting} of {status.keys.count}" if status.keys.count > 1 else "",
    )


def _figures(found: Percentiles | None) -> str:
    return "" if found is None else f"{found.p50_ms:.0f} / {found.p95_ms:.0f} / {found.p99_ms:.0f}"


def _left(count: int | None) -> str:
    return "?" if count is None else str(count)


def _clock(at: str) -> str:
    """`12:00:05Z` of an ISO time."""
    return f"{at[11:19]}Z"
