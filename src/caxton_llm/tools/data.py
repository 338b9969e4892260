"""The data that tools keep, by the keys of `tool_data`: from the server's resources, then from the configuration, then from
the memory. What cannot be had is said with its reason, and never an error.
"""

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from caxton_llm.background import SharedTasks
from caxton_llm.errors import LlmError
from caxton_llm.tool_specs import ToolData, ToolGap
from caxton_llm.tools.failures import ServerFailure, ServerUnavailable
from caxton_llm.tools.listings import ListedResource
from caxton_llm.tools.server import McpServer
from caxton_llm.tools.settings import ToolDataFile
from caxton_llm.types import Json

if TYPE_CHECKING:
    from mcp.types import ReadResourceResult

__all__ = ["GatheredData", "MemoryLookup", "ToolDataReader"]

_MOST_KEPT = 256
_UNIMPORTANT = str.maketrans("", "", "_- ")

MemoryLookup = Callable[[str], Awaitable[Json]]
"""What the memory has under a name; `None` where it has nothing."""


class GatheredData(Struct, frozen=True, kw_only=True):
    """What was found, in the order of the keys, and what was not, with reasons."""

    found: tuple[ToolData, ...] = ()
    missing: tuple[ToolGap, ...] = ()


class _Kept(Struct, frozen=True):
    data: ToolData
    until: float


class _Answer(Struct, frozen=True):
    """What is kept of all keys of a tool, good from `since` on and before `until`."""

    data: GatheredData
    since: float
    until: float


