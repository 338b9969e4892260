"""The agent of the demonstration, as the specification has it: reports, what was said about Q3, what is known of reports."""

import sys
from pathlib import Path

from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.context_engine.sources import ContextSources
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.types import ChatRequest, Json, Message

__all__ = ["PROVIDERS", "fill", "scene_configuration", "scene_request", "tools_program"]

PROVIDERS = ("openai", "anthropic", "ollama")
"""Kinds that the prepared context is shown for."""
_AGENT = "Reporter"
_CONVERSATION = "q3"
_PATIENCE_MS = 10_000
"""Nothing is left out of a demonstration because a machine is slow."""
_REPORTER: dict[str, Json] = {
    "name": _AGENT,
    "system_prompt": "You are a report generation expert specialized in quarterly business analysis.",
    "capabilities": [
        {
            "name": "report-generation",
            "input_formats": ["json", "csv"],
            "output_formats": ["pdf"],
            "performance_sla": "< 30 seconds for standard reports",
            "related": ["data-visualization", "chart-generation", "pdf-creation"],
        }
    ],
    "tools": ["reports.*"],
    "context": {"budget": 1800},
}
_STEPS: list[Json] = [
    {
        "tool": "chart_creator",
        "arguments": {"title": "Q3 revenue in M", "values": {"North": 4.1, "South": 2.9, "West": 3.6}},
    },
    {
        "tool": "generate_pdf_report",
        "arguments": {
            "template": "quarterly-summary",
            "data": {"quarter": "Q3", "revenue_M": 10.6, "year_over_year": "+8 %"},
            "chart_preferences": ["YoY comparison bars"],
        },
    },
    {
        "text": "The quarterly report is ready: the executive summary on page 1, and the year-over-year comparison as bars.",
        "chunk_delay_ms": 15,
    },
]
_SAID = (
    ("Analyze Q3 sales data", "I'll process the sales data and generate the quarterly summary..."),
    ("Include YoY comparison charts", "I'll add year-over-year comparison visualizations to the report..."),
)
_KNOWN = (
    (
        "Q3 Sales Analysis Pattern",
        "report_templates",
        "Standard quarterly reports include revenue trends, regional breakdowns, YoY comparisons",
    ),
    (
        "PDF Report Template Preferences",
        "user_preferences",
        "Users prefer executive summary on page 1, detailed charts on page 2-3 of a quarterly report",
    ),
    ("Report Wishes", "user_preferences", "Include YoY comparison charts"),
    ("Canteen", "place", "The canteen serves soup on Mondays"),
)


def tools_program() -> Path | None:
    """The server of the agent's tools, which comes with the source; `None` where it is not there."""
    program = Path(__file__).parents[4] / "examples" / "report_tools.py"
    return program if program.is_file() else None


def scene_configuration(folder: Path, program: Path) -> dict[str, Json]:
    """Everything that is kept is in `folder`, also what the tools write."""
    patience = {"conversation_ms": _PATIENCE_MS, "memory_ms": _PATIENCE_MS, "tools_ms": _PATIENCE_MS}
    server = {
        "name": "reports",
        "command": sys.executable,
        "args": [str(program)],
        "env": {"TMPDIR": str(folder)},
    }
    return {
        "llm": {"provider": "builtin", "script": {"steps": _STEPS}},
        "agents": [_REPORTER],
        "memory": {"path": str(folder / "memory")},
        "mcp": {"servers": [server]},
        "context": {"time_limits": patience, "conversations": {"data_dir": str(folder / "conversations")}},
    }


def fill(sources: ContextSources) -> None:
    """Write what was said and what is known. Blocks."""
    exchanges = [
        Exchange(messages=(Message(role="user", content=asked), Message(role="assistant", content=answered)))
        for asked, answered in _SAID
    ]
    sources.conversations().append(ConversationKey(_CONVERSATION, agent=_AGENT), exchanges)
    assert sources.memory is not None  # noqa: S101 - the configuration has one
    sources.memory.add([Entity(name=name, type=kind, observations=(Observation(text),)) for name, kind, text in _KNOWN])


def scene_request() -> ChatRequest:
    """What the agent is asked, on behalf of another one."""
    return ChatRequest(
        model="capability:report-generation",
        messages=[Message(role="user", content="Please generate the final quarterly PDF report now.")],
        extra={
            "conversation_id": _CONVERSATION,
            "context": {
                "requesting_agent": "DataProcessor",
                "request_parameters": {"format": "pdf", "template": "quarterly-summary"},
                "context_requirements": {"conversation_depth": 5, "memory_similarity_threshold": 0.5},
            },
        },
    )
