"""What becomes of the parameters of a request for Anthropic: mapped, dropped or refused, by the rules of the model."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anthropic_models import ADAPTIVE, ALWAYS_THINKS, BUDGETED, OLD, UNKNOWN, encoded, user
from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.protocols import Defaults, Quirks
from caxton_llm.types import (
    ChatRequest,
    FunctionCall,
    FunctionDefinition,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
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


def prefilled(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content="q"), Message(role="assistant", content="The")], **fields)


# -- tools --------------------------------------------------------------------------------------------------------------


def test_a_tool_is_sent_with_its_schema_and_its_cache_breakpoint() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    given_tool = tool("f", description="Does.", parameters=parameters)
    given_tool.cache_control = {"type": "ephemeral", "ttl": "1h"}
    assert encoded(user("q", tools=[given_tool])).body["tools"] == [
        {
            "name": "f",
            "description": "Does.",
            "input_schema": parameters,
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]


@pytest.mark.parametrize("parameters", [None, {}])
def test_a_tool_without_parameters_has_an_empty_schema(parameters: Any) -> None:
    (sent,) = encoded(user("q", tools=[tool("f", description="", parameters=parameters)])).body["tools"]
    assert sent == {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def test_a_schema_without_a_type_is_an_object() -> None:
    (sent,) = encoded(user("q", tools=[tool(parameters={"properties": {"a": {}}})])).body["tools"]
    assert sent["input_schema"] == {"type": "object", "properties": {"a": {}}}


def test_no_tools_send_nothing() -> None:
    body = encoded(user("q", tools=[], tool_choice="auto")).body
    assert "tools" not in body
    assert "tool_choice" not in body


def test_a_conversation_with_calls_declares_its_tools_though_they_may_not_be_called() -> None:
    call = ToolCall(id="a", function=FunctionCall("a/b", "{}"))
    sent = encoded(
        ChatRequest(
            messages=[
                Message(role="user", content="q"),
                Message(role="assistant", tool_calls=[call]),
                Message(role="tool", content="r", tool_call_id="a"),
            ]
        )
    )
    (declared,) = sent.body["tools"]
    assert declared["name"] == sent.body["messages"][1]["content"][0]["name"]
    assert sent.body["tool_choice"] == {"type": "none"}
    assert list(sent.mapped) == ["tools"]


@pytest.mark.parametrize("kind", ["custom", "web_search_20250305"])
def test_a_tool_that_is_no_function_is_refused_with_its_path(kind: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(user("q", tools=[tool(), Tool(type=kind, custom={"name": "x"})]))
    assert caught.value.param == "tools[1]"


def test_names_that_anthropic_refuses_are_renamed_everywhere_and_back() -> None:
    long_name = "x" * 80
    history = [
        Message(role="user", content="q"),
        Message(role="assistant", tool_calls=[ToolCall(id="a", function=FunctionCall("files/read", "{}"))]),
        Message(role="tool", content="r", tool_call_id="a"),
    ]
    sent = encoded(
        ChatRequest(
            messages=history,
            tools=[tool("files/read"), tool("files_read"), tool(long_name)],
            tool_choice={"type": "function", "function": {"name": "files/read"}},
        )
    )
    names = [each["name"] for each in sent.body["tools"]]
    assert len(set(names)) == 3
    assert all(len(name) <= 64 and name.replace("_", "a").isalnum() for name in names)
    assert sent.body["tool_choice"] == {"type": "tool", "name": names[0]}
    assert sent.body["messages"][1]["content"][0]["name"] == names[0]
    assert sent.restore.tool_names == {names[0]: "files/read", names[2]: long_name}


@given(st.lists(st.text(min_size=1, max_size=90), min_size=1, max_size=6, unique=True))
@settings(max_examples=40, deadline=None)
def test_whatever_the_names_of_the_tools_each_is_restored(names: list[str]) -> None:
    sent = encoded(user("q", tools=[tool(name) for name in names]))
    wire = [each["name"] for each in sent.body["tools"]]
    assert [sent.restore.tool_names.get(name, name) for name in wire] == names
    assert len(set(wire)) == len(names)


def test_a_strict_tool_has_a_schema_that_can_be_enforced() -> None:
    loose = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    sent = encoded(user("q", tools=[tool(parameters=loose, strict=True)]))
    (strict,) = sent.body["tools"]
    assert strict["strict"] is True
    assert strict["input_schema"]["additionalProperties"] is False
    assert "minimum" in sent.mapped["tools[0].function.strict"]
    free = encoded(user("q", tools=[tool(parameters={"type": "object"}, strict=True)]))
    assert "strict" not in free.body["tools"][0]
    assert list(free.dropped) == ["tools[0].function.strict"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        (None, None),
    ],
)
def test_the_choice_of_a_tool_is_mapped(choice: Any, sent: Any) -> None:
    body = encoded(user("q", tools=[tool()], tool_choice=choice)).body
    assert body.get("tool_choice") == sent
    assert len(body["tools"]) == 1


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_one_call_at_most_never_forces_a_call(choice: Any, sent: Any) -> None:
    body = encoded(user("q", tools=[tool()], tool_choice=choice, parallel_tool_calls=False)).body
    assert body["tool_choice"] == sent


def test_parallel_calls_allowed_say_nothing() -> None:
    assert "tool_choice" not in encoded(user("q", tools=[tool()], parallel_tool_calls=True)).body


def test_one_call_at_most_without_tools_is_dropped() -> None:
    assert list(encoded(user("q", parallel_tool_calls=False)).dropped) == ["parallel_tool_calls"]


def test_allowed_tools_are_the_only_ones_sent() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    sent = encoded(user("q", tools=[tool("f"), tool("g")], tool_choice=choice))
    assert [each["name"] for each in sent.body["tools"]] == ["g"]
    assert sent.body["tool_choice"] == {"type": "any"}
    assert list(sent.mapped) == ["tool_choice"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": "sometimes"}, "tool_choice"),
        (
            {"tools": [tool()], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [1]}}},
            "tool_choice.allowed_tools.tools",
        ),
    ],
)
def test_a_choice_that_makes_no_sense_is_the_callers_mistake(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encoded(user("q", **fields))
    assert caught.value.param == param


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_forced_tool_is_refused_where_the_model_refuses_it(choice: Any) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(user("q", tools=[tool()], tool_choice=choice), ALWAYS_THINKS)
    assert caught.value.param == "tool_choice"


def test_a_forced_tool_excludes_thinking_with_a_budget_but_no_other() -> None:
    request = user("q", tools=[tool()], tool_choice="required", reasoning_effort="low")
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(request, BUDGETED)
    assert caught.value.param == "tool_choice"
    assert encoded(request, ADAPTIVE).body["tool_choice"] == {"type": "any"}


def test_configured_thinking_gives_way_to_a_forced_tool_and_to_a_prefill() -> None:
    defaults = Defaults(reasoning_effort="high")
    for request in (user("q", tools=[tool()], tool_choice="required"), prefilled()):
        sent = encoded(request, BUDGETED, defaults=defaults, strict=True)
        assert "thinking" not in sent.body
        assert list(sent.dropped) == ["reasoning_effort"]


def test_a_prefill_excludes_thinking_with_a_budget() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(prefilled(reasoning_effort="low"), BUDGETED)
    assert caught.value.param == "messages[1]"


# -- limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "defaults", "limit"),
    [
        (OLD, Defaults(), 4096),
        (BUDGETED, Defaults(), 16_384),
        (UNKNOWN, Defaults(), 4096),
        (UNKNOWN, Defaults(max_tokens=9000), 9000),
        (OLD, Defaults(max_tokens=9000), 4096),
    ],
)
def test_the_mandatory_limit_has_a_default(model: Any, defaults: Defaults, limit: int) -> None:
    sent = encoded(user("q"), model, defaults=defaults)
    assert sent.body["max_tokens"] == limit
    assert sent.mapped == {}


def test_the_newer_name_of_the_limit_wins() -> None:
    assert encoded(user("q", max_tokens=1, max_completion_tokens=2)).body["max_tokens"] == 2


def test_a_limit_above_the_models_own_is_lowered_and_reported() -> None:
    sent = encoded(user("q", max_completion_tokens=100_000), OLD)
    assert sent.body["max_tokens"] == 4096
    assert list(sent.mapped) == ["max_completion_tokens"]


# -- thinking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        (ADAPTIVE, "none", {"type": "disabled"}, None),
        (ADAPTIVE, "minimal", {"type": "adaptive"}, "low"),
        (ADAPTIVE, "low", {"type": "adaptive"}, "low"),
        (ADAPTIVE, "xhigh", {"type": "adaptive"}, "xhigh"),
        (ADAPTIVE, "max", {"type": "adaptive"}, "max"),
        (ALWAYS_THINKS, "none", None, "low"),
        (ALWAYS_THINKS, "max", {"type": "adaptive"}, "high"),
        (BUDGETED, "none", {"type": "disabled"}, None),
        (BUDGETED, "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        (BUDGETED, "low", {"type": "enabled", "budget_tokens": 1024}, None),
        (BUDGETED, "medium", {"type": "enabled", "budget_tokens": 4096}, None),
        (BUDGETED, "high", {"type": "enabled", "budget_tokens": 16_384}, None),
        (UNKNOWN, "minimal", {"type": "adaptive"}, "low"),
        (UNKNOWN, "none", {"type": "disabled"}, None),
    ],
)
def test_the_effort_becomes_what_the_model_understands(
    model: Any, effort: str, thinking: Any, config: str | None
) -> None:
    sent = encoded(user("q", reasoning_effort=effort), model)
    assert sent.body.get("thinking") == thinking
    assert sent.body.get("output_config", {}).get("effort") == config
    assert "reasoning_effort" in sent.mapped


def test_a_model_with_between_tools_in_place_of_disabled_gets_that() -> None:
    rules = msgspec.structs.replace(ALWAYS_THINKS.parameters, thinking=["adaptive", "between_tools"])
    model = msgspec.structs.replace(ALWAYS_THINKS, parameters=rules)
    assert encoded(user("q", reasoning_effort="none"), model).body["thinking"] == {"type": "between_tools"}


def test_a_model_with_budgets_and_efforts_gets_both() -> None:
    rules = msgspec.structs.replace(BUDGETED.parameters, efforts=["low", "medium", "high"])
    sent = encoded(user("q", reasoning_effort="xhigh"), msgspec.structs.replace(BUDGETED, parameters=rules))
    assert sent.body["thinking"] == {"type": "enabled", "budget_tokens": 32_768}
    assert sent.body["output_config"] == {"effort": "high"}


def test_an_effort_for_a_model_that_does_not_think_is_dropped() -> None:
    sent = encoded(user("q", reasoning_effort="high"), OLD)
    assert "thinking" not in sent.body
    assert sent.dropped == {"reasoning_effort": "this model does not reason"}
    assert encoded(user("q", reasoning_effort="none"), OLD).dropped == {}
    configured = encoded(user("q"), OLD, defaults=Defaults(reasoning_effort="high"), strict=True)
    assert list(configured.dropped) == ["reasoning_effort"]


def test_an_effort_that_nobody_has_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest) as caught:
        encoded(user("q", reasoning_effort="turbo"))
    assert caught.value.param == "reasoning_effort"


def test_the_limit_makes_room_for_the_budget() -> None:
    sent = encoded(user("q", max_completion_tokens=500, reasoning_effort="medium"), BUDGETED)
    assert sent.body["max_tokens"] == 500 + 4096
    assert "max_completion_tokens" in sent.mapped
    assert "max_completion_tokens" not in encoded(user("q", reasoning_effort="medium"), BUDGETED).mapped


@given(st.integers(1, 70_000), st.sampled_from(["low", "medium", "high", "max"]), st.integers(1500, 64_000))
@settings(max_examples=60, deadline=None)
def test_the_budget_is_always_below_the_limit_and_the_limit_within_the_models_own(
    limit: int, effort: str, most: int
) -> None:
    model = msgspec.structs.replace(BUDGETED, max_output_tokens=most)
    body = encoded(user("q", max_tokens=limit, reasoning_effort=effort), model).body
    assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"] <= most


@pytest.mark.parametrize(
    ("model", "thinking", "sent", "effort"),
    [
        (ADAPTIVE, {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
         {"type": "adaptive", "display": "omitted"}, "low"),
        (ADAPTIVE, {"type": "enabled", "budget_tokens": 30_000}, {"type": "adaptive"}, "high"),
        (BUDGETED, {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 4096}, None),
        (ALWAYS_THINKS, {"type": "disabled"}, None, "low"),
        (ADAPTIVE, {"type": "between_tools"}, {"type": "disabled"}, None),
        (BUDGETED, {"type": "enabled", "budget_tokens": 3000}, {"type": "enabled", "budget_tokens": 3000}, None),
        (UNKNOWN, {"type": "whatever"}, {"type": "whatever"}, None),
    ],
)  # fmt: skip
def test_thinking_in_anthropics_own_words_is_adapted_to_the_model(
    model: Any, thinking: Any, sent: Any, effort: str | None
) -> None:
    got = encoded(user("q", extra={"thinking": thinking}, reasoning_effort="medium"), model)
    assert got.body.get("thinking") == sent
    assert got.body.get("output_config", {}).get("effort") == effort
    assert ("thinking" in got.mapped) == (sent != thinking)


def test_thinking_for_a_model_without_it_is_dropped_and_its_absence_is_nothing() -> None:
    sent = encoded(user("q", extra={"thinking": {"type": "enabled", "budget_tokens": 2000}}), OLD)
    assert "thinking" not in sent.body
    assert list(sent.dropped) == ["thinking"]
    off = encoded(user("q", extra={"thinking": {"type": "disabled"}}), OLD)
    assert "thinking" not in off.body
    assert off.dropped == {}


def test_an_effort_in_anthropics_own_words_is_fitted_and_its_neighbours_stay() -> None:
    config = {"effort": "max", "task_budget": {"type": "tokens", "total": 5}}
    sent = encoded(user("q", extra={"output_config": config}), ALWAYS_THINKS)
    assert sent.body["output_config"] == {"effort": "high", "task_budget": {"type": "tokens", "total": 5}}
    assert sent.mapped == {"output_config.effort": "high"}
    assert "thinking" not in sent.body


@pytest.mark.parametrize("extra", [{"thinking": "yes"}, {"output_config": "high"}, {"output_config": {"effort": 3}}])
def test_thinking_of_the_wrong_type_is_the_callers_mistake(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        encoded(user("q", extra=extra))


# -- sampling -----------------------------------------------------------------------------------------------------------


def test_sampling_is_sent_also_when_it_is_zero() -> None:
    body = encoded(user("q", temperature=0, extra={"top_k": 5})).body
    assert (body["temperature"], body["top_k"]) == (0, 5)
    assert encoded(user("q", top_p=0)).body["top_p"] == 0


def test_a_temperature_above_one_is_lowered_and_reported() -> None:
    sent = encoded(user("q", temperature=1.7))
    assert sent.body["temperature"] == 1
    assert list(sent.mapped) == ["temperature"]


def test_of_two_that_exclude_each_other_the_temperature_stays() -> None:
    sent = encoded(user("q", temperature=0.5, top_p=0.5), BUDGETED)
    assert "top_p" not in sent.body
    assert list(sent.dropped) == ["top_p"]
    callers = encoded(user("q", top_p=0.5), BUDGETED, defaults=Defaults(temperature=0.7), strict=True)
    assert callers.body["top_p"] == 0.5
    assert "temperature" not in callers.body
    both = encoded(user("q", temperature=0.5, top_p=0.5), UNKNOWN).body
    assert (both["temperature"], both["top_p"]) == (0.5, 0.5)


def test_sampling_is_dropped_where_the_model_refuses_it() -> None:
    request = user("q", temperature=0.5, top_p=0.5, extra={"top_k": 3})
    sent = encoded(request, ADAPTIVE)
    assert sent.body.keys().isdisjoint({"temperature", "top_p", "top_k"})
    assert set(sent.dropped) == {"temperature", "top_p", "top_k"}
    with pytest.raises(UnsupportedFeature):
        encoded(request, ADAPTIVE, strict=True)


def test_sampling_as_it_is_anyway_is_left_out_without_a_word() -> None:
    sent = encoded(user("q", temperature=1, top_p=1.0), ADAPTIVE, strict=True)
    assert sent.body.keys().isdisjoint({"temperature", "top_p"})
    assert sent.dropped == {}


def test_configured_sampling_is_left_out_where_the_model_refuses_it_also_when_strict() -> None:
    sent = encoded(user("q"), ADAPTIVE, defaults=Defaults(temperature=0.7, top_p=0.9), strict=True)
    assert sent.body.keys().isdisjoint({"temperature", "top_p"})
    assert set(sent.dropped) == {"temperature", "top_p"}


def test_configured_sampling_is_sent_when_the_caller_is_silent() -> None:
    sent = encoded(user("q"), UNKNOWN, defaults=Defaults(temperature=0.0))
    assert sent.body["temperature"] == 0
    assert encoded(user("q", temperature=0.4), UNKNOWN, defaults=Defaults(temperature=0.0)).body["temperature"] == 0.4


def test_sampling_gives_way_to_thinking_with_a_budget() -> None:
    sent = encoded(user("q", temperature=0.5, reasoning_effort="low", extra={"top_k": 4}), BUDGETED)
    assert sent.body.keys().isdisjoint({"temperature", "top_k"})
    assert set(sent.dropped) == {"temperature", "top_k"}
    assert encoded(user("q", top_p=0.97, reasoning_effort="low"), BUDGETED).body["top_p"] == 0.97


def test_what_the_server_is_configured_not_to_accept_is_dropped() -> None:
    quirks = Quirks(drop=("temperature", "stop", "top_k"))
    request = user("q", temperature=0.5, stop="x", extra={"top_k": 1, "speed": "fast"})
    sent = encoded(request, quirks=quirks, defaults=Defaults(temperature=0.3))
    assert sent.body.keys().isdisjoint({"temperature", "stop_sequences", "top_k"})
    assert set(sent.dropped) == {"temperature", "stop", "top_k"}
    assert sent.body["speed"] == "fast"


def test_what_the_model_is_known_to_refuse_is_dropped() -> None:
    rules = msgspec.structs.replace(UNKNOWN.parameters, refuses=["stop"])
    sent = encoded(user("q", stop="x"), msgspec.structs.replace(UNKNOWN, parameters=rules))
    assert list(sent.dropped) == ["stop"]


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


def answered_call(thinking_blocks: Any = None) -> list[Message]:
    call = ToolCall(id="a", function=FunctionCall("f", "{}"))
    return [
        Message(role="user", content="q"),
        Message(role="assistant", tool_calls=[call], thinking_blocks=thinking_blocks),
        Message(role="tool", content="r", tool_call_id="a"),
    ]


def test_thinking_with_a_budget_stops_when_the_client_did_not_send_its_thinking_back() -> None:
    lost = ChatRequest(messages=answered_call(), tools=[tool()], reasoning_effort="low")
    sent = encoded(lost, BUDGETED)
    assert "thinking" not in sent.body
    assert list(sent.dropped) == ["reasoning_effort"]
    assert encoded(lost, ADAPTIVE).body["thinking"] == {"type": "adaptive"}
    own = ChatRequest(
        messages=answered_call(), tools=[tool()], extra={"thinking": {"type": "enabled", "budget_tokens": 2000}}
    )
    assert list(encoded(own, BUDGETED).dropped) == ["thinking"]
    configured = encoded(
        ChatRequest(messages=answered_call(), tools=[tool()]), BUDGETED, defaults=Defaults(reasoning_effort="low")
    )
    assert list(configured.dropped) == ["reasoning_effort"]


def test_thinking_with_a_budget_goes_on_when_its_blocks_came_back() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    kept = ChatRequest(messages=answered_call(blocks), tools=[tool()], reasoning_effort="low")
    assert encoded(kept, BUDGETED).body["thinking"]["type"] == "enabled"
    later = [*answered_call(), Message(role="assistant", content="a"), Message(role="user", content="b")]
    assert "thinking" in encoded(ChatRequest(messages=later, tools=[tool()], reasoning_effort="low"), BUDGETED).body
