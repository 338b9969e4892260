"""`caxton chat`: one question from the arguments or standard input, or a conversation on a terminal."""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.caxton import Caxton
from caxton_llm.cli.answer import show_answer
from caxton_llm.cli.repl import Conversation
from caxton_llm.cli.screen import Screen, utf8
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ChatRequest, ChatResponse, Json, Message

__all__ = ["ChatOptions", "run_chat"]


_JSON_FIELDS = (
    "id",
    "model",
    "provider",
    "created",
    "choices",
    "usage",
    "cost_usd",
    "attempts",
    "params",
    "warnings",
    "request_id",
    "service_tier",
    "system_fingerprint",
    "upstream_s",
)


class ChatOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    prompt: str | None
    model: str
    system: str | None
    config: Path | None
    as_json: bool
    max_tokens: int | None
    temperature: float | None
    stream: bool


def run_chat(options: ChatOptions, screen: Screen) -> None:
    """Answer, or converse. Raises `ConfigurationError` and `LlmError`."""
    configuration = load_file(locate(options.config))
    if configuration.streaming is not None and not configuration.streaming.enabled:
        options = replace(options, stream=False)
    if options.system:
        utf8(options.system, "the text of --system")
    caxton = Caxton(configuration)
    prompt = _whole_prompt(options.prompt, at_terminal=screen.in_is_terminal)
    if prompt is None:
        if options.as_json or not screen.out_is_terminal:
            raise typer.BadParameter("a conversation needs a terminal: give a PROMPT, or write it to standard input")
        Conversation(caxton, screen, _request(options, []), system=options.system, stream=options.stream).run()
        return
    messages = [Message(role="user", content=prompt)]
    if options.system:
        messages.insert(0, Message(role="system", content=options.system))
    asyncio.run(_answer_once(caxton, _request(options, messages), options, screen))


async def _answer_once(caxton: Caxton, request: ChatRequest, options: ChatOptions, screen: Screen) -> None:
    async with contextlib.aclosing(caxton):
        if not options.as_json:
            await show_answer(caxton, request, screen, stream=options.stream)
            return
        with screen.waiting(f"waiting for {request.model}"):
            response = await caxton.complete_chat(request)
        screen.write(_as_json(response))


def _request(options: ChatOptions, messages: list[Message]) -> ChatRequest:
    return ChatRequest(
        model=options.model,
        messages=messages,
        max_completion_tokens=options.max_tokens,
        temperature=options.temperature,
    )


def _whole_prompt(argument: str | None, *, at_terminal: bool) -> str | None:
    """The argument and then what is piped in; `None` when a terminal waits for a conversation."""
    if at_terminal and argument != "-":
        return None if argument is None else utf8(argument, "the prompt")
    parts = [part for part in (None if argument == "-" else argument, _piped_text()) if part and part.strip()]
    if not parts:
        raise typer.BadParameter("no prompt: give it as an argument or on standard input")
    return utf8("\n\n".join(parts), "the prompt")


def _piped_text() -> str:
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"standard input is not UTF-8 text (byte {error.start})") from None


def _as_json(response: ChatResponse) -> str:
    """Everything that is known of an answer, as indented JSON; unknown is null."""
    answer: dict[str, Json] = {name: getattr(response, name) for name in _JSON_FIELDS}
    answer = msgspec.to_builtins(answer)
    if response.usage is not None:
        answer["usage"]["estimated"] = answer["usage"].pop(
            "#estimated"
        )  # the common model marks what is not on the wire
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n"