class ToolDataReader:
    """The data of one server's tools. `server` is `None` for tools that are no server's."""

    def __init__(self, server: McpServer | None, clock: Callable[[], float]) -> None:
        self._server = server
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        """By owner and address; the owner is empty for what the server says that anybody may see."""
        self._listed: tuple[ListedResource, ...] = ()
        self._meant: dict[str, tuple[ListedResource, ...]] = {}
        self._answers: dict[tuple[str, tuple[str, ...]], _Answer] = {}
        """By owner and keys: of what is listed and kept now."""
        self._reading = SharedTasks[tuple[str, str, str], ToolData | None](_closed)
        """By owner, address and key."""
        self._late: OrderedDict[tuple[str, str, str], ToolData] = OrderedDict()
        """What came when nobody waited any more, and may not be kept: the next request that waits in vain gets it."""

    def held(self, several: Sequence[tuple[str, ...]], *, owner: str) -> list[GatheredData] | None:
        """For each of several tools all its keys, where everything was read before and may still be told; `None`: something
        has to be waited for. The same objects again, while nothing was read anew."""
        listed = self._held_resources()
        if listed is None:
            return None
        now = self._clock()
        answers = []
        for keys in several:
            answer = self._answers.get((owner, keys))
            if answer is None or not answer.since <= now < answer.until:
                answer = self._answered(listed, keys, owner, now)
            if answer is None:
                return None
            answers.append(answer.data)
        return answers

    def _answered(
        self, listed: tuple[ListedResource, ...], keys: tuple[str, ...], owner: str, now: float
    ) -> _Answer | None:
        found = [self._at_hand(listed, key, owner, now) for key in dict.fromkeys(keys)]
        kept = [one for one in found if one is not None]
        if len(kept) < len(found):
            return None
        answer = _Answer(
            GatheredData(found=tuple(one.data for one in kept)),
            since=max((one.data.fetched_at for one in kept), default=-math.inf),
            until=min((one.until for one in kept), default=math.inf),
        )
        if len(self._answers) >= _MOST_KEPT:
            self._answers.clear()
        self._answers[owner, keys] = answer
        return answer

    async def read(
        self, keys: Sequence[str], *, owner: str, memory: MemoryLookup | None, timeout_s: float | None
    ) -> GatheredData:
        """All keys at the same time, each within `timeout_s`. A resource that takes longer is read on, and kept for later."""
        wanted = tuple(dict.fromkeys(keys))
        answers: list[ToolData | ToolGap | None] = [None] * len(wanted)
        listed, now = self._held_resources(), self._clock()
        if listed is not None:
            kept = [self._at_hand(listed, key, owner, now) for key in wanted]
            answers = [None if one is None else one.data for one in kept]
        missing = [place for place, one in enumerate(answers) if one is None]
        if missing:
            reading = (self._within(wanted[place], owner, memory, timeout_s) for place in missing)
            for place, one in zip(missing, await asyncio.gather(*reading), strict=True):
                answers[place] = one
        return GatheredData(
            found=tuple(answer for answer in answers if isinstance(answer, ToolData)),
            missing=tuple(answer for answer in answers if isinstance(answer, ToolGap)),
        )

    async def close(self) -> None:
        """End what is still being read."""
        await self._reading.end()

    async def _within(
        self, key: str, owner: str, memory: MemoryLookup | None, timeout_s: float | None
    ) -> ToolData | ToolGap:
        reasons: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._find(key, owner, memory, reasons)
        except TimeoutError:
            data = self._come_late(key, owner)
            reasons.append(f"not there within {timeout_s:g} s{self._awaited(key, owner)}")
        name = "" if self._server is None else self._server.settings.name
        return ToolGap(server=name, name=key, reason="; ".join(reasons)) if data is None else data

    def _come_late(self, key: str, owner: str) -> ToolData | None:
        """What an earlier request waited for in vain; it may be told once."""
        now, server = self._clock(), self._server
        for resource in self._meant.get(key, ()):
            late = self._late.pop((owner, resource.uri, key), None)
            if late is not None and server is not None and 0 <= now - late.fetched_at < server.settings.data_ttl_s:
                return late
        return None

    def _awaited(self, key: str, owner: str) -> str:
        is_read = any(self._reading.runs((owner, resource.uri, key)) for resource in self._meant.get(key, ()))
        return "; it is awaited for later requests" if is_read else ""

    async def _find(self, key: str, owner: str, memory: MemoryLookup | None, reasons: list[str]) -> ToolData | None:
        if self._server is not None:
            data = await self._from_resources(self._server, key, owner, reasons)
            data = data or await self._from_configuration(self._server, key, reasons)
            if data is not None:
                return data
        return await self._from_memory(key, memory, reasons)

    # -- resources ------------------------------------------------------------------------------------------------------

    async def _from_resources(self, server: McpServer, key: str, owner: str, reasons: list[str]) -> ToolData | None:
        try:
            listed = await server.resources()
            fitting = self._fitting(listed, key)
            if not fitting and any(_rank(resource, key) is not None for resource in listed):
                reasons.append("the server's resource is meant for the user, not for an assistant")
            elif not fitting:
                reasons.append("no resource of the server has this name")
            for resource in fitting:
                data = await self._contents(server, resource, key, owner)
                if data is not None:
                    return data
                reasons.append("the server's resource is not text")
        except ServerFailure as failure:
            reasons.append(str(failure))
        return None

    async def _contents(self, server: McpServer, resource: ListedResource, key: str, owner: str) -> ToolData | None:
        kept = self._still_kept(resource, key, owner, self._clock())
        if kept is not None:
            return kept.data
        place = (owner, resource.uri, key)
        return await self._reading.result(place, partial(self._read_contents, server, resource, place))

    async def _read_contents(
        self, server: McpServer, resource: ListedResource, place: tuple[str, str, str]
    ) -> ToolData | None:
        owner, _, key = place
        result = await server.read(resource.uri)
        from caxton_llm.tools.results import resource_value  # noqa: PLC0415 - imports the SDK, which is there by now

        value = resource_value(result, server.settings.max_result_bytes)
        if value is None:
            return None
        data = ToolData(
            key=key,
            value=value[0],
            source="resource",
            priority=resource.priority,
            fetched_at=self._clock(),
            truncated=value[1],
        )
        ttl_s = _ttl_s(result, server.settings.data_ttl_s)
        self._keep("" if _is_public(result) else owner, resource.uri, data, ttl_s)
        if ttl_s <= 0 and not self._reading.is_awaited(place):
            self._late[place] = data
            while len(self._late) > _MOST_KEPT:
                self._late.popitem(last=False)
        return data

    def _held_resources(self) -> tuple[ListedResource, ...] | None:
        """What the server has to read; `None`: it has to be asked."""
        listed = None if self._server is None else self._server.held_resources
        if listed is not None:
            self._meet(listed)
        return listed

    def _meet(self, listed: tuple[ListedResource, ...]) -> None:
        """What is remembered holds for the list that the server told last."""
        if listed is not self._listed:
            self._listed, self._meant, self._answers = listed, {}, {}

    def _at_hand(self, listed: tuple[ListedResource, ...], key: str, owner: str, now: float) -> _Kept | None:
        """What was read before and may still be told: nothing need be waited for."""
        fitting = self._fitting(listed, key)
        return self._still_kept(fitting[0], key, owner, now) if fitting else None

    def _fitting(self, listed: tuple[ListedResource, ...], key: str) -> tuple[ListedResource, ...]:
        """The resources that a key means and an assistant may see, the best first. Remembered while the list is the same."""
        self._meet(listed)
        found = self._meant.get(key)
        if found is None:
            fitting = (
                resource
                for resource in listed
                if _rank(resource, key) is not None and (resource.audience is None or "assistant" in resource.audience)
            )
            found = self._meant[key] = tuple(sorted(fitting, key=lambda resource: _order(resource, key)))
            while len(self._meant) > _MOST_KEPT:
                self._meant.pop(next(iter(self._meant)))
        return found

    def _still_kept(self, resource: ListedResource, key: str, owner: str, now: float) -> _Kept | None:
        for who in (owner, ""):
            kept = self._kept.get((who, resource.uri))
            if kept is not None and kept.data.fetched_at <= now < kept.until:
                if kept.data.key == key:
                    return kept
                return _Kept(msgspec.structs.replace(kept.data, key=key), kept.until)
        return None

    def _keep(self, who: str, uri: str, data: ToolData, ttl_s: float) -> None:
        if ttl_s > 0:
            self._answers.clear()
            self._kept[who, uri] = _Kept(data, data.fetched_at + ttl_s)
            self._kept.move_to_end((who, uri))
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    # -- other sources --------------------------------------------------------------------------------------------------

    async def _from_configuration(self, server: McpServer, key: str, reasons: list[str]) -> ToolData | None:
        configured = server.settings.tool_data
        name = next((name for name in configured if _plain(name) == _plain(key)), None)
        if name is None:
            return None
        value = configured[name]
        if not isinstance(value, ToolDataFile):
            return ToolData(key=key, value=value, source="configured", fetched_at=self._clock())
        try:
            content, was_cut = await asyncio.to_thread(_read_file, Path(value.path), server.settings.max_result_bytes)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not what its name says"
            reasons.append(f"the file {value.path} cannot be read: {why}")
            return None
        return ToolData(key=key, value=content, source="file", fetched_at=self._clock(), truncated=was_cut)

    async def _from_memory(self, key: str, memory: MemoryLookup | None, reasons: list[str]) -> ToolData | None:
        if memory is None:
            return None
        try:
            value = await memory(key)
        except LlmError as error:
            reasons.append(f"the memory could not be asked: {error}")
            return None
        except Exception as error:  # noqa: BLE001 - whatever a lookup raises, the other keys are not at fault
            reasons.append(f"the memory could not be asked ({type(error).__name__})")
            return None
        if value is None:
            reasons.append("the memory has nothing of this name")
            return None
        return ToolData(key=key, value=value, source="memory", fetched_at=self._clock())


