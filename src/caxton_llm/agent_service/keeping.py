"""What is kept of an answered request: its exchange in the stored conversation, summaries, lessons, and counts of tokens."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from caxton_llm.agent_loop.loop import LoopResult
from caxton_llm.agent_service.turn import AgentTurn
from caxton_llm.agents.conversation import ConversationKey, Exchange, Thread
from caxton_llm.context_engine.engine import ContextEngine
from caxton_llm.remembering import Remembering
from caxton_llm.stores.token_factors import TokenFactorFile
from caxton_llm.summaries import Summarizer
from caxton_llm.tokens import usage_prompt_tokens
from caxton_llm.types import ChatRequest, ChatResponse

__all__ = ["Keeping"]

_log = logging.getLogger("caxton_llm.agents")
_SAVE_EVERY = 50
"""Answers from which token counts were learned, between two times that they are written down."""


class Keeping:
    """Keeps what agents' answers leave. `ask` asks the model `summarizer`, where one is to summarise older turns."""

    def __init__(
        self,
        engine: ContextEngine,
        *,
        remembering: Remembering | None = None,
        ask: Callable[[ChatRequest], Awaitable[ChatResponse]] | None = None,
        summarizer: str | None = None,
        factors: TokenFactorFile | None = None,
    ) -> None:
        self._engine = engine
        self._remembering = remembering
        self._ask = ask
        self._model = summarizer
        self._summarizer: Summarizer | None = None
        self._factors = factors
        self._learned = 0

    async def keep(self, turn: AgentTurn, result: LoopResult) -> None:
        """Keep what one answer leaves. Raises `ConversationChanged` and `ConversationDeleted`, and `ConversationStoreError`:
        an answer that could not be stored does not end as if it was."""
        gathered, message = turn.gathered, result.message
        if message is None or result.response.degraded:
            return
        asked = gathered.history.asked
        exchange = Exchange(messages=(*asked, *result.steps, message), model=result.response.model)
        if gathered.key is not None:
            exchange = await self._store(turn, gathered.key, exchange)
        if self._remembering is not None:
            used = () if turn.contexts.sent is None else turn.contexts.sent.memories
            agent = gathered.agent
            nowhere = ConversationKey(f"request {uuid.uuid4().hex}", agent.name, agent.memory.tenant)
            self._remembering.submit(agent, gathered.key or nowhere, exchange, used=used)
        if not result.steps and turn.reading is None:
            await self._learn(turn, result)

    async def aclose(self) -> None:
        """Finish what goes on in the background, within bounded time."""
        if self._remembering is not None:
            await self._remembering.close()
        if self._summarizer is not None:
            await self._summarizer.close()
        if self._learned:
            await asyncio.to_thread(self._save)

    async def _store(self, turn: AgentTurn, key: ConversationKey, exchange: Exchange) -> Exchange:
        """The exchange as it is stored, behind those that the request brought along."""
        gathered = turn.gathered
        store = await asyncio.to_thread(self._engine.sources.conversations)
        fresh = [Exchange(messages=messages) for messages in gathered.history.fresh]
        after = None if gathered.thread is None else gathered.thread.position
        position = await asyncio.to_thread(store.append, key, [*fresh, exchange], after=after)
        sent, thread = turn.contexts.sent, gathered.thread
        if self._model is not None and self._ask is not None and sent is not None and thread is not None:
            if self._summarizer is None:
                self._summarizer = Summarizer(self._ask, store, self._model)
            self._summarize(self._summarizer, key, thread, sent.window_from)
        return replace(exchange, number=position.length - 1)

    def _summarize(self, summarizer: Summarizer, key: ConversationKey, thread: Thread, window_from: int | None) -> None:
        """Have the stored turns that were not sent word for word summarised, for the requests to come."""
        last = min(thread.position.length, thread.position.length if window_from is None else window_from) - 1
        if last >= 0:
            summarizer.submit(key, thread, 0, last)

    async def _learn(self, turn: AgentTurn, result: LoopResult) -> None:
        """What the provider counted, against what was counted here."""
        sent = turn.contexts.request
        if sent is None:
            return
        real = usage_prompt_tokens(result.usage, sent.kind) if result.usage is not None else None
        if real is None or (result.usage is not None and result.usage.estimated):
            return
        await asyncio.to_thread(self._engine.learn, sent, real)
        self._learned += 1
        if self._learned % _SAVE_EVERY == 0:
            await asyncio.to_thread(self._save)

    def _save(self) -> None:
        if self._factors is None:
            return
        try:
            self._factors.save(self._engine.calibration.snapshot())
        except OSError as error:
            _log.warning("what was learned about token counts could not be written: %s", error)
