"""An operation of the administrative API: described once, for its route, for the checks of what it is sent, and for the
OpenAPI document.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NoReturn, TypeVar, get_args

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from caxton_llm.errors import InvalidRequest, LlmError, Overloaded
from caxton_llm.memory.model import Kind, Scope
from caxton_llm.resolved import resolved
from caxton_llm.server.exchange import ClientGone, read_body
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.responses import error_response, json_response
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["Call", "NoBody", "NoQuery", "NotThere", "Operation", "operation", "routes_of"]

_Q = TypeVar("_Q", bound=Struct)
_B = TypeVar("_B", bound=Struct)

Takes = Literal["nothing", "one", "one or many", "lines", "unread"]

_CLOSED = 499
"""Written nowhere: the client is gone."""
_KNOWN = {"scope": Scope, "scopes": Scope, "kinds": Kind}
"""Words that a field may have, by its name."""

_REQUIRED = {"tenant": "; tenant= (empty) is those without one"}
"""What to write for a field that must be given, by its name."""


class NoQuery(Struct, forbid_unknown_fields=True):
    """No parameters."""


class NoBody(Struct):
    """No body."""


class NotThere(InvalidRequest):
    """Nothing has the id that the address names."""

    http_status = 404


class Call(Generic[_Q, _B]):
    """One request of an operation: the parameters of its address, and its body decoded."""

    def __init__(self, request: Request, query: _Q, bodies: Sequence[_B], *, body_limit: int) -> None:
        self.request = request
        self.query = query
        self.bodies = bodies
        """Where an operation takes one or a list: all of them."""
        self._body_limit = body_limit

    @property
    def body(self) -> _B:
        return self.bodies[0]

    async def read_body(self) -> bytes:
        """The body, where the operation reads it itself. Raises `RequestTooLarge`."""
        return await read_body(self.request.receive, self._body_limit)

    @property
    def id(self) -> str:
        """What the path names."""
        return str(self.request.path_params["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` is as in OpenAPI: `/things/{id}`. `answer` is the type of what it gives, `None`: JSON Lines.

    `takes` says whether its body is nothing, an object, one or a list of them, JSON Lines, or an object that the operation
    reads itself.
    """

    method: str
    path: str
    summary: str
    query: type[Struct]
    body: type[Struct]
    takes: Takes
    answer: object
    run: Callable[[Request, int], Awaitable[object]]
    """The request, and how many bytes its body may have."""


def operation(
    method: str,
    path: str,
    summary: str,
    run: Callable[[Call[_Q, _B]], Awaitable[object]],
    *,
    query: type[_Q],
    body: type[_B],
    answer: object,
    takes: Takes = "nothing",
) -> Operation:
    """`run` returns a value for JSON or a whole response, and raises `LlmError`."""
    resolved(query)
    decode_one = msgspec.json.Decoder(body)
    decode_many = msgspec.json.Decoder(list[body])  # type: ignore[valid-type]

    async def checked(request: Request, limit: int) -> object:
        bodies: Sequence[_B] = ()
        if takes in ("one", "one or many"):
            data = await read_body(request.receive, limit)
            many = takes == "one or many" and data.lstrip()[:1] == b"["
            bodies = _decoded(lambda: decode_many.decode(data) if many else [decode_one.decode(data)], data)
        return await run(Call(request, _query(request, query), bodies, body_limit=limit))

    return Operation(
        method=method, path=path, summary=summary, query=query, body=body, takes=takes, answer=answer, run=checked
    )


def routes_of(operations: Sequence[Operation], failures: FailureLog, *, max_body_bytes: int) -> list[Route]:
    """A route for each operation. Whatever goes wrong is answered in the usual shape."""
    routes = []
    for each in operations:
        # A name of an entry and an id may have slashes.
        path = re.sub(r"{(\w+)}", r"{\1:path}", each.path)
        routes.append(Route(path, _endpoint(each, failures, max_body_bytes), methods=[each.method]))
    return routes


def _endpoint(
    described: Operation, failures: FailureLog, max_body_bytes: int
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            given = await described.run(request, max_body_bytes)
        except (ClientGone, ClientDisconnect):
            return Response(status_code=_CLOSED)
        except LlmError as error:
            response = error_response(request, error)
            failures.note(error, counted=False)
            return response
        except asyncio.CancelledError:
            # Only the end of a shutdown's drain time cancels a request: see `answer_errors`.
            ended = Overloaded("the gateway is shutting down", source="gateway")
            return error_response(request, ended)
        except Exception as cause:  # noqa: BLE001 - its message may hold what a caller wrote, so nobody gets to see it
            internal = _Internal("internal error; the gateway's log has it under the id of this request")
            response = error_response(request, internal)
            failures.note_internal(internal, cause, counted=False)
            return response
        return given if isinstance(given, Response) else json_response(given)

    return answer


class _Internal(LlmError):
    kind = "internal"
    http_status = 500


_T = TypeVar("_T")


def _query(request: Request, wanted: type[_Q]) -> _Q:
    items = request.query_params.multi_items()
    given = dict(items)
    if len(given) < len(items):
        twice = next(name for name, _ in items if len(request.query_params.getlist(name)) > 1)
        raise InvalidRequest(f"{twice[:80]} is given twice", param=twice[:80])
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        _refuse(str(error), "the address")


def _decoded(decode: Callable[[], _T], data: bytes) -> _T:
    try:
        return decode()
    except msgspec.ValidationError as error:
        _refuse(str(error), "the body")
    except UNREADABLE as error:
        if not data.strip():
            raise InvalidRequest("the body is empty; send JSON") from None
        raise InvalidRequest(f"the body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}") from None


def _refuse(problem: str, whole: str) -> NoReturn:
    """msgspec says what it expected, and the path after `$`; a value of the client is never repeated."""
    what, _, place = problem.partition(" - at `$")
    path = place.removesuffix("`").removeprefix(".")
    field = what.rpartition(" field `")[2].removesuffix("`")
    if what.startswith(("Object missing required field `", "Object contains unknown field `")):
        path = f"{path}.{field}" if path else field
        hint = _REQUIRED.get(field, "")
        raise InvalidRequest(f"{path} {f'is missing{hint}' if 'missing' in what else 'is not known here'}", param=path)
    if what.startswith(("Invalid enum value", "Invalid value")):
        words = _KNOWN.get(path.rpartition(".")[2].partition("[")[0])
        known = f"; there is {', '.join(get_args(words))}" if words else ""
        raise InvalidRequest(f"{path} has a value that does not exist{known}", param=path)
    what = what.replace("`", "").replace("Expected", "expected", 1)
    raise InvalidRequest(f"{path or whole} has the wrong type or range: {what}", param=path or None)
