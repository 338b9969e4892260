"""The specification's example from end to end: the same keys of the document, three renderings of the shape that it shows."""

from pathlib import Path

import msgspec
import pytest

from caxton_llm.context.document import ContextDocument
from caxton_llm.context_engine.contexts import Contexts
from caxton_llm.context_engine.explaining import assumed_destination, explain
from caxton_llm.types import Json
from specified_scene import KEY, REQUEST, scene

SPECIFIED: dict[str, Json] = {
    "request_context": {
        "requesting_agent": str,
        "requested_capability": str,
        "request_parameters": {"format": str, "template": str},
        "context_requirements": {
            "conversation_depth": int,
            "memory_similarity_threshold": float,
            "tool_context_sources": list,
        },
    },
    "conversation_history": [{"role": str, "content": str}],
    "memory_context": {
        "search_query": str,
        "relevant_entities": [{"name": str, "similarity": float, "observations": list}],
        "total_memory_entries_searched": int,
        "entries_above_threshold": int,
    },
    "capability_context": {
        "related_capabilities": list,
        "capability_requirements": {"input_formats": list, "output_formats": list, "performance_sla": str},
    },
    "available_tools": [{"name": str, "description": str, "context_data": dict}],
    "context_metadata": {
        "preparation_time_ms": float,
        "total_context_tokens": int,
        "token_utilization_rate": float,
        "context_sources_used": list,
    },
}
TEMPLATES = ["quarterly-summary", "executive-brief", "detailed-analysis"]
INSTRUCTIONS = "You are a report generation expert specialized in quarterly business analysis."
TURNS = ["user", "assistant", "user", "assistant", "user"]
NOW = "Please generate the final quarterly PDF report now."


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> ContextDocument:
    import asyncio

    async def prepared(folder: Path) -> ContextDocument:
        async with scene(folder) as engine:
            addressed = engine.registry.addressed(REQUEST.model)
            assert addressed is not None
            gathered = await engine.gather(REQUEST, addressed, key=KEY)
            kinds = ("openai", "anthropic", "ollama")
            return await explain(Contexts(engine, gathered), [assumed_destination(kind) for kind in kinds])

    return asyncio.run(prepared(tmp_path_factory.mktemp("scene")))


def fits(value: Json, shape: Json, path: str = "") -> None:
    """That everything the specification shows is there, and of that type."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        for name, inner in shape.items():
            assert name in value, f"{path}.{name}"
            fits(value[name], inner, f"{path}.{name}")
    elif isinstance(shape, list):
        assert value, path
        for one in value:
            fits(one, shape[0], path)
    else:
        assert isinstance(value, shape), f"{path} is {type(value).__name__}"


def test_the_document_has_the_specifications_keys(document: ContextDocument) -> None:
    fits(msgspec.json.decode(msgspec.json.encode(document)), SPECIFIED)


def test_the_document_tells_what_the_scene_holds(document: ContextDocument) -> None:
    assert document.request_context.requesting_agent == "DataProcessor"
    assert document.request_context.requested_capability == "report-generation"
    assert [entry.role for entry in document.conversation_history] == TURNS[:-1]
    assert {entity.name for entity in document.memory_context.relevant_entities} == {
        "Q3 Sales Analysis Pattern",
        "PDF Report Template Preferences",
    }
    assert document.memory_context.total_memory_entries_searched == 3
    assert document.capability_context is not None
    assert document.capability_context.related_capabilities == (
        "data-visualization",
        "chart-generation",
        "pdf-creation",
    )
    data = {tool.name: tool.context_data for tool in document.available_tools}
    assert data["generate_pdf_report"]["template_library"]["available_templates"] == TEMPLATES
    assert data["chart_creator"]["performance_data"] == "average generation time: 2.3s"
    assert document.context_metadata.context_sources_used == ("conversation", "memory", "tools", "capabilities")
    assert document.context_metadata.sources_missing == ()


def test_every_candidate_says_what_became_of_it(document: ContextDocument) -> None:
    by_text = {one.text: one for one in document.candidates}
    assert by_text["The canteen serves soup on Mondays"].reason == "below the threshold"
    assert by_text[INSTRUCTIONS].reason == "always"
    kept = [one for one in document.candidates if one.kept]
    assert sum(one.tokens for one in kept) <= document.context_metadata.token_budget
    assert sum(document.context_metadata.tokens_by_source.values()) == document.context_metadata.total_context_tokens


def test_openai_gets_the_context_in_the_system_message(document: ContextDocument) -> None:
    sent = document.payloads["openai"]
    assert [message["role"] for message in sent["messages"]] == ["system", *TURNS]
    system = sent["messages"][0]["content"]
    assert system.startswith(INSTRUCTIONS)
    assert "Context from memory system:\n- " in system
    assert "Users prefer executive summary on page 1" in system
    assert sent["messages"][-1]["content"] == NOW
    report = next(tool["function"] for tool in sent["tools"] if tool["function"]["name"] == "generate_pdf_report")
    assert f"Available templates: {', '.join(TEMPLATES)}." in report["description"]
    assert "Supported chart types: bar, line, pie, trend." in report["description"]
    assert report["parameters"]["properties"]["template"]["enum"] == TEMPLATES


def test_anthropic_gets_a_system_text_and_input_schemas(document: ContextDocument) -> None:
    sent = document.payloads["anthropic"]
    assert [message["role"] for message in sent["messages"]] == TURNS
    assert sent["system"].startswith(INSTRUCTIONS)
    assert "Relevant context from conversation and memory:\n- " in sent["system"]
    assert sent["max_tokens"] > 0
    report = next(tool for tool in sent["tools"] if tool["name"] == "generate_pdf_report")
    assert "Context: " in report["description"]
    assert report["input_schema"]["properties"]["template"]["enum"] == TEMPLATES


def test_a_local_model_gets_less(document: ContextDocument) -> None:
    sent, large = document.payloads["ollama"], document.payloads["openai"]
    system = sent["messages"][0]["content"]
    assert len(system) < len(large["messages"][0]["content"])
    assert "Known:\n- " in system
    report = next(tool["function"] for tool in sent["tools"] if tool["function"]["name"] == "generate_pdf_report")
    assert report["parameters"]["properties"]["template"] == {"enum": TEMPLATES, "type": "string"}
    assert "Font" not in report["description"]
    assert len(msgspec.json.encode(sent["tools"])) < len(msgspec.json.encode(large["tools"]))
