"""Requests of clients of Anthropic's Messages API: what they become, and where their mistakes are."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anthropic_models import encoded
from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from recorded import interactions

HI = {"role": "user", "content": "Hi"}


def decoded(body: Any = None, headers: dict[str, str] | None = None, **fields: Any) -> ChatRequest:
    if body is None:
        body = {"model": "m", "max_tokens": 100, "messages": [HI], **fields}
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return anthropic_messages_client.decode_request(raw, headers or {})


def messages(*turns: tuple[str, Any], **fields: Any) -> list[Message]:
    return decoded(messages=[{"role": role, "content": content} for role, content in turns], **fields).messages


def use(call_id: str, name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": fields}


def result(call_id: str, content: Any = "r", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


# -- parameters ---------------------------------------------------------------------------------------------------------


def test_parameters_get_their_common_names() -> None:
    request = decoded(
        model="primary",
        temperature=0.5,
        top_p=0.9,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
    )
    assert (request.model, request.max_tokens, request.stream) == ("primary", 100, True)
    assert (request.temperature, request.top_p, request.stop) == (0.5, 0.9, ["END"])
    assert (request.user, request.service_tier) == ("u-1", "default")
    assert request.extra == {}


def test_anthropics_own_fields_stay_what_they_are() -> None:
    request = decoded(top_k=5, cache_control={"type": "ephemeral"}, x_later=[1], thinking=None)
    assert request.extra_value("top_k") == 5
    assert request.extra_value("cache_control") == {"type": "ephemeral"}
    assert request.extra_value("x_later") == [1]
    assert "thinking" not in request.extra


def test_the_source_has_the_fields_and_the_two_headers() -> None:
    headers = {"anthropic-beta": "b", "anthropic-version": "2023-06-01", "x-api-key": "secret", "user-agent": "x"}
    source = decoded(headers=headers, x_later={"a": 1}).source
    assert source is not None
    assert source.dialect == "anthropic_messages"
    assert source.headers == {"anthropic-beta": "b", "anthropic-version": "2023-06-01"}
    assert bytes(source.fields["x_later"]) == b'{"a":1}'
    assert "secret" not in repr(source)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"output_config": {"effort": "high"}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, "high"),
    ],
)
def test_thinking_is_told_to_others_as_an_effort(fields: dict[str, Any], effort: str | None) -> None:
    request = decoded(**fields)
    assert request.reasoning_effort == effort
    for name, value in fields.items():
        assert request.extra_value(name) == value


def test_the_output_format_is_the_response_format() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    request = decoded(output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}})
    assert plain(request.response_format) == {
        "type": "json_schema",
        "json_schema": {"schema": schema, "strict": True},
    }
    assert request.extra_value("output_config") == {"effort": "low"}
    alone = decoded(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert alone.extra == {}


def test_tools_and_the_choice_among_them() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = decoded(
        tools=[
            {"name": "f", "description": "Does.", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
            {"name": "g", "type": "custom", "input_schema": schema, "strict": True, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )
    assert plain(request.tools) == [
        {
            "type": "function",
            "function": {"name": "f", "description": "Does.", "parameters": schema},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "function", "function": {"name": "g", "parameters": schema, "strict": True}},
        {"type": "web_search_20250305"},
    ]
    assert request.parallel_tool_calls is False
    with pytest.raises(UnsupportedFeature):
        encoded(msgspec.structs.replace(request, source=None))


@pytest.mark.parametrize(
    ("choice", "common"),
    [
        (None, None),
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_every_choice_has_its_common_name(choice: Any, common: Any) -> None:
    request = decoded(tool_choice=choice)
    assert request.tool_choice == common
    assert request.parallel_tool_calls is None


# -- conversation -------------------------------------------------------------------------------------------------------


def test_a_system_prompt_is_the_first_message() -> None:
    assert plain(messages(("user", "Hi"), system="Be brief.")[0]) == {"role": "system", "content": "Be brief."}
    blocks = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert plain(messages(("user", "Hi"), system=blocks)[0]) == {"role": "system", "content": blocks}
    assert len(messages(("user", "Hi"), system="")) == 1


def test_a_system_message_between_the_turns_stays_there() -> None:
    found = messages(("user", "a"), ("system", "s"), ("assistant", "b"), ("user", "c"))
    assert [message.role for message in found] == ["user", "system", "assistant", "user"]


def test_text_alone_is_a_string_and_more_are_parts() -> None:
    assert messages(("user", [{"type": "text", "text": "a"}]))[0].content == "a"
    many = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b"},
    ]
    assert plain(messages(("user", many))[0].content) == many


def test_results_become_messages_of_their_own_before_the_rest() -> None:
    found = messages(
        ("user", "q"),
        ("assistant", [{"type": "text", "text": "t"}, use("a", x=1), use("b")]),
        ("user", [result("a"), result("b", [{"type": "text", "text": "s"}]), {"type": "text", "text": "and?"}]),
    )
    assert [plain(message) for message in found[1:]] == [
        {
            "role": "assistant",
            "content": "t",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "r"},
        {"role": "tool", "tool_call_id": "b", "content": "s"},
        {"role": "user", "content": "and?"},
    ]


def test_a_result_may_fail_be_empty_have_images_and_a_cache_breakpoint() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    hint = {"type": "ephemeral"}
    found = messages(
        ("user", "q"),
        ("assistant", [use(each) for each in "abcde"]),
        (
            "user",
            [
                result("a", "boom", is_error=True),
                {"type": "tool_result", "tool_use_id": "b"},
                result("c", [picture], is_error=True),
                result("d", "r", cache_control=hint),
                result("e", [picture], cache_control=hint),
            ],
        ),
    )
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert [plain(message.content) for message in found[2:]] == [
        "Error: boom",
        "",
        [{"type": "text", "text": "Error:"}, shown],
        [{"type": "text", "text": "r", "cache_control": hint}],
        [{**shown, "cache_control": hint}],
    ]


def test_thinking_is_kept_verbatim_and_told_as_reasoning() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s1", "later": 1},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
    ]
    found = messages(("user", "q"), ("assistant", [*blocks, {"type": "text", "text": "a"}]), ("user", "b"))[1]
    assert found.thinking_blocks == blocks
    assert found.reasoning_content == "Hm."
    assert found.content == "a"


def test_consecutive_turns_of_the_assistant_are_one_message() -> None:
    found = messages(
        ("user", "q"), ("assistant", "a"), ("assistant", [use("x")]), ("assistant", [use("y")]),
        ("user", [result("x"), result("y")]),
    )  # fmt: skip
    assert [message.role for message in found] == ["user", "assistant", "tool", "tool"]
    assert [call.id for call in found[1].tool_calls or ()] == ["x", "y"]


def test_images_and_documents_become_parts() -> None:
    def source(**fields: Any) -> dict[str, Any]:
        return {"source": fields}

    content = [
        {"type": "image", **source(type="url", url="https://x/y.png")},
        {"type": "image", **source(type="base64", media_type="image/png", data="AAAA"), "cache_control": {"type": "e"}},
        {"type": "image", **source(type="file", file_id="file_1")},
        {"type": "document", **source(type="base64", media_type="application/pdf", data="JVBE"), "title": "a.pdf"},
        {"type": "document", **source(type="text", media_type="text/plain", data="body"), "title": "T"},
        {"type": "document", **source(type="url", url="https://x/y.pdf")},
        {"type": "document", **source(type="text", data="body"), "citations": {"enabled": True}},
        {"type": "search_result", "source": "https://x", "title": "t", "content": []},
    ]
    assert plain(messages(("user", content))[0].content) == [
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "cache_control": {"type": "e"}},
        {"type": "image"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        {"type": "text", "text": "T\n\nbody"},
        {"type": "document"},
        {"type": "document"},
        {"type": "search_result"},
    ]


def test_blocks_without_a_common_form_are_named_so_that_others_refuse_them() -> None:
    request = decoded(
        messages=[
            HI,
            {
                "role": "assistant",
                "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}],
            },
            HI,
        ]
    )
    with pytest.raises(UnsupportedFeature) as caught:
        encoded(msgspec.structs.replace(request, source=None))
    assert caught.value.param == "messages[1].content[0]"


def test_recorded_conversations_are_understood() -> None:
    request = decoded(interactions("anthropic__test_multiple_parallel_tool_calls")[1].request)
    assert [message.role for message in request.messages] == ["system", "user", "assistant", *["tool"] * 4]


def test_counting_needs_no_limit() -> None:
    body = msgspec.json.encode({"model": "m", "messages": [HI]})
    assert anthropic_messages_client.decode_count_request(body, {}).max_tokens is None
    assert anthropic_messages_client.encode_count(7) == b'{"input_tokens":7}'


# -- mistakes -----------------------------------------------------------------------------------------------------------


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 1, "messages": [HI], **fields}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in body().items() if key != name}


def content(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return body(messages=[{"role": role, "content": list(blocks)}])


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (b"", None),
        (b"{", None),
        (b'{"model":}', None),
        (b"[]", None),
        (b'"text"', None),
        (b'{"model":"\xff"}', None),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"x":"\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"x":' * 5000, None),
        (without("model"), "model"),
        (without("max_tokens"), "max_tokens"),
        (without("messages"), "messages"),
        (body(messages=[]), "messages"),
        (body(messages="Hi"), "messages"),
        (body(messages=[1]), "messages[0]"),
        (body(messages=[{"role": "user"}]), "messages[0].content"),
        (body(messages=[{"content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
        (body(messages=[{"role": "user", "content": ""}]), "messages[0].content"),
        (body(max_tokens="many"), "max_tokens"),
        (body(max_tokens=-1), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(temperature=1.5), "temperature"),
        (body(top_p=-0.1), "top_p"),
        (body(top_k=-1), "top_k"),
        (body(stream="yes"), "stream"),
        (body(stop_sequences="x"), "stop_sequences"),
        (body(system=5), "system"),
        (body(system=[{"type": "image"}]), "system[0].source"),
        (body(system=[{"type": "hologram"}]), "system[0].type"),
        (body(metadata={"user_id": 5}), "metadata.user_id"),
        (body(tools=[{"input_schema": {}}]), "tools[0].name"),
        (body(tools=[{"name": "f"}]), "tools[0].input_schema"),
        (body(tools=[{"name": "f", "input_schema": []}]), "tools[0].input_schema"),
        (body(tool_choice="auto"), "tool_choice"),
        (body(tool_choice={"type": "maybe"}), "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), "tool_choice.name"),
        (body(thinking=True), "thinking"),
        (body(thinking={"budget_tokens": 5}), "thinking.type"),
        (body(output_config={"format": {"type": "yaml"}}), "output_config.format"),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"x":1e999}', "x"),
        (content(), "messages[0].content"),
        (content("text"), "messages[0].content[0]"),
        (content({}), "messages[0].content[0].type"),
        (content({"type": "text"}), "messages[0].content[0].text"),
        (content({"type": "text", "text": "a"}, {"type": "text", "text": 5}), "messages[0].content[1].text"),
        (content({"type": "image", "source": {"type": "url"}}), "messages[0].content[0].source.url"),
        (
            content({"type": "image", "source": {"type": "base64", "data": "A"}}),
            "messages[0].content[0].source.media_type",
        ),
        (content(use("a")), "messages[0].content[0].type"),
        (content({"type": "thinking", "thinking": "x"}), "messages[0].content[0].type"),
        (content({"type": "tool_use", "id": "a", "name": "f", "input": "x"}, role="assistant"),
         "messages[0].content[0].input"),
        (content(result("a"), role="assistant"), "messages[0].content[0].type"),
        (content(result("x")), "messages[0].content[0].tool_use_id"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_the_path_of_its_field(wrong: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(wrong)
    assert caught.value.param == param


def test_a_value_of_the_client_is_never_repeated_in_a_message() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(messages=[{"role": "private words", "content": "x"}])
    assert caught.value.message == "messages[0].role: the value does not exist"


def test_orphans_are_named_by_their_place_in_the_clients_own_request() -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(
            ("user", "q"),
            ("assistant", [{"type": "text", "text": "t"}, use("a"), use("b")]),
            ("user", [result("b"), result("c")]),
            system="s",
        )
    assert caught.value.param == "messages[2].content[1].tool_use_id"
    assert "'c'" in caught.value.message
    with pytest.raises(InvalidRequest) as caught:
        messages(
            ("user", "q"),
            ("assistant", [{"type": "text", "text": "t"}, use("a"), use("b")]),
            ("user", [result("b"), {"type": "text", "text": "x"}]),
            system="s",
        )
    assert caught.value.param == "messages[1].content[1].id"
    assert "'a'" in caught.value.message


def test_nested_blocks_of_a_result_have_their_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(("user", "q"), ("assistant", [use("a")]), ("user", [result("a", [{"type": "text"}])]))
    assert caught.value.param == "messages[2].content[0].content[0].text"


@pytest.mark.parametrize(
    ("path", "clients_path"),
    [
        ("messages[0]", "system"),
        ("messages[0].content[1]", "system[1]"),
        ("messages[1].content[0]", "messages[0].content[0]"),
        ("messages[2].tool_calls[0].function.name", "messages[1].content[1].function.name"),
        ("messages[2].content[0]", "messages[1].content[0]"),
        ("messages[3].tool_call_id", "messages[2].content[0].tool_use_id"),
        ("messages[3].content[0].image_url.url", "messages[2].content[0].content[0].source"),
        ("messages[4].content[0].image_url.url", "messages[2].content[1].source"),
        ("messages[4]", "messages[2]"),
        ("messages[5].content[0]", "messages[3].content[0]"),
        ("messages[99]", "messages[99]"),
        ("tools[0].type", "tools[0].type"),
        ("stop", "stop_sequences"),
        ("reasoning_effort", "output_config.effort"),
        ("response_format.json_schema.schema", "output_config.format.schema"),
        ("response_format.type", "output_config.format.type"),
    ],
)
def test_what_another_vendor_cannot_do_is_named_by_the_clients_own_path(path: str, clients_path: str) -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    request = decoded(
        system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        messages=[
            {"role": "user", "content": [picture]},
            {"role": "assistant", "content": [{"type": "text", "text": "t"}, use("x")]},
            {"role": "user", "content": [result("x", [picture]), picture]},
            {"role": "system", "content": [{"type": "text", "text": "s"}]},
            {"role": "assistant", "content": "a"},
            HI,
        ],
    )
    assert anthropic_messages_client.client_path(path, request) == clients_path
    elsewhere = msgspec.structs.replace(request, source=None)
    assert anthropic_messages_client.client_path(path, elsewhere) == path


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["user", "text", "tool_use", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["model", "messages", "max_tokens", "role", "content", "type", "text", "tools", "system", "id"]),
        inner, max_size=5),
    max_leaves=12,
).map(msgspec.json.encode))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_a_client_sends_is_understood_or_refused(raw: bytes) -> None:
    try:
        request = anthropic_messages_client.decode_request(raw, {})
        assert request.messages
        encoded(request)
        encoded(msgspec.structs.replace(request, source=None))
    except InvalidRequest:
        return
