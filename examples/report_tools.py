"""An MCP server with two tools that say which context they need: reports as PDF, charts as SVG.

    python examples/report_tools.py            over standard input and output

Both write a file into a temporary folder and say where. The server's resources are the data that the tools ask for under
`tool_data`. See docs/mcp-tools.md.
"""

import json
import tempfile
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.types import Annotations, ToolAnnotations
from pydantic import Field

Template = Literal["quarterly-summary", "executive-brief", "detailed-analysis"]
ChartType = Literal["bar", "line", "pie", "trend"]

REPORT_CONTEXT = {
    "conversation_depth": 3,
    "memory_search": {
        "query_template": "PDF report {{report_type}} {{business_context}}",
        "max_results": 8,
        "focus_areas": ["report_templates", "user_preferences", "formatting_standards"],
    },
    "tool_data": ["template_library", "user_style_preferences", "recent_generation_stats"],
    "provider_optimization": {
        "openai": {"structured_output": True, "max_context_tokens": 6000},
        "anthropic": {"tool_use_format": True, "max_context_tokens": 8000},
    },
}
CHART_CONTEXT = {
    "conversation_depth": 2,
    "tool_data": ["recent_chart_preferences", "performance_data"],
}
FOR_MODELS = Annotations(audience=["assistant"], priority=0.8)

server = MCPServer("report-tools")


@server.tool(
    description="Generate a PDF report from data with templating support",
    meta={"caxton/context_requirements": REPORT_CONTEXT},
    annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True),
)
def generate_pdf_report(
    template: Annotated[Template, Field(description="Report template to use")],
    data: dict[str, Any],
    chart_preferences: Annotated[list[str] | None, Field(description="Preferred chart types")] = None,
) -> dict[str, Any]:
    lines = [f"Report: {template}", *(f"{name}: {json.dumps(value)}" for name, value in data.items())]
    if chart_preferences:
        lines.append(f"Charts: {', '.join(chart_preferences)}")
    path = _folder() / f"{template}.pdf"
    path.write_bytes(_pdf(lines))
    return {"path": str(path), "pages": 1, "template": template}


@server.tool(
    description="Create charts and visualizations",
    meta={"caxton/context_requirements": CHART_CONTEXT},
    annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True),
)
def chart_creator(
    title: str,
    values: Annotated[dict[str, float], Field(description="A number for each label")],
    chart_type: ChartType = "bar",
) -> dict[str, Any]:
    path = _folder() / f"{chart_type}.svg"
    path.write_text(_svg(title, values), encoding="utf-8")
    return {"path": str(path), "chart_type": chart_type, "values": len(values)}


@server.resource("reports://data/template_library", mime_type="application/json", annotations=FOR_MODELS)
def template_library() -> str:
    return json.dumps(
        {
            "available_templates": ["quarterly-summary", "executive-brief", "detailed-analysis"],
            "supported_chart_types": ["bar", "line", "pie", "trend"],
        }
    )


@server.resource("reports://data/user_style_preferences", mime_type="application/json", annotations=FOR_MODELS)
def user_style_preferences() -> str:
    return json.dumps({"layout": "executive summary on page 1, detailed charts on page 2-3", "font": "Helvetica"})


@server.resource("reports://data/recent_generation_stats", mime_type="application/json", annotations=FOR_MODELS)
def recent_generation_stats() -> str:
    return json.dumps({"reports_last_week": 12, "average_seconds": 11.4, "performance_sla": "< 30 seconds"})


@server.resource("charts://data/recent_chart_preferences", mime_type="application/json", annotations=FOR_MODELS)
def recent_chart_preferences() -> str:
    return json.dumps(["YoY comparison bars", "regional pie charts"])


@server.resource("charts://data/performance_data", mime_type="text/plain", annotations=FOR_MODELS)
def performance_data() -> str:
    return "average generation time: 2.3s"


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="report-tools-"))


def _pdf(lines: list[str]) -> bytes:
    """One page of text, as the smallest PDF that readers open."""
    shown = [line.encode("latin-1", "replace").decode("latin-1") for line in lines]
    for character in "\\()":
        shown = [line.replace(character, f"\\{character}") for line in shown]
    text = "BT /F1 12 Tf 72 770 Td 16 TL " + " ".join(f"({line}) Tj T*" for line in shown) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    start = len(body)
    body += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    body += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return body.encode("latin-1")


def _svg(title: str, values: dict[str, float]) -> str:
    """A bar for each value, whatever the type of the chart: it is an example."""
    largest = max((abs(value) for value in values.values()), default=1.0) or 1.0
    bars = []
    for index, (label, value) in enumerate(values.items()):
        height = round(abs(value) / largest * 200)
        x = 20 + index * 60
        bars.append(f'<rect x="{x}" y="{240 - height}" width="40" height="{height}" fill="#4477aa"/>')
        bars.append(f'<text x="{x}" y="256" font-size="11">{escape(label)}</text>')
    width = max(200, 40 + len(values) * 60)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="270">'
        f'<text x="20" y="24" font-size="16">{escape(title)}</text>{"".join(bars)}</svg>\n'
    )


if __name__ == "__main__":
    server.run()
