"""Formats of the answer and the smaller parameters, for Anthropic: mapped, dropped or refused."""

from typing import Any

import msgspec
import pytest

from anthropic_models import ADAPTIVE, ALWAYS_THINKS, BUDGETED, OLD, UNKNOWN, encoded, user
from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.protocols import Defaults
from caxton_llm.types import (
    ChatRequest,
    FunctionDefinition,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str = "f", **fields: Any) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, **fields))


def json_schema(schema: dict[str, Any] | None = None, **fields: Any) -> ResponseFormat:
    return ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=schema or SCHEMA, **fields))


# -- formats ------------------------------------------------------------------------------------------------------------


def test_a_schema_becomes_the_output_format() -> None:
    sent = encoded(user("q", response_format=json_schema(description="A city.")), BUDGETED)
    assert sent.body["output_config"] == {
        "format": {"type": "json_schema", "schema": {**SCHEMA, "description": "A city."}}
    }
    assert sent.mapped == {"response_format": "output_config.format"}
    assert sent.restore.unwrap_tool is None


def test_a_schema_and_an_effort_share_the_output_configuration() -> None:
    sent = encoded(user("q", response_format=json_schema(), reasoning_effort="high"), ADAPTIVE)
    assert set(sent.body["output_config"]) == {"format", "effort"}


def test_what_a_schema_loses_is_reported() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}
    sent = encoded(user("q", response_format=json_schema(schema)), BUDGETED)
    assert "$.n: minimum moved to the description" in sent.mapped["response_format"]


def test_without_structured_outputs_a_forced_tool_carries_the_answer() -> None:
    sent = encoded(user("q", response_format=json_schema()), OLD)
    (answer,) = sent.body["tools"]
    assert answer["input_schema"] == SCHEMA
    assert sent.body["tool_choice"] == {"type": "tool", "name": answer["name"], "disable_parallel_tool_use": True}
    assert sent.restore.unwrap_tool == answer["name"]
    assert "output_config" not in sent.body


def test_the_tool_that_carries_the_answer_stands_beside_the_callers_own() -> None:
    sent = encoded(user("q", response_format=json_schema(), tools=[tool("answer")], parallel_tool_calls=False), OLD)
    assert [each["name"] for each in sent.body["tools"]] == ["answer", "answer_"]
    assert sent.body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent.restore.unwrap_tool == "answer_"
    uncalled = encoded(user("q", response_format=json_schema(), tools=[tool()], tool_choice="none"), OLD)
    assert uncalled.body["tool_choice"]["name"] == "answer"


def test_a_forced_tool_of_the_callers_needs_no_format() -> None:
    sent = encoded(user("q", response_format=json_schema(), tools=[tool()], tool_choice="required"), OLD)
    assert sent.restore.unwrap_tool is None
    assert "response_format" in sent.mapped


RECURSIVE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Node"}},
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
}


def test_a_schema_that_structured_outputs_cannot_take_goes_by_the_tool() -> None:
    sent = encoded(user("q", response_format=json_schema(RECURSIVE)), BUDGETED)
    assert sent.body["tools"][0]["input_schema"] == RECURSIVE
    assert "recursive" in sent.mapped["response_format"]


def test_a_schema_that_no_way_leads_to_is_refused() -> None:
    for request, model in (
        (user("q", response_format=json_schema(RECURSIVE)), ALWAYS_THINKS),
        (user("q", response_format=json_schema({"type": "array", "items": {}})), OLD),
        (user("q", response_format=json_schema(RECURSIVE), reasoning_effort="low"), BUDGETED),
        (user("q", response_format=ResponseFormat(type="grammar")), UNKNOWN),
    ):
        with pytest.raises(UnsupportedFeature):
            encoded(request, model)


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ("reasoning_effort", {"reasoning_effort": "low"}),
        ("thinking", {"extra": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}),
    ],
)
def test_a_schema_and_thinking_that_exclude_each_other_are_named_as_the_caller_named_them(
    asked: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(user("q", response_format=json_schema(RECURSIVE), **fields), BUDGETED)
    assert caught.value.param == "response_format"
    assert "tool_choice" not in str(caught.value)
    assert "recursive" in str(caught.value)
    assert f"leave out {asked}" in str(caught.value)
    with pytest.raises(UnsupportedFeature) as forced:
        encoded(user("q", tools=[tool()], tool_choice="required", **fields), BUDGETED)
    assert forced.value.param == "tool_choice"


@pytest.mark.parametrize("json_schema_format", [None, JsonSchemaFormat()])
def test_a_schema_format_without_a_schema_is_the_callers_mistake(json_schema_format: Any) -> None:
    with pytest.raises(InvalidRequest):
        encoded(user("q", response_format=ResponseFormat(type="json_schema", json_schema=json_schema_format)))


def test_json_without_a_schema_is_an_instruction() -> None:
    request = ChatRequest(
        messages=[Message(role="system", content="s"), Message(role="user", content="q")],
        response_format=ResponseFormat(type="json_object"),
    )
    sent = encoded(request)
    assert [block["text"][:11] for block in sent.body["system"]] == ["s", "Answer with"]
    assert sent.mapped == {"response_format": "an instruction in the system prompt"}


def test_text_is_what_it_is_anyway() -> None:
    sent = encoded(user("q", response_format=ResponseFormat(type="text")))
    assert sent.mapped == {}
    assert "output_config" not in sent.body


# -- the rest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "sent", "mapped"),
    [
        ("X", ["X"], []),
        (["X", "Y"], ["X", "Y"], []),
        (["X", " \n", ""], ["X"], ["stop"]),
        ([" "], None, ["stop"]),
        ([], None, []),
    ],
)
def test_stop_strings_become_stop_sequences(stop: Any, sent: Any, mapped: list[str]) -> None:
    got = encoded(user("q", stop=stop))
    assert got.body.get("stop_sequences") == sent
    assert list(got.mapped) == mapped


