"""The exchanges of a demonstration: a plain question, a streamed one, and a tool that is called and answered."""

import asyncio
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from caxton_llm.cli.demo.clients import Answer, Client
from caxton_llm.cli.demo.plan import QUESTION, TOOL_QUESTION
from caxton_llm.cli.demo.record import Exchange
from caxton_llm.cli.demo.view import DemoView
from caxton_llm.errors import LlmError, MalformedResponse, ProviderFailure
from caxton_llm.protocols import Origin, Transport, TransportResponse, WireRequest
from caxton_llm.types import Json
from caxton_llm.wire.sse import SseDecoder

__all__ = ["Tour"]

_LONGEST_S = 150.0
_TOOL_RESULT = '{"celsius": 21, "sky": "clear"}'


class Tour:
    """Sends, shows and records. What goes wrong ends one exchange, not the tour."""

    def __init__(self, address: str, transport: Transport, max_tokens: int, view: DemoView) -> None:
        parts = urlsplit(address)
        self._origin = Origin(parts.scheme, parts.hostname or "", parts.port or 80)
        self._transport = transport
        self._max_tokens = max_tokens
        self._view = view
        self.exchanges: list[Exchange] = []

    async def visit(self, client: Client) -> None:
        """The three things that every client does."""
        await self._exchange(client, "plain", client.question(QUESTION, self._max_tokens))
        await self._exchange(client, "streamed", client.question(QUESTION, self._max_tokens, stream=True))
        asked = client.question(TOOL_QUESTION, self._max_tokens, tools=True)
        answer = await self._exchange(client, "tool call", asked)
        if answer is None:
            return
        if answer.call is None:
            self.exchanges[-1].failure = "the model did not call the tool"
            self._view.show_failure(self.exchanges[-1].failure)
            return
        await self._exchange(client, "tool result", client.with_result(asked, answer, _TOOL_RESULT))

    async def _exchange(self, client: Client, what: str, body: dict[str, Json]) -> Answer | None:
        """One request and its answer; `None` when there is no whole answer."""
        record = Exchange(client=client.title, what=what, path=client.path)
        self.exchanges.append(record)
        self._view.show_request(len(self.exchanges), record, body)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_LONGEST_S):
                answer = await self._answer(client, body, record, started)
        except TimeoutError:
            record.failure = f"no answer within {_LONGEST_S:g} s"
        except LlmError as error:
            record.failure = str(error)
        except (msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
            record.failure = f"the answer is not what the API promises ({type(error).__name__}: {error})"
        else:
            record.note(answer, time.perf_counter() - started)
            self._view.show_outcome(record, answer)
            return answer
        self._view.show_failure(record.failure)
        return None

    async def _answer(self, client: Client, body: dict[str, Json], record: Exchange, started: float) -> Answer:
        response = await self._send(client, body)
        try:
            record.status, record.headers = response.status, _interesting(response.headers)
            if response.status != 200:
                raise ProviderFailure(_message(await response.read()), status=response.status)
            if not body.get("stream"):
                return client.read(msgspec.json.decode(await response.read()))
            return await self._streamed(client, response, record, started)
        finally:
            response.abort()

    async def _send(self, client: Client, body: dict[str, Json]) -> TransportResponse:
        request = WireRequest(
            method="POST",
            origin=self._origin,
            path=client.path,
            headers=(("content-type", "application/json"), *client.headers),
            body=msgspec.json.encode(body),
        )
        return await self._transport.send(request, connect_timeout_s=_LONGEST_S, idle_timeout_s=_LONGEST_S)

    async def _streamed(self, client: Client, response: TransportResponse, record: Exchange, started: float) -> Answer:
        answer = Answer()
        decoder = SseDecoder()
        while data := await response.read_some():
            for _name, payload in decoder.feed(data):
                if payload == b"[DONE]":
                    continue
                event = msgspec.json.decode(payload)
                if isinstance(event, dict) and event.get("error"):
                    raise ProviderFailure(_message(payload))
                if text := client.read_event(answer, event):
                    if record.first_s is None:
                        record.first_s = time.perf_counter() - started
                    self._view.show_piece(text)
        if not answer.ended:
            raise MalformedResponse("the stream ended before the answer did")
        return answer


def _interesting(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-caxton-")}


def _message(body: bytes) -> str:
    """The message of an error in either dialect."""
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "an error without a message"
