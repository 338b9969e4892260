"""What is kept of a conversation when it goes on: memories taken out of it, and which memories were of use.

Nothing here stands in the path of a request: what an exchange taught waits in a bounded queue, and is written by a thread
while the caller has its answer already.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.background import end_tasks, of_this_loop
from caxton_llm.context.conversation.spoken import text_of
from caxton_llm.context.render.fence import DATA_NOTE, fenced
from caxton_llm.errors import LlmError
from caxton_llm.memory.lessons import Heard, Stated, entities_of, stated_in, turns_of
from caxton_llm.memory.model import Record, Turn
from caxton_llm.memory.proposals import PROPOSALS_SCHEMA, PROPOSE, UnreadableProposals, read_proposals
from caxton_llm.memory_system import Memory
from caxton_llm.types import ChatRequest, ChatResponse, JsonSchemaFormat, Message, ResponseFormat

__all__ = ["Ask", "Learned", "Remembering", "conversation_in_memory"]

Ask = Callable[[ChatRequest], Awaitable[ChatResponse]]
"""How a model is asked: `Gateway.complete`."""

_log = logging.getLogger("caxton_llm.memory")


class Learned(Struct, frozen=True, kw_only=True):
    """What became of an exchange. `turns` and `entities` are those that were written and not there before in this form.

    `known` counts observations that were there already, `unsupported` those of the model that nobody had said, `left_out`
    turns of a longer history that the exchange brought along. `problem` says why the configured model did not extract.
    """

    turns: int = 0
    entities: int = 0
    known: int = 0
    unsupported: int = 0
    left_out: int = 0
    used: int = 0
    """Memories whose use was recorded."""
    problem: str | None = None


class _Waiting(Struct, frozen=True):
    agent: Agent
    key: ConversationKey
    exchange: Exchange
    used: tuple[str, ...]
    size: int


class _Extracted(Struct, frozen=True):
    stated: Sequence[Stated] = ()
    unsupported: int = 0
    problem: str | None = None


class Remembering:
    """Learns from exchanges, one after the other. Its methods belong to the event loop; the memory is used in threads.

    `ask` is needed for agents that have an `extractor`. At most `most_waiting` exchanges wait, of `most_bytes`
    together; a model has `model_s` seconds.
    `now` is the time of day in seconds since 1970, for exchanges that do not say when they were.
    """

    def __init__(
        self,
        memory: Memory,
        ask: Ask | None = None,
        *,
        most_waiting: int = 1_000,
        most_bytes: int = 64 * 1024 * 1024,
        model_s: float = 60.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._ask = ask
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._bytes = 0
        self._model_s = model_s
        self._now = now
        self._waiting: deque[_Waiting] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_full = False
        self.learned = 0
        """Exchanges that were learned from."""
        self.not_stored = 0
        """Exchanges of which nothing was kept: too many waited, the memory failed, or the end came first."""
        self.without_model = 0
        """Exchanges for which the configured model failed, so that the rules extracted."""
        self.unsupported = 0
        """Observations of models that nobody had said."""

    @property
    def waiting(self) -> int:
        """Exchanges that are to be learned from."""
        return len(self._waiting)

    def submit(self, agent: Agent, key: ConversationKey, exchange: Exchange, *, used: Sequence[str] = ()) -> bool:
        """Learn from the exchange later. False where too many wait already: then it is not learned from, and the older ones
        keep their places."""
        if not agent.memory.auto_store and not used:
            return True
        exchange = _to_learn(exchange) if agent.memory.auto_store else replace(exchange, messages=())
        size = sum(len(text_of(message).encode(errors="replace")) for message in exchange.messages)
        if len(self._waiting) >= self._most_waiting or self._bytes + size > self._most_bytes:
            self.not_stored += 1
            if not self._is_full:
                _log.error(
                    "%d exchanges wait to be remembered; until there are fewer, new ones are not", len(self._waiting)
                )
            self._is_full = True
            return False
        self._is_full = False
        self._waiting.append(_Waiting(agent, key, exchange, tuple(used), size))
        self._bytes += size
        if not any(not task.done() for task in of_this_loop(self._tasks)):
            self._tasks = [asyncio.get_running_loop().create_task(self._work(), name="caxton-remembering")]
        return True

    async def learn(
        self, agent: Agent, key: ConversationKey, exchange: Exchange, *, used: Sequence[str] = ()
    ) -> Learned:
        """Write what the exchange taught, if the agent has `auto_store`, and that the memories `used` were of use.

        `used` are ids of memories that were in a prompt which was answered. Raises `InvalidRequest` and `MemoryStoreError`.
        """
        at = self._now() if exchange.at is None else exchange.at
        heard = _heard(agent, key, at)
        records: list[Record] = []
        extracted, left_out = _Extracted(), 0
        if agent.memory.auto_store:
            every, stated = await asyncio.to_thread(_by_rules, exchange, heard)
            turns = _last_pair(every, exchange.number)
            left_out = len(every) - len(turns)
            extracted = await self._extracted(agent.memory.extractor, turns, stated)
            records = [*turns, *entities_of(extracted.stated, heard)]
        self.unsupported += extracted.unsupported
        self.without_model += extracted.problem is not None
        written = await asyncio.to_thread(self._write, records, used, heard.tenant)
        self.learned += 1
        return replace(written, unsupported=extracted.unsupported, left_out=left_out, problem=extracted.problem)

    async def close(self, within_s: float = 5.0) -> None:
        """Learn from what waits, for at most `within_s` seconds; what then still waits is counted in `not_stored`."""
        tasks, self._tasks = of_this_loop(self._tasks), []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.gather(*tasks)
        await end_tasks(tasks)
        if self._waiting:
            _log.error("%d exchanges were not remembered: the end came before their turn", len(self._waiting))
            self.not_stored += len(self._waiting)
            self._waiting.clear()
            self._bytes = 0

    # -- the background -------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Ends when nothing waits; what keeps its place while it is worked on still counts as waiting."""
        while self._waiting:
            one = self._waiting[0]
            try:
                learned = await self.learn(one.agent, one.key, one.exchange, used=one.used)
            except Exception as error:  # noqa: BLE001 - one bad exchange must not keep the others from being remembered
                self.not_stored += 1
                # The message of a foreign error might tell contents.
                what = error if isinstance(error, LlmError) else type(error).__name__
                _log.error("an exchange of the agent %s was not remembered: %s", one.agent.name, what)
            else:
                if learned.problem is not None:
                    _log.warning("the agent %s: %s", one.agent.name, learned.problem)
            self._waiting.popleft()
            self._bytes -= one.size

    def _write(self, records: Sequence[Record], used: Sequence[str], tenant: str) -> Learned:
        written = self._memory.add(records) if records else []
        changed = [record for record, one in zip(records, written, strict=True) if one.action != "unchanged"]
        turns = sum(isinstance(record, Turn) for record in changed)
        known = sum(one.duplicates for one in written)
        counted = self._memory.note_used(used, tenant=tenant) if used else 0
        return Learned(turns=turns, entities=len(changed) - turns, known=known, used=counted)

    # -- extraction -----------------------------------------------------------------------------------------------------

    async def _extracted(self, extractor: str | None, turns: Sequence[Turn], by_rules: Sequence[Stated]) -> _Extracted:
        """By the model, if there is one and the user has said something; by the rules otherwise, and where it fails."""
        if extractor is None or not any(turn.role == "user" for turn in turns):
            return _Extracted(by_rules)
        try:
            answer = await self._answer(extractor, turns)
            proposals = read_proposals(answer, turns)
        except LlmError as error:
            problem = error.kind
        except TimeoutError:
            problem = f"no answer within {self._model_s:g} s"
        except UnreadableProposals as error:
            problem = str(error)
        else:
            return _Extracted(proposals.stated, proposals.dropped)
        told = f"the extractor {extractor} failed ({problem}); what was worth remembering was found by rules"
        return _Extracted(by_rules, problem=told)

    async def _answer(self, extractor: str, turns: Sequence[Turn]) -> str:
        if self._ask is None:
            raise UnreadableProposals("there is no gateway to ask it through")
        async with asyncio.timeout(self._model_s):
            response = await self._ask(_question(extractor, turns))
        if response.degraded:
            raise UnreadableProposals("the answer is the degraded one")
        return response.text