def test_the_user_becomes_metadata_unless_it_names_a_person() -> None:
    assert encoded(user("q", user="u-1")).body["metadata"] == {"user_id": "u-1"}
    assert encoded(user("q", safety_identifier="s-1")).body["metadata"] == {"user_id": "s-1"}
    assert encoded(user("q", metadata={"user_id": "m-1"})).body["metadata"] == {"user_id": "m-1"}
    for contact in ("anna@example.com", "+49 170 1234567"):
        sent = encoded(user("q", user=contact))
        assert "metadata" not in sent.body
        assert list(sent.dropped) == ["user"]
        assert contact not in str(sent.dropped)
    assert encoded(user("q", user="12345678")).body["metadata"] == {"user_id": "12345678"}


def test_of_several_identifiers_one_is_sent_and_the_others_are_reported() -> None:
    both = encoded(user("q", user="u-1", safety_identifier="s-1", metadata={"user_id": "m-1", "team": "t"}))
    assert both.body["metadata"] == {"user_id": "u-1"}
    assert set(both.dropped) == {"safety_identifier", "metadata.user_id", "metadata.team"}
    beside = encoded(user("q", metadata={"user_id": "m-1", "team": "t"}))
    assert beside.body["metadata"] == {"user_id": "m-1"}
    assert list(beside.dropped) == ["metadata.team"]


@pytest.mark.parametrize(
    ("tier", "sent"),
    [("auto", "auto"), ("default", "standard_only"), ("priority", "auto"), ("standard_only", "standard_only")],
)
def test_service_tiers_are_mapped(tier: str, sent: str) -> None:
    assert encoded(user("q", service_tier=tier)).body["service_tier"] == sent


def test_what_only_tunes_is_dropped_and_reported() -> None:
    fields: dict[str, Any] = {
        "seed": 1,
        "logit_bias": {"5": 1.0},
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "verbosity": "low",
        "prompt_cache_key": "k",
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": "flex",
    }
    sent = encoded(user("q", **fields, extra={"prediction": {"type": "content"}, "moderation": {}}))
    assert set(sent.dropped) == {*fields, "prediction", "moderation"}
    assert set(sent.body) == {"model", "max_tokens", "messages"}
    for name, value in fields.items():
        with pytest.raises(UnsupportedFeature):
            encoded(user("q", **{name: value}), strict=True)


def test_what_is_so_anyway_is_left_out_without_a_word() -> None:
    sent = encoded(
        user(
            "q",
            n=1,
            logprobs=False,
            top_logprobs=0,
            frequency_penalty=0,
            store=False,
            extra={"modalities": ["text"], "prediction": msgspec.Raw(b"null")},
        ),
        strict=True,
    )
    assert sent.dropped == {}
    assert set(sent.body) == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"extra": {"modalities": ["text", "audio"]}}, "modalities"),
        ({"extra": {"web_search_options": {}}}, "web_search_options"),
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(user("q", **fields))
    assert caught.value.param == param


def test_anthropics_own_fields_travel_on() -> None:
    extra = {
        "cache_control": {"type": "ephemeral"},
        "speed": "fast",
        "container": "c_1",
        "inference_geo": "us",
        "context_management": msgspec.Raw(b'{"edits":[]}'),
    }
    sent = encoded(user("q", extra=extra))
    assert sent.body.items() >= {**extra, "context_management": {"edits": []}}.items()
    assert sent.dropped == {}


def test_further_configured_fields_are_sent_when_the_caller_is_silent() -> None:
    defaults = Defaults(extra={"service_tier": "standard_only", "x_vendor": 1})
    assert encoded(user("q"), defaults=defaults).body["x_vendor"] == 1
    assert encoded(user("q", service_tier="auto"), defaults=defaults).body["service_tier"] == "auto"


def test_a_stream_is_asked_for_only_when_wanted() -> None:
    assert encoded(user("q"), stream=True).body["stream"] is True
    assert "stream" not in encoded(user("q")).body
