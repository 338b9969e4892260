"""How much is written and thought and how it is sampled, by the rules of the model."""

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
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)


def tool(name: str = "f", **fields: Any) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, **fields))


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


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"thinking": "yes"}, "thinking"),
        ({"thinking": {"type": ["enabled"]}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"output_config": "high"}, "output_config"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
    ],
)
def test_thinking_of_the_wrong_type_is_the_callers_mistake(extra: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encoded(user("q", extra=extra), BUDGETED)
    assert caught.value.param == param


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


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("stop", {"stop": "x"}),
        ("response_format", {"response_format": ResponseFormat(type="json_object")}),
        ("tools", {"functions": [FunctionDefinition(name="f")]}),
    ],
)
def test_what_the_model_refuses_and_the_answer_depends_on_is_refused(name: str, fields: dict[str, Any]) -> None:
    rules = msgspec.structs.replace(UNKNOWN.parameters, refuses=[name])
    model = msgspec.structs.replace(UNKNOWN, parameters=rules)
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(user("q", **fields), model)
    assert caught.value.param == name
    sent = encoded(user("q", **fields), model, quirks=Quirks(drop=(name,)))
    assert list(sent.dropped) == [name]
    assert set(sent.body) == {"model", "max_tokens", "messages"}


def test_what_the_model_refuses_and_only_tunes_is_dropped() -> None:
    rules = msgspec.structs.replace(UNKNOWN.parameters, refuses=["service_tier", "response_format", "tools"])
    model = msgspec.structs.replace(UNKNOWN, parameters=rules)
    sent = encoded(user("q", service_tier="auto", tools=[], response_format=ResponseFormat(type="text")), model)
    assert list(sent.dropped) == ["service_tier"]
    assert sent.mapped == dict.fromkeys(["response_format", "tools"], "left out: it says the same")
