"""The specification's scene: a report agent, a conversation about Q3 sales, memories of what reports look like, two tools."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from caxton_llm.agents.agent import Agent, AgentContext, Capability
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.context_engine.engine import ContextEngine
from caxton_llm.context_engine.sources import ContextSources, SourceLimits
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import ChatRequest, Message
from mcp_running import program, running

__all__ = ["KEY", "REPORTS", "REQUEST", "scene"]

_SERVER = Path(__file__).parents[1] / "examples/report_tools.py"
KEY = ConversationKey("q3", agent="Reporter")
REPORTS = Agent(
    name="Reporter",
    description="Writes quarterly reports",
    system_prompt="You are a report generation expert specialized in quarterly business analysis.",
    offers=(
        Capability(
            name="report-generation",
            input_formats=("json", "csv"),
            output_formats=("pdf",),
            performance_sla="< 30 seconds for standard reports",
            related=("data-visualization", "chart-generation", "pdf-creation"),
        ),
    ),
    tools=("*",),
    context=AgentContext(budget=3000),
)
SAID = [
    ("Analyze Q3 sales data", "I'll process the sales data and generate the quarterly summary..."),
    ("Include YoY comparison charts", "I'll add year-over-year comparison visualizations to the report..."),
]
MEMORIES = [
    Entity(
        name="Q3 Sales Analysis Pattern",
        type="report_templates",
        observations=(
            Observation("Standard quarterly reports include revenue trends, regional breakdowns, YoY comparisons"),
        ),
    ),
    Entity(
        name="PDF Report Template Preferences",
        type="user_preferences",
        observations=(
            Observation("Users prefer executive summary on page 1, detailed charts on page 2-3 of a quarterly report"),
        ),
    ),
    Entity(name="Lunch", observations=(Observation("The canteen serves soup on Mondays"),)),
]
REQUEST = ChatRequest(
    model="capability:report-generation",
    messages=[Message(role="user", content="Please generate the final quarterly PDF report now.")],
    extra={
        "context": {
            "requesting_agent": "DataProcessor",
            "request_parameters": {"format": "pdf", "template": "quarterly-summary"},
            "context_requirements": {"conversation_depth": 5, "memory_similarity_threshold": 0.5},
        }
    },
)


@contextlib.asynccontextmanager
async def scene(folder: Path, agent: Agent = REPORTS) -> AsyncIterator[ContextEngine]:
    """An engine over real stores and a real server of tools, with everything that the scene has."""
    exchanges = [
        Exchange(messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)))
        for asked, answered in SAID
    ]
    with ConversationStore(folder / "conversations") as conversations:
        conversations.append(KEY, exchanges)
    with Memory.open(folder / "memory") as memory:
        memory.add(MEMORIES)
        async with running(program(_SERVER, name="reports")) as servers:
            await servers.start()
            patient = SourceLimits(conversation_s=30.0, memory_s=30.0, tools_s=30.0)
            sources = ContextSources(folder / "conversations", memory=memory, servers=servers, limits=patient)
            try:
                yield ContextEngine(CapabilityRegistry([agent]), sources)
            finally:
                await sources.aclose()
