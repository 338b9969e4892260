"""What is asked of a memory as a whole: a search, how much there is, a purge."""

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest
from caxton_llm.server.memory.shapes import Purged, SearchAnswer, SearchBody, StatsAnswer
from caxton_llm.server.memory.work import MemoryWork
from caxton_llm.server.operation import Call, NoBody, NoQuery

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = ["WholeEndpoints"]


class WholeEndpoints:
    """Blocking calls go to `work`."""

    def __init__(self, work: MemoryWork) -> None:
        self._work = work

    async def search(self, call: Call[NoQuery, SearchBody]) -> SearchAnswer:
        body = call.body
        filters = body.filters
        if body.focus_areas is not None:
            if filters.focus_areas is not None:
                message = "focus_areas are given twice: beside filters and in it"
                raise InvalidRequest(message, param="focus_areas")
            filters = replace(filters, focus_areas=body.focus_areas)

        def searched(memory: "Memory") -> SearchAnswer:
            begun = time.perf_counter()
            found = memory.search(body.query, filters, max_results=body.max_results, min_similarity=body.min_similarity)
            took = round((time.perf_counter() - begun) * 1000, 3)
            return SearchAnswer(
                found.hits, found.searched, found.candidates, found.above_threshold, took, found.problem
            )

        return await self._work.run(searched)

    async def stats(self, _call: Call[NoQuery, NoBody]) -> StatsAnswer:
        return await self._work.run(lambda memory: StatsAnswer(memory.stats(), memory.problems))

    async def purge(self, _call: Call[NoQuery, NoBody]) -> Purged:
        await self._work.run_long(lambda memory: memory.purge())
        return Purged()
