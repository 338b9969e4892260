"""What becomes of every parameter on its way to an OpenAI chat server: sent, mapped, dropped with a report, or refused."""

import json
from typing import Any

import pytest

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import Capabilities, ParameterRules
from caxton_llm.protocols import Defaults, Quirks
from caxton_llm.types import JsonSchemaFormat, ResponseFormat, StreamOptions
from openai_chat_requests import TOOL, USER, encode, from_client, from_elsewhere, from_library, refused, sent

# -- parameters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "rule", "quirk", "expected"),
    [
        ({"max_tokens": 5}, "max_completion_tokens", None, {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 5}, "max_tokens", None, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, "max_completion_tokens", "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5}, None, None, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, None, None, {"max_completion_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, None, None, {"max_completion_tokens": 7}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, "max_tokens", None, {"max_tokens": 7}),
        ({}, "max_tokens", None, {}),
    ],
)
@pytest.mark.parametrize("make", [from_client, from_library])
def test_the_output_limit_goes_under_the_name_that_the_target_knows(
    make: Any, given: dict[str, int], rule: Any, quirk: str | None, expected: dict[str, int]
) -> None:
    body = sent(make(**given), rules=ParameterRules(output_limit_field=rule), quirks=Quirks(output_limit_field=quirk))
    assert {name: value for name, value in body.items() if name.startswith("max_")} == expected


def test_the_limit_of_another_dialect_gets_the_newest_name_where_nothing_is_known() -> None:
    assert sent(from_elsewhere(max_tokens=5))["max_completion_tokens"] == 5


def test_a_renamed_limit_is_reported() -> None:
    encoded = encode(from_client(max_tokens=5), rules=ParameterRules(output_limit_field="max_completion_tokens"))
    assert encoded.report.mapped == {"max_tokens": "max_completion_tokens"}


def test_defaults_speak_only_where_the_caller_is_silent() -> None:
    defaults = Defaults(max_tokens=9, temperature=0.5, top_p=0.9, extra={"top_k": 4, "seed": 1})
    assert sent(from_client(), defaults=defaults) == {
        "model": "m-1",
        "messages": [USER],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 9,
        "top_k": 4,
        "seed": 1,
    }
    body = sent(from_client(max_tokens=1, temperature=0, top_p=1, top_k=2, seed=3), defaults=defaults)
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["top_k"], body["seed"]) == (1, 0, 1, 2, 3)


SAMPLING = {
    "temperature": 0,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "logit_bias": {"1": 2},
    "logprobs": True,
    "top_logprobs": 3,
}


@pytest.mark.parametrize("make", [from_client, from_library])
def test_sampling_is_dropped_and_reported_while_the_model_reasons(make: Any) -> None:
    rules = ParameterRules(sampling="without_reasoning", default_effort="medium", efforts=["none", "low", "medium"])
    encoded = encode(make(**SAMPLING), rules=rules)
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert set(encoded.report.dropped) == set(SAMPLING)
    assert set(sent(make(reasoning_effort="none", **SAMPLING), rules=rules)) >= set(SAMPLING)


def test_sampling_follows_the_default_effort_of_the_model_and_of_the_entry() -> None:
    opt_in = ParameterRules(sampling="without_reasoning", default_effort="none", efforts=["none", "low"])
    assert "temperature" in sent(from_client(temperature=0), rules=opt_in)
    assert "temperature" not in sent(
        from_client(temperature=0), rules=opt_in, defaults=Defaults(reasoning_effort="low")
    )
    assert "temperature" not in sent(from_client(temperature=0, reasoning_effort="low"), rules=opt_in)


def test_a_value_that_says_nothing_is_left_out_without_refusing_it_when_strict() -> None:
    never = ParameterRules(sampling="never")
    assert sent(from_client(temperature=1), rules=never, strict=True)["temperature"] == 1
    encoded = encode(from_client(top_p=1, presence_penalty=0, logprobs=False), rules=never, strict=True)
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert set(encoded.report.mapped) == {"top_p", "presence_penalty", "logprobs"}


def test_strict_refuses_what_would_be_dropped() -> None:
    assert refused(from_client(temperature=0.5), rules=ParameterRules(sampling="never"), strict=True) == "temperature"


def test_a_configured_default_that_does_not_apply_is_reported_and_never_an_error() -> None:
    encoded = encode(
        from_client(),
        rules=ParameterRules(sampling="never", efforts=["low"]),
        defaults=Defaults(temperature=0.7, reasoning_effort="none"),
        strict=True,
    )
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert set(encoded.report.dropped) == {"temperature", "reasoning_effort"}


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        ("high", ["low", "medium", "high"], "high"),
        ("xhigh", ["low", "medium", "high"], "high"),
        ("max", ["low", "medium"], "medium"),
        ("minimal", ["none", "low"], "low"),
        ("minimal", ["low", "high"], "low"),
        ("none", ["minimal", "low"], "minimal"),
        ("none", ["none", "low"], "none"),
        ("low", ["medium"], "medium"),
        ("anything", None, "anything"),
    ],
)
def test_the_effort_becomes_the_nearest_that_is_accepted(asked: str, accepted: list[str] | None, expected: str) -> None:
    encoded = encode(from_client(reasoning_effort=asked), rules=ParameterRules(efforts=accepted))
    assert json.loads(encoded.body)["reasoning_effort"] == expected
    assert ("reasoning_effort" in encoded.report.mapped) is (asked != expected)


