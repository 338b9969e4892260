"""Agents over HTTP: which there are, what they can do, a chat with one, and the context that a request would get."""

from starlette.responses import Response

from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.caxton import Caxton
from caxton_llm.context.document_types import ContextDocument
from caxton_llm.server.agents.service import agents_of
from caxton_llm.server.agents.shapes import (
    AgentChatBody,
    AgentList,
    CapabilityList,
    ChatCompletion,
    PrepareBody,
    agent_list,
    capability_list,
)
from caxton_llm.server.chat import ChatEndpoint, with_conversation
from caxton_llm.server.exchange import HttpExchange, Receive, Scope, Send
from caxton_llm.server.operation import Call, NoBody, NoQuery, Operation, operation
from caxton_llm.timers import FixedDelay
from caxton_llm.wire.openai_chat import client as openai_chat_client

__all__ = ["AGENTS_PATH", "agent_operations"]

AGENTS_PATH = "/api/v1/agents"


def agent_operations(caxton: Caxton, chat: ChatEndpoint, patience: FixedDelay) -> list[Operation]:
    """All operations of agents, whether there are any or not. `chat` answers OpenAI's clients; `patience` is how long a
    request runs unwatched."""
    return [*_lists(caxton), _chat(caxton, chat, patience), _prepare(caxton)]


def _lists(caxton: Caxton) -> list[Operation]:
    registry = CapabilityRegistry(()) if caxton.agents is None else caxton.agents.registry

    async def agents(_call: Call[NoQuery, NoBody]) -> AgentList:
        return agent_list(registry)

    async def capabilities(_call: Call[NoQuery, NoBody]) -> CapabilityList:
        return capability_list(registry)

    what = "Everything that agents can do"
    return [
        operation("GET", AGENTS_PATH, "The agents", agents, query=NoQuery, body=NoBody, answer=AgentList),
        operation("GET", "/api/v1/capabilities", what, capabilities, query=NoQuery, body=NoBody, answer=CapabilityList),
    ]


def _chat(caxton: Caxton, chat: ChatEndpoint, patience: FixedDelay) -> Operation:
    async def answer(call: Call[NoQuery, AgentChatBody]) -> Response:
        agents_of(caxton)
        return _Chat(chat, f"agent:{call.request.path_params['name']}", patience)

    return operation(
        "POST",
        f"{AGENTS_PATH}/{{name}}/chat",
        "Ask an agent",
        answer,
        query=NoQuery,
        body=AgentChatBody,
        takes="unread",
        answer=ChatCompletion,
    )


class _Chat(Response):
    """The answer of the chat endpoint, which reads the request and writes the response by itself."""

    def __init__(self, chat: ChatEndpoint, model: str, patience: FixedDelay) -> None:
        super().__init__()
        self._chat = chat
        self._model = model
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._chat(HttpExchange(scope, receive, send, patience=self._patience), model=self._model)


def _prepare(caxton: Caxton) -> Operation:
    async def prepared(call: Call[NoQuery, PrepareBody]) -> ContextDocument:
        agents_of(caxton)
        headers = dict(call.request.headers)
        request = openai_chat_client.decode_request(await call.read_body(), headers)
        return await caxton.prepare_context(with_conversation(request, headers))

    return operation(
        "POST",
        "/api/v1/context/prepare",
        "The context that a request would get, with what was left out and why; nothing is sent and nothing is kept",
        prepared,
        query=NoQuery,
        body=PrepareBody,
        takes="unread",
        answer=ContextDocument,
    )
