"""Summaries of older turns by a model, in the background: nothing on a request's way waits for one.

A summary builds on the one before it, so a model reads every turn once. Until one is there, sentences are chosen without a
model (`context.digest`). What cannot be summarised is counted and asked for again by the next request of its conversation.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from caxton_llm.agents.conversation import ConversationKey, Exchange, Summary, Thread, best_summary
from caxton_llm.background import of_this_loop
from caxton_llm.context.long_texts.seams import shortened_end
from caxton_llm.context.long_texts.summary_requests import Step, first_step, summary_request
from caxton_llm.errors import ConversationDeleted, LlmError, ProviderFailure
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.tokens import rough_tokens
from caxton_llm.types import ChatRequest, ChatResponse

__all__ = ["Summarizer"]

_log = logging.getLogger("caxton_llm.agent_service.summaries")

_TOO_LONG = 2
"""A summary that is so many times longer than it should be is cut."""


class _Job(Struct, frozen=True):
    """Exchanges of a conversation that are to be summarised, and the conversation as it was read."""

    key: ConversationKey
    thread: Thread
    first: int
    last: int

    def covers(self, key: ConversationKey, first: int, last: int) -> bool:
        return self.key == key and self.first <= first and last <= self.last


class Summarizer:
    """Asks `model` for summaries by `ask`, one at a time, and keeps them in the store. One for a process.

    A summary has about `summary_tokens` tokens; at most `room_tokens` of a conversation are read at once, as `count` gives
    them; `most_queued` conversations wait. `output_limit` limits the model's output where it needs a limit: thinking counts
    for it. For the event loop in which `submit` is called; the store is used in threads.
    """

    def __init__(
        self,
        ask: Callable[[ChatRequest], Awaitable[ChatResponse]],
        store: ConversationStore,
        model: str,
        *,
        count: Callable[[str], int] = rough_tokens,
        summary_tokens: int = 800,
        room_tokens: int = 16_000,
        output_limit: int | None = None,
        most_queued: int = 100,
    ) -> None:
        self.model = model
        self.written = 0
        """Summaries that were kept."""
        self.failures = 0
        """Times that the model or the store failed."""
        self.dropped = 0
        """Conversations that were not summarised: too many waited, they were deleted meanwhile, or this was closed."""
        self.problem: str | None = None
        """Why the last one failed; `None` when it went well."""
        self._ask = ask
        self._store = store
        self._count = count
        self._summary_tokens = summary_tokens
        self._room_tokens = room_tokens
        self._output_limit = output_limit
        self._most_queued = most_queued
        self._queue: dict[ConversationKey, _Job] = {}
        self._under_way: _Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_open = True

    def submit(self, key: ConversationKey, thread: Thread, first: int, last: int) -> bool:
        """Have the exchanges from `first` to `last`, this one included, summarised. Returns at once; whether they wait now.

        False where a model's summary of just these is there, where they are waiting or asked for already, and where too many
        conversations wait. `thread` is the conversation as it was read; exchanges that it lacks are read from the store.
        """
        if not 0 <= first <= last < thread.position.length:
            raise ValueError(f"exchanges {first} to {last} are not among the {thread.position.length} that there are")
        known = _by_model(thread, first, last)
        queued = self._queue.get(key)
        if known is not None and known.last == last:
            return False
        if any(job is not None and job.covers(key, first, last) for job in (queued, self._under_way)):
            return False
        if not self._is_open or (queued is None and len(self._queue) >= self._most_queued):
            self.dropped += 1
            return False
        self._queue[key] = _Job(key, thread, first, last)
        if self._task is None or self._task.done() or not of_this_loop([self._task]):
            self._task = asyncio.create_task(self._work(), name="caxton-summaries")
        return True

    async def idle(self) -> None:
        """Return when nothing is waiting or under way."""
        if self._task is not None and of_this_loop([self._task]):
            await asyncio.wait([self._task])

    async def close(self, within_s: float = 2.0) -> None:
        """End: what is waiting is dropped, what is under way gets `within_s` seconds, and as many to stop."""
        self._is_open = False
        self.dropped += len(self._queue)
        self._queue.clear()
        tasks = of_this_loop([self._task] if self._task is not None else [])
        if not tasks:
            return
        _, still = await asyncio.wait(tasks, timeout=within_s)
        for task in still:
            task.cancel()
            self.dropped += 1
        if still:
            await asyncio.wait(still, timeout=within_s)

    # -- in the background ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while self._queue:
            job = self._under_way = self._queue.pop(next(iter(self._queue)))
            try:
                await self._summarize(job)
            except ConversationDeleted:
                self.dropped += 1
            except LlmError as error:
                self._failed(error.kind)
            except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, the next one is to be summarised
                self._failed(type(error).__name__)
            else:
                self.problem = None
            finally:
                self._under_way = None

    def _failed(self, kind: str) -> None:
        self.failures += 1
        self.problem = f"a conversation could not be summarised by {self.model}: {kind}"
        _log.warning("%s", self.problem)

    async def _summarize(self, job: _Job) -> None:
        """Summaries up to the job's last exchange, each kept as soon as it is there."""
        present = await asyncio.to_thread(self._store.thread, job.key, last=0)
        known = _by_model(present, job.first, job.last)
        first, begin, text = job.first, job.first, ""
        if known is not None:
            first, begin, text = known.first, known.last + 1, known.text
        exchanges = await self._exchanges(job, begin)
        while exchanges:
            step = await asyncio.to_thread(first_step, exchanges, self._room_tokens, self._count)
            text = await self._summary(step, text)
            summary = Summary(first=first, last=step.last, text=text, model=self.model)
            await asyncio.to_thread(self._store.summarize, job.key, summary, after=job.thread.position)
            self.written += 1
            exchanges = [exchange for exchange in exchanges if exchange.number > step.last]

    async def _exchanges(self, job: _Job, begin: int) -> Sequence[Exchange]:
        thread = job.thread
        if begin <= job.last and not any(exchange.number == begin for exchange in thread.exchanges):
            thread = await asyncio.to_thread(self._store.thread, job.key, since=begin)
            if thread.position.conversation != job.thread.position.conversation:
                raise ConversationDeleted("the conversation was deleted before it was summarised")
        return [exchange for exchange in thread.exchanges if begin <= exchange.number <= job.last]

    async def _summary(self, step: Step, previous: str) -> str:
        request = summary_request(
            self.model, step, previous, tokens=self._summary_tokens, output_limit=self._output_limit
        )
        answer = await self._ask(request)
        reason = answer.choices[0].finish_reason if answer.choices else None
        text = answer.text.strip()
        if answer.degraded or not text or reason in ("content_filter", "error"):
            raise ProviderFailure(f"the model wrote no summary (finish_reason {reason})", provider=answer.provider)
        most = _TOO_LONG * self._summary_tokens
        return text if self._count(text) <= most else shortened_end(text, most, self._count).rstrip()


def _by_model(thread: Thread, first: int, last: int) -> Summary | None:
    """The summary that a model wrote of the most of these exchanges, from the first on or from before it."""
    among = tuple(one for one in thread.summaries if one.model and one.first <= first <= one.last + 1)
    return best_summary(among, last + 1)
