"""What is kept of an answered request: its exchange in the stored conversation, summaries, lessons, and counts of tokens."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from caxton_llm.agent_loop.loop import LoopResult
from caxton_llm.agent_service.counts import CountsLearned
from caxton_llm.agent_service.kept import exchange_of, unfinished
from caxton_llm.agent_service.remembering import Remembering
from caxton_llm.agent_service.summaries import Summarizer
from caxton_llm.agent_service.turn import AgentTurn
from caxton_llm.agents.conversation import ConversationKey, Exchange, Position
from caxton_llm.context_engine.engine import ContextEngine, GatheredContext
from caxton_llm.errors import ConversationChanged, ConversationDeleted, ConversationStoreError, InvalidRequest
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.stores.token_factors import TokenFactorFile
from caxton_llm.tokens import usage_prompt_tokens
from caxton_llm.types import ChatRequest, ChatResponse

__all__ = ["Keeping"]

_log = logging.getLogger("caxton_llm.agents")

_NOT_READ = "conversation: it could not be read when the request came: "
_NOT_COMPARED = _NOT_READ + "only this exchange was kept, behind what is there now"
_NOT_THERE = _NOT_READ + "nothing was kept, because it is not there now"


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
        self.counts = CountsLearned(engine, factors)

    async def keep(self, turn: AgentTurn, result: LoopResult) -> None:
        """Keep what one answer leaves; what could not be kept is in the turn's notes.

        Raises `ConversationChanged` and `ConversationDeleted`: an answer to what the conversation no longer is does not end
        as if it was one.
        """
        gathered, message = turn.gathered, result.message
        if message is None or result.response.degraded:
            return
        exchange = exchange_of(gathered, result, message, in_parts=turn.reading is not None)
        stored = None
        if gathered.key is not None:
            stored = await self._stored(turn, gathered.key, exchange)
        if self._remembering is not None and unfinished(result) is None:
            used = () if turn.contexts.sent is None else turn.contexts.sent.memories
            agent = gathered.agent
            nowhere = ConversationKey(f"request {uuid.uuid4().hex}", agent.name, agent.memory.tenant)
            key = gathered.key if gathered.key is not None and stored is not None else nowhere
            self._remembering.submit(agent, key, stored or exchange, used=used)
        if not result.steps and turn.reading is None:
            self._learn(turn, result)

    async def aclose(self) -> None:
        """Finish what goes on in the background, within bounded time."""
        if self._remembering is not None:
            await self._remembering.close()
        if self._summarizer is not None:
            await self._summarizer.close()
        await self.counts.aclose()

    async def _stored(self, turn: AgentTurn, key: ConversationKey, exchange: Exchange) -> Exchange | None:
        """The exchange as it is stored; `None`: it is not, and the turn says why."""
        gathered = turn.gathered
        try:
            store = await asyncio.to_thread(self._engine.sources.conversations)
            position = await asyncio.to_thread(_append, store, key, gathered, exchange)
        except (ConversationChanged, ConversationDeleted):
            raise
        except (ConversationStoreError, InvalidRequest) as error:
            # The answer is there, and paid for.
            _log.warning("an exchange of the agent %s was not kept: %s", gathered.agent.name, error)
            turn.notes = (*turn.notes, f"conversation: this exchange was not kept: {error}")
            return None
        if position is None:
            turn.notes = (*turn.notes, _NOT_THERE)
            return None
        if gathered.thread is None:
            turn.notes = (*turn.notes, _NOT_COMPARED)
        if _sees(gathered):
            asyncio.get_running_loop().run_in_executor(
                None, self._engine.expect, key, gathered.agent, exchange.messages
            )
        self._summarize(turn, key, store)
        return replace(exchange, number=position.length - 1)

    def _summarize(self, turn: AgentTurn, key: ConversationKey, store: ConversationStore) -> None:
        """Have the stored turns that were not sent word for word summarised, for the requests to come."""
        gathered, sent = turn.gathered, turn.contexts.sent
        thread = gathered.thread
        if self._model is None or self._ask is None or sent is None or thread is None or not _sees(gathered):
            return
        until = [thread.position.length, sent.window_from, gathered.history.branched]
        last = min(number for number in until if number is not None) - 1
        if last < 0:
            return
        if self._summarizer is None:
            self._summarizer = Summarizer(self._ask, store, self._model)
        self._summarizer.submit(key, thread, 0, last)

    def _learn(self, turn: AgentTurn, result: LoopResult) -> None:
        """What the provider counted, against what was counted here."""
        sent = turn.contexts.request
        if sent is None or result.usage is None or result.usage.estimated:
            return
        real = usage_prompt_tokens(result.usage, sent.kind)
        if real is not None:
            self.counts.submit(sent, real)


def _append(
    store: ConversationStore, key: ConversationKey, gathered: GatheredContext, exchange: Exchange
) -> Position | None:
    """Behind what the request was compared with, and with what it has brought along.

    A conversation that was not read was not compared either: nobody knows what of the request is there already, or whether a
    conversation that is not there was never begun or is deleted. `None`: nothing is kept.
    """
    if gathered.thread is not None:
        fresh = [Exchange(messages=messages) for messages in gathered.history.fresh]
        return store.append(key, [*fresh, exchange], after=gathered.thread.position)
    after = store.thread(key, last=0).position
    return store.append(key, [exchange], after=after) if after.conversation else None


def _sees(gathered: GatheredContext) -> bool:
    """Whether the agent is shown anything of stored conversations."""
    agent = gathered.agent
    return agent.conversation.strategy != "none" and "conversation" in agent.context.sources
