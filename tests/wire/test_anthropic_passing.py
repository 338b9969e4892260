"""A request that came in Anthropic's dialect and goes out in it: the caller's bytes, except where the target demands more."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from anthropic_models import ADAPTIVE, ALWAYS_THINKS, BUDGETED, OLD, UNKNOWN, Sent, encoded
from caxton_llm.errors import UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Defaults, EncodeOptions, Quirks
from caxton_llm.wire import anthropic_messages
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from recorded import interactions


def passed(
    body: Mapping[str, Any] | bytes, model: ModelInfo = UNKNOWN, *, headers: Mapping[str, str] | None = None, **how: Any
) -> Sent:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return encoded(anthropic_messages_client.decode_request(raw, headers or {}), model, **how)


def minimal(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "q"}], **fields}


def test_every_field_keeps_its_bytes_and_its_place() -> None:
    body = (
        b'{"max_tokens":100,"x_unknown":{ "b" : 1,"a":[1.0, "\\u00e9"]},"model":"primary",'
        b'"messages":[ {"role":"user","content":[{"type":"hologram","x":1},{"type":"text","text":"q",'
        b'"cache_control":{"type":"ephemeral","ttl":"1h"}}]} ],"system":"","metadata":{"user_id":"u","y":2}}'
    )
    sent = passed(body)
    assert sent.bytes == body.replace(b'"primary"', b'"claude-next"')
    assert sent.mapped == sent.dropped == {}


@pytest.mark.parametrize(
    "name",
    [
        "anthropic__test_anthropic_cache_real_api",
        "anthropic__test_anthropic_model_thinking_part_redacted",
        "anthropic__test_image_url_input",
        "anthropic__test_multiple_parallel_tool_calls",
        "anthropic__test_tool_choice_matrix.required-anthropic",
    ],
)
def test_recorded_requests_are_sent_as_they_came(name: str) -> None:
    for recorded in interactions(name):
        model = msgspec.structs.replace(BUDGETED, id=recorded.request["model"])
        assert passed(recorded.request, model).body == recorded.request


@pytest.mark.parametrize(("said", "wanted"), [(None, True), (False, True), (True, False), (None, False)])
def test_stream_is_what_this_attempt_wants(said: bool | None, wanted: bool) -> None:
    body = minimal() if said is None else minimal(stream=said)
    assert passed(body, stream=wanted).body.get("stream", False) is wanted
    assert ("stream" in passed(body, stream=wanted).body) is (wanted or said is not None)


def test_defaults_fill_only_what_the_caller_left_open() -> None:
    defaults = Defaults(
        max_tokens=7, temperature=0.3, extra={"service_tier": "standard_only", "metadata": {"user_id": "d"}}
    )
    sent = passed(minimal(metadata={"user_id": "u"}), defaults=defaults)
    assert sent.body == minimal(
        model="claude-next", metadata={"user_id": "u"}, temperature=0.3, service_tier="standard_only"
    )
    assert passed(minimal(temperature=0.0), defaults=defaults).body["temperature"] == 0


def test_configured_thinking_is_added_and_has_room() -> None:
    sent = passed(minimal(), BUDGETED, defaults=Defaults(reasoning_effort="medium"))
    assert sent.body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert sent.body["max_tokens"] == 4196
    own = passed(minimal(thinking={"type": "disabled"}), BUDGETED, defaults=Defaults(reasoning_effort="medium"))
    assert own.body["thinking"] == {"type": "disabled"}


def test_sampling_that_the_model_refuses_is_dropped_and_reported() -> None:
    sent = passed(minimal(temperature=0.2, top_k=3), ADAPTIVE)
    assert sent.body == minimal(model="claude-opus-5")
    assert set(sent.dropped) == {"temperature", "top_k"}
    with pytest.raises(UnsupportedFeature):
        passed(minimal(temperature=0.2), ADAPTIVE, strict=True)


def test_what_the_server_is_configured_not_to_accept_is_dropped() -> None:
    sent = passed(minimal(stop_sequences=["x"], speed="fast"), quirks=Quirks(drop=("stop", "speed")))
    assert sent.body == minimal(model="claude-next")
    assert set(sent.dropped) == {"stop", "speed"}


def test_a_format_that_the_server_is_configured_not_to_accept_is_dropped() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    quirks = Quirks(drop=("response_format",))
    assert passed(minimal(output_config={"format": wanted}), quirks=quirks).body == minimal(model="claude-next")
    sent = passed(minimal(output_config={"effort": "low", "format": wanted}), quirks=quirks)
    assert sent.body["output_config"] == {"effort": "low"}
    assert list(sent.dropped) == ["response_format"]


def test_a_limit_above_the_models_own_is_lowered_and_reported() -> None:
    sent = passed(minimal(max_tokens=50_000), OLD)
    assert sent.body["max_tokens"] == 4096
    assert list(sent.mapped) == ["max_tokens"]


def test_thinking_is_adapted_to_the_model_and_only_then() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    kept = passed(minimal(max_tokens=100, thinking=thinking), BUDGETED)
    assert kept.body == minimal(model="claude-haiku-4-5", max_tokens=100, thinking=thinking)
    adapted = passed(
        minimal(thinking=thinking, output_config={"format": {"type": "json_schema", "schema": {}}}), ADAPTIVE
    )
    assert adapted.body["thinking"] == {"type": "adaptive"}
    assert adapted.body["output_config"] == {"format": {"type": "json_schema", "schema": {}}, "effort": "medium"}
    assert list(adapted.mapped) == ["thinking"]


def test_thinking_is_not_switched_to_a_budget_that_the_conversation_does_not_allow() -> None:
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]
    sent = passed(minimal(messages=messages, thinking={"type": "adaptive"}), BUDGETED)
    assert "thinking" not in sent.body
    assert list(sent.dropped) == ["thinking"]
    own = {"type": "enabled", "budget_tokens": 2000}
    assert passed(minimal(messages=messages, thinking=own), BUDGETED).body["thinking"] == own


def test_an_effort_that_the_model_lacks_is_fitted_or_dropped() -> None:
    fitted = passed(minimal(output_config={"effort": "max"}), ALWAYS_THINKS)
    assert fitted.body["output_config"] == {"effort": "high"}
    dropped = passed(minimal(output_config={"effort": "max"}), BUDGETED)
    assert "output_config" not in dropped.body
    assert list(dropped.dropped) == ["output_config.effort"]


def test_what_this_model_cannot_do_and_another_can_is_refused() -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    prefill = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "The"}]
    with pytest.raises(UnsupportedFeature):
        passed(minimal(tools=tools, tool_choice={"type": "any"}), ALWAYS_THINKS)
    with pytest.raises(UnsupportedFeature):
        passed(minimal(messages=prefill), ADAPTIVE)
    assert passed(minimal(messages=prefill), BUDGETED).body["messages"] == prefill


def test_a_turn_that_pauses_for_the_providers_own_tools_is_no_prefill() -> None:
    paused = [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}],
        },
    ]
    assert passed(minimal(messages=paused), ADAPTIVE).body["messages"] == paused


def test_thinking_that_anthropic_never_signed_is_taken_out_of_the_conversation() -> None:
    messages = [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "another vendor's", "signature": ""},
                {"type": "thinking", "thinking": "", "signature": "signed"},
                {"type": "text", "text": "a"},
            ],
        },
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "only this", "signature": ""}]},
        {"role": "user", "content": "c"},
    ]
    sent = passed(minimal(messages=messages))
    assert sent.body["messages"] == [
        messages[0],
        {"role": "assistant", "content": messages[1]["content"][1:]},  # type: ignore[index]
        messages[2],
        messages[4],
    ]
    assert list(sent.dropped) == ["messages[].thinking_blocks"]


def test_names_of_tools_that_anthropic_refuses_are_renamed_and_nothing_else_is_touched() -> None:
    body = (
        b'{"model":"m","max_tokens":9,"tools":[{"name":"files/read","input_schema":{ "type":"object"}},'
        b'{"name":"plain", "input_schema":{"type":"object"}},{"type":"web_search_20250305","name":"web_search"}],'
        b'"tool_choice":{"type":"tool", "name":"files/read"},"messages":[{"role":"user", "content":"q"},'
        b'{"role":"assistant","content":[{"type":"text", "text":"files/read"},'
        b'{"type":"tool_use","id":"a","name":"files/read","input":{ "x":1.50}}]},'
        b'{"role":"user","content":[{"type":"tool_result", "tool_use_id":"a"}]}]}'
    )
    sent = passed(body)
    ((wire, name),) = sent.restore.tool_names.items()
    assert name == "files/read"
    assert [tool["name"] for tool in sent.body["tools"]] == [wire, "plain", "web_search"]
    assert sent.body["tool_choice"] == {"type": "tool", "name": wire}
    assert sent.body["messages"][1]["content"][0] == {"type": "text", "text": "files/read"}
    assert sent.body["messages"][1]["content"][1]["name"] == wire
    for kept in (b'{"role":"user", "content":"q"}', b'{ "x":1.50}', b'{"name":"plain", "input_schema"'):
        assert kept in sent.bytes
    long = "x" * 128
    plain = body.replace(b"files/read", long.encode()).replace(b'"m"', b'"claude-next"')
    assert passed(plain).bytes == plain
    assert passed(plain).restore.tool_names == {}
    too_long = passed(body.replace(b"files/read", b"y" * 129))
    assert all(len(tool["name"]) <= 128 for tool in too_long.body["tools"])


def test_renaming_and_thinking_of_another_vendors_go_together() -> None:
    thinking = {"type": "thinking", "thinking": "another vendor's", "signature": ""}
    call = {"type": "tool_use", "id": "a", "name": "a/b", "input": {}}
    history = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [thinking, call]}]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}
    sent = passed(minimal(messages=[*history, result]))
    (wire,) = sent.restore.tool_names
    assert sent.body["messages"][1]["content"] == [{**call, "name": wire}]


def test_known_betas_travel_on_and_others_are_reported() -> None:
    headers = {
        "anthropic-beta": "interleaved-thinking-2025-05-14, made-up-2026-01-01,files-api-2099-01-01,,x",
        "x-api-key": "sk-secret",
        "anthropic-version": "2023-06-01",
    }
    sent = passed(minimal(), headers=headers, strict=True)
    assert sent.headers == {"anthropic-beta": "interleaved-thinking-2025-05-14,files-api-2099-01-01"}
    assert set(sent.dropped) == {"anthropic-beta made-up-2026-01-01", "anthropic-beta x"}


def test_counting_keeps_the_bytes_that_count() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    request = anthropic_messages_client.decode_count_request(
        msgspec.json.encode({"model": "m", "messages": minimal()["messages"], "tools": tools, "x_unknown": 1}), {}
    )
    options = EncodeOptions(model=BUDGETED, send_model="claude-haiku-4-5", defaults=Defaults(temperature=0.5))
    assert msgspec.json.decode(anthropic_messages.encode_count(request, options).body) == {
        "model": "claude-haiku-4-5",
        "messages": minimal()["messages"],
        "tools": tools,
    }