def _closed() -> ServerUnavailable:
    return ServerUnavailable("the server is closed")


def _plain(name: str) -> str:
    return name.casefold().translate(_UNIMPORTANT)


def _rank(resource: ListedResource, key: str) -> int | None:
    """How well a resource's name is the key: 0 to 3, `None` when it is another one."""
    segment = urlsplit(resource.uri).path.rstrip("/").rpartition("/")[2] or urlsplit(resource.uri).netloc
    stem = segment.rpartition(".")[0] or segment
    if resource.name == key:
        return 0
    if _plain(resource.name) == _plain(key):
        return 1
    if key in (segment, stem):
        return 2
    return 3 if _plain(key) in (_plain(segment), _plain(stem)) else None


def _order(resource: ListedResource, key: str) -> tuple[int, float, str]:
    return _rank(resource, key) or 0, -(resource.priority or 0.0), resource.uri


def _is_public(result: "ReadResourceResult") -> bool:
    said = result.cache_scope if "cache_scope" in result.model_fields_set else (result.meta or {}).get("cacheScope")
    return said == "public"


def _ttl_s(result: "ReadResourceResult", default_s: float) -> float:
    """How long the contents may be kept, as the server says; what it says is believed for a day at most."""
    said = result.ttl_ms if "ttl_ms" in result.model_fields_set else (result.meta or {}).get("ttlMs")
    if isinstance(said, bool) or not isinstance(said, int | float):
        return default_s
    return min(max(said / 1000.0, 0.0), 86_400.0)


def _read_file(path: Path, largest: int) -> tuple[Json, bool]:
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        with contextlib.suppress(OSError):
            total = path.stat().st_size
        text = data[:largest].decode("utf-8", "ignore")
        return f"{text}\n[cut: {largest:,} of {total:,} bytes are shown]", True
    if path.suffix.lower() == ".json":
        return msgspec.json.decode(data), False
    return data.decode("utf-8-sig"), False
