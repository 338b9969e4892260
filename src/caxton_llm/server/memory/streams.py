"""Export and import over HTTP: both are streams of lines, and neither is ever in memory as a whole."""

from functools import partial

from starlette.responses import Response

from caxton_llm.memory.transfer import Imported, lines_of
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.line_streams import LinesResponse, SentBody, begun, piece_of, pieces_of
from caxton_llm.server.memory.shapes import ExportQuery, ImportQuery
from caxton_llm.server.memory.work import MemoryWork
from caxton_llm.server.operation import Call, NoBody

__all__ = ["StreamEndpoints"]


class StreamEndpoints:
    """`GET .../export` and `POST .../import`."""

    def __init__(self, work: MemoryWork, failures: FailureLog) -> None:
        self._work = work
        self._failures = failures

    async def export(self, call: Call[ExportQuery, NoBody]) -> Response:
        """What fails at the beginning is an answer; what fails later breaks the connection, so that no part looks whole."""
        query = call.query
        lines, first = await self._work.run(
            lambda memory: begun(memory.export(tenant=query.tenant, history=query.history))
        )
        following = partial(self._work.run, lambda _memory: piece_of(lines))
        return LinesResponse(pieces_of(first, following, self._failures), lines)

    async def load(self, call: Call[ImportQuery, NoBody]) -> Imported:
        query = call.query
        sent = SentBody(call.request)
        load = self._work.run_long(
            lambda memory: memory.load(
                lines_of(sent), format=query.format, tenant=query.tenant, strict=not query.keep_going
            )
        )
        return await sent.taken(load)