def test_an_effort_for_a_model_without_reasoning_is_dropped_and_a_made_up_one_refused() -> None:
    encoded = encode(from_client(reasoning_effort="high"), rules=ParameterRules(efforts=[]))
    assert "reasoning_effort" in encoded.report.dropped
    assert "reasoning_effort" not in json.loads(encoded.body)
    silent = encode(from_client(reasoning_effort="none"), rules=ParameterRules(efforts=[]), strict=True)
    assert "reasoning_effort" not in json.loads(silent.body)
    assert "reasoning_effort" in silent.report.mapped
    with pytest.raises(InvalidRequest) as caught:
        encode(from_client(reasoning_effort="ultra"), rules=ParameterRules(efforts=["low", "high"]))
    assert caught.value.param == "reasoning_effort"


def test_tools_are_sent_with_effort_none_where_the_model_needs_it_said() -> None:
    rules = ParameterRules(tools_need_effort_none=True, sampling="without_reasoning", default_effort="medium")
    encoded = encode(from_client(tools=[TOOL], temperature=0), rules=rules, defaults=Defaults(reasoning_effort="high"))
    body = json.loads(encoded.body)
    assert (body["reasoning_effort"], body["temperature"]) == ("none", 0)
    assert "reasoning_effort" in encoded.report.mapped
    assert "reasoning_effort" not in sent(from_client(), rules=rules)
    assert refused(from_client(tools=[TOOL], reasoning_effort="low"), rules=rules) == "reasoning_effort"


@pytest.mark.parametrize(
    ("fields", "rules", "can", "param"),
    [
        ({}, ParameterRules(chat_completions=False), Capabilities(), "model"),
        ({"tools": [TOOL]}, ParameterRules(chat_tools=False), Capabilities(), "tools"),
        ({"tools": [TOOL]}, ParameterRules(), Capabilities(tools=False), "tools"),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            ParameterRules(),
            Capabilities(forced_tool_choice=False),
            "tool_choice",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
            ParameterRules(),
            Capabilities(json_schema=False),
            "response_format",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]},
            ParameterRules(),
            Capabilities(vision=False),
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    USER,
                    {
                        "role": "user",
                        "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}],
                    },
                ]
            },
            ParameterRules(),
            Capabilities(audio=False),
            "messages[1].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            ParameterRules(),
            Capabilities(pdf=False),
            "messages[0].content[0]",
        ),
        ({"n": 2}, ParameterRules(refuses=["n"]), Capabilities(), "n"),
        ({"stop": ["x"]}, ParameterRules(refuses=["stop"]), Capabilities(), "stop"),
    ],
)
def test_what_the_model_is_known_not_to_do_is_refused_before_sending(
    fields: dict[str, Any], rules: ParameterRules, can: Capabilities, param: str
) -> None:
    assert refused(from_client(**fields), rules=rules, can=can) == param


def test_an_unknown_capability_is_tried() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "u"}}]
    assert sent(from_client(messages=[{"role": "user", "content": parts}], tools=[TOOL]))["tools"] == [TOOL]


def test_a_refused_knob_is_dropped_and_a_refused_default_value_left_out() -> None:
    encoded = encode(from_client(seed=1, n=1), rules=ParameterRules(refuses=["seed", "n", "user"]))
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert (set(encoded.report.dropped), set(encoded.report.mapped)) == ({"seed"}, {"n"})


def test_what_the_operator_wants_dropped_is_not_refused_for_the_model() -> None:
    quirks = Quirks(drop=("stop",))
    encoded = encode(from_client(stop="x"), rules=ParameterRules(refuses=["stop"]), quirks=quirks)
    assert set(encoded.report.dropped) == {"stop"}


def test_quirks_drop_what_a_server_does_not_accept() -> None:
    encoded = encode(
        from_client(seed=1, stop="x", top_k=3), quirks=Quirks(drop=("seed", "stop"), extra_parameters=False)
    )
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert set(encoded.report.dropped) == {"seed", "stop", "top_k"}


def test_a_json_schema_is_sent_with_its_name() -> None:
    wanted = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema={"type": "object"}))
    assert sent(from_library(response_format=wanted))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "object"}},
    }


def test_a_value_that_json_cannot_express_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest):
        encode(from_library(extra={"x": object()}))


# -- streams ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [from_client, from_library])
def test_usage_is_always_asked_for_in_a_stream(make: Any) -> None:
    body = sent(make(stream=True), stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_other_stream_options_of_the_client_stay() -> None:
    request = from_client(stream=True, stream_options={"include_obfuscation": False, "own": 1})
    assert sent(request, stream=True)["stream_options"] == {
        "include_obfuscation": False,
        "own": 1,
        "include_usage": True,
    }
    library = from_library(stream=True, stream_options=StreamOptions(include_obfuscation=False))
    assert sent(library, stream=True)["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_a_server_without_stream_options_gets_none() -> None:
    encoded = encode(from_client(stream=True), stream=True, quirks=Quirks(stream_usage=False))
    assert "stream_options" not in json.loads(encoded.body)
    assert encoded.report.dropped == {}
    encoded = encode(
        from_client(stream=True, stream_options={"include_usage": True}), stream=True, quirks=Quirks(stream_usage=False)
    )
    assert "stream_options" in encoded.report.dropped


def test_a_whole_answer_is_asked_for_without_stream_fields() -> None:
    body = sent(from_client(stream=True, stream_options={"include_usage": True}))
    assert body["stream"] is False
    assert "stream_options" not in body


def test_a_model_that_does_not_stream_is_not_asked_to() -> None:
    assert refused(from_client(stream=True), stream=True, can=Capabilities(streaming=False)) == "stream"
