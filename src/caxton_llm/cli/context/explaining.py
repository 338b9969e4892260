"""`caxton context explain`: prepares the context of a request and shows it."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from caxton_llm.caxton import Caxton
from caxton_llm.cli.context.asked import AskedOptions, request_of
from caxton_llm.cli.context.drawing import draw_context
from caxton_llm.cli.context.payloads import show_payloads
from caxton_llm.cli.screen import Screen
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.context.document_types import ContextDocument
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import ChatRequest

__all__ = ["run_explain"]


def run_explain(
    config: Path | None,
    asked: AskedOptions,
    screen: Screen,
    *,
    providers: Sequence[str],
    payloads: bool,
    as_json: bool,
) -> None:
    """Prepare and show. Raises `ConfigurationError` without agents, and `LlmError`."""
    path = locate(config)
    configuration = load_file(path)
    if not configuration.agents:
        raise ConfigurationError(f"{path} has no `agents` block: contexts are prepared for agents, see docs/agents.md")
    request = request_of(asked, configuration.agents)
    document = asyncio.run(_prepared(Caxton(configuration), request, providers, screen))
    if as_json:
        screen.json(document)
        return
    draw_context(document, screen)
    if payloads:
        show_payloads(document.payloads, screen)
        if not document.payloads:
            screen.note("no request over HTTP: name a provider with --provider openai, for instance", style="")


async def _prepared(caxton: Caxton, request: ChatRequest, providers: Sequence[str], screen: Screen) -> ContextDocument:
    async with contextlib.aclosing(caxton):
        agents = caxton.agents
        if agents is not None:
            agents.check_names(request, providers=providers)  # before any program of tools is started
        servers = None if agents is None else agents.engine.sources.servers
        with screen.waiting("preparing the context") as waiting:
            if servers is not None:
                waiting.label = "starting the servers of tools"
                await servers.start()  # a request would go on without those that are slow
                waiting.label = "preparing the context"
            return await caxton.prepare_context(request, providers=providers)
