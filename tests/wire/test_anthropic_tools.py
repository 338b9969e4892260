"""Tools and the choice among them, as Anthropic gets them and as its models take them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anthropic_models import ADAPTIVE, ALWAYS_THINKS, BUDGETED, encoded, user
from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.protocols import Defaults
from caxton_llm.types import (
    ChatRequest,
    FunctionCall,
    FunctionDefinition,
    Message,
    Tool,
    ToolCall,
)


def tool(name: str = "f", **fields: Any) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, **fields))


def prefilled(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content="q"), Message(role="assistant", content="The")], **fields)


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