def _to_learn(exchange: Exchange) -> Exchange:
    """What of an exchange is learned from: what was said in words. Pictures and results of tools need not wait with it."""
    said = [message for message in exchange.messages if message.role in ("user", "assistant")]
    words = [Message(role=message.role, name=message.name, content=text_of(message)) for message in said]
    return replace(exchange, messages=tuple(words))


def conversation_in_memory(agent: Agent, key: ConversationKey) -> str:
    """What a conversation is called in the memory. Where agents share a memory the agent's name stands before it, for each
    agent has its own conversation of that name."""
    return key.conversation if agent.memory.scope == "agent" else f"{agent.name}/{key.conversation}"


def _heard(agent: Agent, key: ConversationKey, at: float) -> Heard:
    return Heard(
        conversation=conversation_in_memory(agent, key),
        agent=agent.name,
        scope=agent.memory.scope,
        workspace=agent.memory.workspace,
        tenant=agent.memory.tenant or key.tenant,
        at=at,
    )


def _by_rules(exchange: Exchange, heard: Heard) -> tuple[list[Turn], list[Stated]]:
    return turns_of(exchange.messages, heard=heard, first_index=0), stated_in(exchange.messages)


def _last_pair(turns: Sequence[Turn], number: int) -> list[Turn]:
    """What was asked last and its answer, at the places of the exchange's number: two for each exchange, so that learning
    again changes nothing and the turns of exchanges stand beside each other.

    What came before in the same exchange is a history that the caller has brought.
    """
    asked = max((turn.index for turn in turns if turn.role == "user"), default=-1)
    answered = max((turn.index for turn in turns if turn.role == "assistant"), default=-1)
    return [
        replace(turn, index=2 * number + (turn.role == "assistant"))
        for turn in turns
        if turn.index == asked or (turn.index == answered and answered > asked)
    ]


def _question(extractor: str, turns: Sequence[Turn]) -> ChatRequest:
    said = "\n\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
    return ChatRequest(
        model=extractor,
        messages=[
            Message(role="system", content=f"{PROPOSE}\n\n{DATA_NOTE}"),
            Message(role="user", content=fenced("conversation", said)),
        ],
        response_format=ResponseFormat(
            type="json_schema",
            json_schema=JsonSchemaFormat(name="memories", schema=PROPOSALS_SCHEMA, strict=True),
        ),
    )
