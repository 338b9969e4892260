"""A conversation on a terminal. Ctrl-C stops a running answer; at the prompt Ctrl-C and Ctrl-D leave."""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from caxton_llm.caxton import Caxton
from caxton_llm.cli.answer import show_answer
from caxton_llm.cli.screen import Screen
from caxton_llm.errors import LlmError
from caxton_llm.types import ChatRequest, Message

__all__ = ["Conversation"]

_HELP = """\
/model NAME   talk to another model; without NAME, list the names
/system TEXT  instructions for the model; without TEXT, none
/reset        forget the conversation
/exit         leave (as Ctrl-D does)
/help         this
A line that begins with a space is never a command."""


class Conversation:
    """Questions from the terminal and answers, with everything said so far sent along.

    `request` says to which model, and with which parameters. A turn whose answer failed or was stopped is not kept.
    """

    def __init__(
        self, caxton: Caxton, screen: Screen, request: ChatRequest, *, system: str | None, stream: bool
    ) -> None:
        self._caxton = caxton
        self._screen = screen
        self._request = request
        self._system = system
        self._stream = stream
        self._said: list[Message] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._set_model,
            "/system": self._set_system,
            "/reset": self._reset,
            "/help": self._help,
        }

    def run(self) -> None:
        """Until the user leaves. Raises `KeyboardInterrupt` for Ctrl-C at the prompt."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401, PLC0415 - gives `input` line editing and a history
        self._screen.note(f"{self._request.model}: {self._where(self._request.model)} · /help · Ctrl-D leaves")
        with asyncio.Runner() as runner:
            try:
                while (line := self._read()) is not None:
                    self._take(line, runner)
            finally:
                runner.run(self._caxton.aclose())

    def _read(self) -> str | None:
        """The next line; `None` when the user leaves."""
        try:
            line = input("> ")
        except EOFError:
            self._screen.line()
            return None
        return None if line.strip() in ("/exit", "/quit") else line

    def _take(self, line: str, runner: asyncio.Runner) -> None:
        if not line.strip():
            return
        try:
            if line.startswith("/"):
                self._obey(line)
            else:
                self._ask(line, runner)
        except LlmError as error:
            self._screen.fail(str(error))

    def _ask(self, text: str, runner: asyncio.Runner) -> None:
        question = Message(role="user", content=text)
        instructions = [Message(role="system", content=self._system)] if self._system else []
        request = replace(self._request, messages=[*instructions, *self._said, question])
        try:
            answer = runner.run(show_answer(self._caxton, request, self._screen, stream=self._stream))
        except KeyboardInterrupt:
            self._screen.note("stopped; this turn is not kept")
            return
        if answer:
            self._said += [question, Message(role="assistant", content=answer)]

    # -- commands -------------------------------------------------------------------------------------------------------

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._screen.fail(
                f"there is no {name}; /help lists the commands, and a leading space sends the line as it is"
            )
        else:
            command(argument.strip())

    def _set_model(self, name: str) -> None:
        if not name:
            for known, target in self._caxton.model_names():
                self._screen.note(f"{known}: {target}")
            return
        where = self._where(name)  # raises for an unknown name, before it is kept
        self._request = replace(self._request, model=name)
        self._screen.note(f"{name}: {where}")

    def _set_system(self, text: str) -> None:
        self._system = text or None
        self._screen.note("instructions set" if text else "no instructions")

    def _reset(self, _argument: str) -> None:
        self._said.clear()
        self._screen.note("the conversation begins anew")

    def _help(self, _argument: str) -> None:
        self._screen.note(_HELP)

    def _where(self, name: str) -> str:
        first = self._caxton.gateway.resolve(name).first
        return " · ".join(part for part in (first.target.name, first.model) if part)
