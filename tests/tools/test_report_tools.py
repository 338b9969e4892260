"""The example server of the documentation: its tools, and that all data they ask for is found."""

from pathlib import Path

from caxton_llm.config.load import load_tool_file
from caxton_llm.tool_specs import ToolOutcome
from mcp_running import call, program, running, spec_of

ROOT = Path(__file__).parents[2]
SPECIFIED = ROOT / "tests/config/spec_blocks/10_pdf_generator.yaml"


def content(outcome: ToolOutcome) -> bytes:
    path: str = outcome.structured["path"]
    return Path(path).read_bytes()


async def test_both_tools_write_a_file_and_all_their_data_is_there() -> None:
    async with running(program(ROOT / "examples/report_tools.py", name="reports")) as servers:
        pdf = await spec_of(servers, "generate_pdf_report")
        chart = await spec_of(servers, "chart_creator")
        assert pdf.requirements == load_tool_file(SPECIFIED, {}).context_requirements
        assert chart.requirements is not None
        wanted = (*pdf.requirements.tool_data, *chart.requirements.tool_data)
        gathered = await servers.data("reports", wanted)
        report = await call(servers, "generate_pdf_report", template="quarterly-summary", data={"Q3": "up (again)"})
        drawing = await call(servers, "chart_creator", title="YoY", values={"2025": 3.0, "2026": 4.0})
    assert gathered.missing == ()
    assert {data.key for data in gathered.found} == set(wanted)
    assert content(report).startswith(b"%PDF-1.4")
    assert b"up \\(again\\)" in content(report)
    assert content(drawing).startswith(b"<svg")
