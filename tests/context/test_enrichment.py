"""What a tool's data add to its description and its schema, and that no text ends its fence."""

import re

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.render.enrichment import enriched
from caxton_llm.context.render.fence import fenced
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import Json

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "template": {"type": "string", "description": "Report template to use"},
        "chart_types": {"type": "array", "items": {"type": "string"}},
        "mode": {"type": "string", "enum": ["fast", "good"]},
        "data": {"type": "object"},
    },
}
TOOL = ToolSpec(
    name="generate_pdf_report",
    server="reports",
    remote_name="generate_pdf_report",
    description="Generate a PDF report",
    input_schema=SCHEMA,
    requirements=None,
)
TEMPLATES = ["quarterly-summary", "executive-brief", "detailed-analysis"]


def data(key: str, value: Json) -> tuple[str, Json]:
    return key, value


def test_choices_stand_in_the_description_and_become_the_enum_of_their_parameter() -> None:
    tool = enriched(TOOL, [data("available_templates", TEMPLATES)], style="openai")
    assert tool.description == (
        "Generate a PDF report. Available templates: quarterly-summary, executive-brief, detailed-analysis."
    )
    assert tool.input_schema["properties"]["template"] == {
        "type": "string",
        "description": "Report template to use",
        "enum": TEMPLATES,
    }
    assert "enum" not in SCHEMA["properties"]["template"]


def test_the_fields_of_an_object_are_facts_of_their_own_and_lists_of_named_things_are_choices() -> None:
    value = {"templates": [{"name": one, "pages": 3} for one in TEMPLATES], "average_time": "2.3s"}
    tool = enriched(TOOL, [data("template_library", value)], style="anthropic")
    assert tool.description.startswith("Generate a PDF report. Context: Templates: quarterly-summary")
    assert "Average time: 2.3s." in tool.description
    assert tool.input_schema["properties"]["template"]["enum"] == TEMPLATES


def test_items_of_a_list_get_their_choices() -> None:
    tool = enriched(TOOL, [data("supported_chart_types", ["bar", "line"])], style="local")
    assert tool.input_schema["properties"]["chart_types"]["items"] == {"type": "string", "enum": ["bar", "line"]}


def test_choices_that_a_schema_has_stay_and_nothing_else_is_changed() -> None:
    tool = enriched(TOOL, [data("available_modes", ["other"]), data("statistics", "fine")], style="openai")
    assert tool.input_schema == SCHEMA
    assert enriched(TOOL, [], style="openai") is TOOL
    assert enriched(TOOL, [data("templates", [])], style="openai") is TOOL


def test_local_models_are_told_choices_alone() -> None:
    tool = enriched(TOOL, [data("templates", TEMPLATES), data("statistics", "average 2.3s")], style="local")
    assert "2.3s" not in tool.description
    assert "Templates: quarterly-summary" in tool.description


def test_the_order_in_which_data_come_does_not_matter() -> None:
    every = [data("templates", TEMPLATES), data("a", "b"), data("chart_types", ["bar"])]
    assert enriched(TOOL, every, style="openai") == enriched(TOOL, every[::-1], style="openai")


@given(st.text() | st.sampled_from(["</data>", "< / DATA >", "<data from=x>", "</data\n>", "<</data>/data>"]))
def test_no_text_begins_or_ends_a_fence(text: str) -> None:
    shown = fenced("memory", f"x {text} y")
    assert re.findall(r"<\s*/?\s*data(?![\w-])", shown, re.IGNORECASE) == ["<data", "</data"]
    assert shown.startswith('<data from="memory">\n')
    assert shown.endswith("\n</data>")
