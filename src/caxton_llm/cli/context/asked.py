"""The request that a command line means."""

from collections.abc import Sequence
from pathlib import Path

import typer
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent
from caxton_llm.cli.files import reading
from caxton_llm.cli.screen import utf8
from caxton_llm.types import ChatRequest, Json, Message
from caxton_llm.wire.openai_chat import client as openai_chat_client

__all__ = ["AskedOptions", "request_of"]


class AskedOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    request: Path | None
    agent: str | None
    capability: str | None
    message: str | None
    conversation: str | None
    parameters: Sequence[str]


def request_of(options: AskedOptions, agents: Sequence[Agent]) -> ChatRequest:
    """Raises `typer.BadParameter` and `InvalidRequest`."""
    if options.agent is not None and options.capability is not None:
        raise typer.BadParameter("give --agent or --capability, not both")
    if (options.request is None) == (options.message is None):
        raise typer.BadParameter("give a REQUEST or --message TEXT, one of them")
    if options.message is None:
        request = _read(options.request or Path("-"))
    else:
        request = ChatRequest(messages=[Message(role="user", content=utf8(options.message, "the message"))])
    if options.conversation is not None:
        extra = {**request.extra, "conversation_id": utf8(options.conversation, "the conversation")}
        request = replace(request, extra=extra, source=None)
    if options.parameters:
        request = replace(request, extra={**request.extra, "context": _context(request, options)}, source=None)
    return replace(request, model=_model(options, request.model, agents))


def _read(source: Path) -> ChatRequest:
    with reading(source) as file:
        return openai_chat_client.decode_request(file.read(), {})


def _context(request: ChatRequest, options: AskedOptions) -> dict[str, Json]:
    """What the request says beside its messages, with the parameters of the command line, which count more."""
    parameters: dict[str, Json] = {}
    for text in options.parameters:
        name, equals, value = utf8(text, "the parameter").partition("=")
        if not equals or not name:
            raise typer.BadParameter("a --parameter is NAME=VALUE")
        parameters[name] = value
    context = request.extra_value("context")
    said = context if isinstance(context, dict) else {}
    before = said.get("request_parameters")
    return {**said, "request_parameters": {**(before if isinstance(before, dict) else {}), **parameters}}


def _model(options: AskedOptions, asked: str, agents: Sequence[Agent]) -> str:
    if options.agent is not None:
        return f"agent:{utf8(options.agent, 'the agent')}"
    if options.capability is not None:
        return f"capability:{utf8(options.capability, 'the capability')}"
    if asked != "default":
        return asked
    if len(agents) == 1:
        return f"agent:{agents[0].name}"
    names = ", ".join(agent.name for agent in agents)
    raise typer.BadParameter(f"say who is asked, with --agent or in the request: there is {names}")
