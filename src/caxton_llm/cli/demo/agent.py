"""The agent of the demonstration at work: its context, the requests that it becomes, its tools, its answer."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from caxton_llm.agent_service import AgentService
from caxton_llm.caxton import Caxton
from caxton_llm.cli.context.drawing import draw_context
from caxton_llm.cli.context.payloads import show_payloads
from caxton_llm.cli.demo.scene import PROVIDERS, fill, scene_configuration, scene_request, tools_program
from caxton_llm.cli.screen import Screen
from caxton_llm.errors import LlmError
from caxton_llm.types import ChatRequest, ChatStream, Json

__all__ = ["show_agent"]


def show_agent(screen: Screen) -> str:
    """Show it; returns what went wrong, which is usually nothing. What is kept meanwhile is removed."""
    program = tools_program()
    if program is None:
        screen.line()
        screen.line("An agent is shown where the source is: its tools are examples/report_tools.py.", "dim")
        return ""
    with tempfile.TemporaryDirectory(prefix="caxton-demo-") as folder:
        try:
            return asyncio.run(_Scene(screen).run(scene_configuration(Path(folder), program)))
        except LlmError as error:
            screen.line(f"failed: {error}", "bold red")
            return str(error)


class _Scene:
    """One run."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._failed = ""

    async def run(self, configuration: dict[str, Json]) -> str:
        caxton = Caxton.from_dict(configuration)
        async with contextlib.aclosing(caxton):
            assert caxton.agents is not None  # noqa: S101 - the configuration has one
            await self._set(caxton.agents)
            await self._show_context(caxton)
            await self._show_answer(caxton, scene_request())
        return self._failed

    async def _set(self, agents: AgentService) -> None:
        sources = agents.engine.sources
        assert sources.servers is not None  # noqa: S101 - the configuration has one
        with self._screen.waiting("an agent gets its tools, its memory and a conversation"):
            await asyncio.gather(sources.servers.start(), asyncio.to_thread(fill, sources))

    async def _show_context(self, caxton: Caxton) -> None:
        screen = self._screen
        with screen.waiting("preparing a context"):
            document = await caxton.prepare_context(scene_request(), providers=PROVIDERS)
        screen.line()
        screen.line("An agent: its context is chosen from a conversation, a memory and two MCP tools", "bold cyan")
        screen.line("An agent called DataProcessor asks for report-generation; Reporter offers it.")
        screen.line()
        draw_context(document, screen)
        screen.line()
        screen.line("The same context, as three providers are sent it (long texts are cut)", "bold cyan")
        show_payloads(document.payloads, screen, short=True)
        if document.context_metadata.sources_missing:
            self._failed = "a source of the context is missing"

    async def _show_answer(self, caxton: Caxton, request: ChatRequest) -> None:
        screen = self._screen
        screen.line()
        screen.line("The agent works", "bold cyan")
        async with caxton.stream_chat(request) as stream:
            await self._follow(stream)
        screen.line("The conversation has kept the request, the calls with their results, and the answer.", "dim")

    async def _follow(self, stream: ChatStream) -> None:
        screen = self._screen
        begun = False
        async for chunk in stream:
            if chunk.progress is not None:
                self._show_progress(chunk.progress)
            for choice in chunk.choices:
                if choice.delta.content:
                    screen.write(choice.delta.content if begun else f"← {choice.delta.content}")
                    begun = True
        screen.write("\n")
        if not begun:
            self._failed = "the answer is empty"

    def _show_progress(self, progress: dict[str, Json]) -> None:
        tool, state = progress["tool"], progress["state"]
        if state in ("started", "running"):
            self._screen.line(f"→ {tool} {progress.get('message') or state}", "green")
            return
        self._screen.line(
            f"→ {tool} {state} after {progress['seconds']:.2f} s", "green" if state == "done" else "bold red"
        )
        if state == "failed":
            self._failed = f"the tool {tool} failed"
