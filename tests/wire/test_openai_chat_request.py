"""What is sent to an OpenAI chat server: the client's bytes where they may stay, and every message and tool."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ParameterRules
from caxton_llm.protocols import Quirks
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FileInput,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)
from caxton_llm.wire import openai_chat
from caxton_llm.wire.openai_chat import client as openai_chat_client
from openai_chat_requests import (
    TOOL,
    USER,
    encode,
    from_client,
    from_elsewhere,
    from_library,
    options,
    refused,
    sent,
)
from recorded import interactions

# -- the client's bytes -------------------------------------------------------------------------------------------------


def test_a_request_of_this_dialect_keeps_its_bytes_but_for_the_model() -> None:
    body = (
        b'{"messages":[{"role":"user","content":[{"type":"text","text":"\\u00e9"},{"type":"video_url","video_url":{"url":"u"}}],'
        b'"vendor_key":{"x": 1.50}}],"model":"primary","temperature":0.70,"top_k":5,"future":{"a":[1,2]}}'
    )
    encoded = encode(openai_chat_client.decode_request(body, {}))
    assert encoded.body == body.replace(b"primary", b"m-1")
    assert encoded.report.mapped == encoded.report.dropped == {}


def test_the_same_request_gives_the_same_bytes_every_time() -> None:
    for request in (
        from_client(tools=[TOOL], seed=1),
        from_library(seed=1, tools=[Tool(type="function", function=FunctionDefinition(name="f"))]),
    ):
        assert encode(request).body == encode(request).body


def test_a_request_is_never_changed_by_its_encoding() -> None:
    request = from_client(
        tools=[], max_tokens=5, messages=[USER | {"role": "assistant", "content": "x", "reasoning_content": "y"}, USER]
    )
    before = msgspec.to_builtins(request.messages), dict(request.source.fields if request.source else {}), request.model
    encode(request, rules=ParameterRules(output_limit_field="max_completion_tokens"))
    assert before == (
        msgspec.to_builtins(request.messages),
        dict(request.source.fields if request.source else {}),
        request.model,
    )


def test_null_is_never_sent_and_zero_always() -> None:
    body = sent(from_client(temperature=0, top_p=None, seed=None, tools=None, custom=None, logit_bias={}))
    assert body == {"model": "m-1", "messages": [USER], "temperature": 0, "logit_bias": {}}
    body = sent(from_library(temperature=0.0, top_p=0.0, seed=0, extra={"top_k": None, "min_p": 0}))
    assert body == {"model": "m-1", "messages": [USER], "temperature": 0.0, "top_p": 0.0, "seed": 0, "min_p": 0}


def test_unknown_fields_of_a_library_call_are_sent_as_values_or_bytes() -> None:
    body = sent(from_library(extra={"top_k": 3, "raw": msgspec.Raw(b'{"a":1}')}))
    assert (body["top_k"], body["raw"]) == (3, {"a": 1})


def test_fields_of_another_dialect_are_dropped_and_reported() -> None:
    encoded = encode(from_elsewhere(extra={"thinking": {"type": "enabled"}}))
    assert "thinking" not in json.loads(encoded.body)
    assert "thinking" in encoded.report.dropped
    hint = encode(from_elsewhere(extra={"cache_control": {"type": "ephemeral"}}), strict=True)
    assert set(hint.report.dropped) == {"cache_control"}
    kept = openai_chat.encode_chat(
        from_elsewhere(extra={"top_k": 3}), options(), stream=False, foreign_extras=frozenset({"top_k"})
    )
    assert json.loads(kept.body)["top_k"] == 3


def test_anthropics_thinking_is_told_as_the_effort_that_it_became() -> None:
    request = from_elsewhere(reasoning_effort="medium", extra={"thinking": {"type": "adaptive"}})
    encoded = encode(request, strict=True)
    assert json.loads(encoded.body)["reasoning_effort"] == "medium"
    assert encoded.report.mapped == {"thinking": "reasoning_effort"}


def test_only_listed_headers_travel_on() -> None:
    body = json.dumps({"messages": [USER]}).encode()
    request = openai_chat_client.decode_request(
        body, {"openai-beta": "x=1", "authorization": "Bearer secret", "cookie": "c"}
    )
    assert encode(request).headers == (("openai-beta", "x=1"),)


def test_recorded_requests_are_sent_as_the_vendors_client_sent_them() -> None:
    for name in (
        "openai__test_openai_native_output",
        "openai__test_tool_choice_matrix.list_single-openai",
        "openai__test_run_stream_sync_streams_real_model",
        "openai__test_openai_chat_prompt_cache_e2e",
        "openai__test_compatible_api_with_tool_calls_without_id",
    ):
        for item in interactions(name):
            request = openai_chat_client.decode_request(json.dumps(item.request).encode(), {})
            stream = bool(item.request.get("stream"))
            assert sent(request, stream=stream) == item.request | {"model": "m-1"}


# -- messages -----------------------------------------------------------------------------------------------------------


def test_extensions_of_the_common_model_are_stripped_and_reported_even_when_strict() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "own": 1}]},
        {
            "role": "assistant",
            "content": "b",
            "reasoning_content": "why",
            "thinking_blocks": [{}],
            "refusal": None,
            "name": "n",
        },
        USER,
    ]
    encoded = encode(from_client(messages=messages), strict=True)
    assert json.loads(encoded.body)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a", "own": 1}]},
        {"role": "assistant", "content": "b", "refusal": None, "name": "n"},
        USER,
    ]
    assert set(encoded.report.dropped) == {"cache_control", "reasoning_content", "thinking_blocks"}


@pytest.mark.parametrize("key", ["reasoning_content", "thinking_blocks", "cache_control"])
def test_an_extension_is_stripped_however_its_key_is_written(key: str) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in key)
    for written in (key, escaped):
        value = '"why"' if key == "reasoning_content" else "[{}]"
        body = (
            f'{{"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":"b","{written}":{value}}}]}}'
        )
        encoded = encode(openai_chat_client.decode_request(body.encode(), {}))
        assert json.loads(encoded.body)["messages"][1] == {"role": "assistant", "content": "b"}
        assert list(encoded.report.dropped) == [key]


def test_only_the_messages_that_must_change_are_written_anew() -> None:
    body = (
        b'{"messages":[{"role":"user","content":  "a"},{"role":"assistant","content":"b","reasoning_content":"c"},'
        b'{"role":"user","content":  "d"}]}'
    )
    encoded = encode(openai_chat_client.decode_request(body, {}))
    assert encoded.body.count(b'"content":  ') == 2


def test_an_empty_list_of_calls_is_not_sent_because_some_servers_give_it_and_others_refuse_it() -> None:
    answered = {"role": "assistant", "content": "hello", "tool_calls": []}
    body = sent(from_client(messages=[USER, answered, USER]))
    assert body["messages"] == [USER, {"role": "assistant", "content": "hello"}, USER]


def test_a_turn_that_only_calls_tools_gets_the_content_key_where_the_server_insists_on_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns: list[dict[str, Any]] = [
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]
    request = from_client(messages=turns, tools=[TOOL])
    assert sent(request)["messages"] == turns
    insisting = sent(request, quirks=Quirks(content_key=True))
    assert insisting["messages"] == [turns[0], {**turns[1], "content": None}, turns[2]]


def test_extensions_are_stripped_from_messages_of_another_dialect() -> None:
    encoded = encode(
        from_elsewhere(
            messages=[
                Message(role="user", content=[ContentPart(type="text", text="a", cache_control={"type": "ephemeral"})]),
                Message(role="assistant", content="b", reasoning_content="why", thinking_blocks=[{"signature": "s"}]),
                Message(role="user", content="c"),
            ],
            tools=[Tool(type="function", function=FunctionDefinition(name="f"), cache_control={"type": "ephemeral"})],
        )
    )
    assert json.loads(encoded.body)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    assert b"cache_control" not in encoded.body
    assert set(encoded.report.dropped) == {"cache_control", "reasoning_content", "thinking_blocks"}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("make", [from_client, from_library])
def test_reasoning_goes_back_to_a_server_that_takes_it(make: Any, field: str) -> None:
    messages: list[Any] = [USER, {"role": "assistant", "content": "b", "reasoning_content": "why"}, USER]
    if make is from_library:
        messages = msgspec.convert(messages, list[Message])
    encoded = encode(make(messages=messages), quirks=Quirks(reasoning_field=field))
    assert json.loads(encoded.body)["messages"][1] == {"role": "assistant", "content": "b", field: "why"}
    assert encoded.report.dropped == {}


def test_an_assistant_turn_that_only_calls_tools_has_content_null() -> None:
    body = sent(
        from_library(
            messages=[
                Message(role="user", content="hi"),
                Message(role="assistant", tool_calls=[ToolCall(id="c1", function=FunctionCall("f", "{}"))]),
                Message(role="tool", tool_call_id="c1", content="42"),
            ]
        )
    )
    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "42"}


def test_an_empty_assistant_turn_is_sent_as_empty_text() -> None:
    body = sent(
        from_elsewhere(
            messages=[
                Message(role="user", content="a"),
                Message(role="assistant", content=[]),
                Message(role="user", content="b"),
            ]
        )
    )
    assert body["messages"][1] == {"role": "assistant", "content": ""}


def test_an_image_in_a_tool_result_moves_into_a_user_message_behind_the_results() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64,AAAA"))
    encoded = encode(
        from_elsewhere(
            messages=[
                Message(role="user", content="look"),
                Message(
                    role="assistant",
                    tool_calls=[ToolCall(id=name, function=FunctionCall("shot", "{}")) for name in ("c1", "c2")],
                ),
                Message(role="tool", tool_call_id="c1", content=[ContentPart(type="text", text="done"), image]),
                Message(role="tool", tool_call_id="c2", content="ok"),
                Message(role="user", content="and?"),
            ]
        )
    )
    messages = json.loads(encoded.body)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert isinstance(messages[2]["content"], str)
    assert messages[2]["content"].startswith("done")
    assert messages[4]["content"][-1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert "messages[].content" in encoded.report.mapped


def test_content_that_this_api_has_no_form_for_is_refused_by_path() -> None:
    messages = [Message(role="user", content=[ContentPart(type="text", text="a"), ContentPart(type="server_tool_use")])]
    assert refused(from_elsewhere(messages=messages)) == "messages[0].content[1]"


def test_a_user_message_without_content_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(from_library(messages=[Message(role="user")]))
    assert caught.value.param == "messages[0].content"


def test_a_library_call_with_an_orphan_tool_result_is_refused_before_sending() -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(from_library(messages=[Message(role="tool", tool_call_id="c1", content="42")]))
    assert caught.value.param == "messages[0].tool_call_id"


@pytest.mark.parametrize("make", [from_client, from_library])
def test_system_text_is_sent_under_the_role_that_the_server_wants(make: Any) -> None:
    messages: list[Any] = [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, USER]
    if make is from_library:
        messages = msgspec.convert(messages, list[Message])
    encoded = encode(make(messages=messages), quirks=Quirks(system_role="developer"))
    assert [message["role"] for message in json.loads(encoded.body)["messages"]] == ["developer", "developer", "user"]
    assert "messages[].role" in encoded.report.mapped


# -- tools --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [from_client, from_library])
def test_an_empty_tool_list_and_what_needs_tools_are_left_out(make: Any) -> None:
    encoded = encode(make(tools=[], tool_choice="auto", parallel_tool_calls=True))
    assert set(json.loads(encoded.body)) == {"model", "messages"}
    assert set(encoded.report.mapped) == {"tool_choice", "parallel_tool_calls"}


def test_a_tool_without_parameters_or_description_is_sent_with_an_empty_schema() -> None:
    tool = Tool(type="function", function=FunctionDefinition(name="f", description=""))
    assert sent(from_library(tools=[tool]))["tools"] == [TOOL]


def test_another_vendors_built_in_tool_is_refused_not_removed() -> None:
    assert refused(from_elsewhere(tools=[Tool(type="web_search_20250305")])) == "tools[0].type"


def test_foreign_tool_names_are_renamed_everywhere_and_remembered() -> None:
    messages = [
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "mcp/read", "arguments": "{}"}, "extra": 1}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "mcp/read", "content": "42"},
    ]
    fields: dict[str, Any] = {
        "messages": messages,
        "tools": [{"type": "function", "function": {"name": "mcp/read"}, "own": 1}, TOOL],
        "tool_choice": {"type": "function", "function": {"name": "mcp/read"}},
    }
    encoded = encode(from_client(**fields))
    body = json.loads(encoded.body)
    (wire,) = encoded.restore.tool_names
    assert encoded.restore.tool_names == {wire: "mcp/read"}
    assert body["tools"][0] == {"type": "function", "function": {"name": wire}, "own": 1}
    assert body["tool_choice"]["function"]["name"] == wire
    assert body["messages"][1]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": wire, "arguments": "{}"},
        "extra": 1,
    }
    assert body["messages"][2]["name"] == wire
    fields["messages"] = msgspec.convert(messages, list[Message])
    fields["tools"] = msgspec.convert(fields["tools"], list[Tool])
    assert b"mcp/read" not in encode(from_library(**fields)).body


def test_allowed_tools_are_renamed_too() -> None:
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "a.b"}}]},
    }
    encoded = encode(from_client(tools=[{"type": "function", "function": {"name": "a.b"}}], tool_choice=choice))
    (wire,) = encoded.restore.tool_names
    assert json.loads(encoded.body)["tool_choice"]["allowed_tools"]["tools"][0]["function"]["name"] == wire


def test_custom_tools_keep_their_form() -> None:
    tool = {"type": "custom", "custom": {"name": "a.b", "format": {"type": "text"}}}
    encoded = encode(from_library(tools=[Tool(type="custom", custom=tool["custom"])]))
    (wire,) = encoded.restore.tool_names
    assert json.loads(encoded.body)["tools"] == [
        {"type": "custom", "custom": {"name": wire, "format": {"type": "text"}}}
    ]


def test_functions_of_a_client_of_this_dialect_stay_and_others_become_tools() -> None:
    fields: dict[str, Any] = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
        "functions": [{"name": "f"}],
        "function_call": "auto",
    }
    body = sent(from_client(**fields))
    assert body == {"model": "m-1", **fields}
    body = sent(
        from_library(
            messages=msgspec.convert(fields["messages"], list[Message]),
            functions=[FunctionDefinition(name="f")],
            function_call={"name": "f"},
        )
    )
    assert body["tools"] == [TOOL]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["messages"][2]["tool_call_id"] == body["messages"][1]["tool_calls"][0]["id"]
    assert body["parallel_tool_calls"] is False
    assert "functions" not in body


def test_parallel_calls_are_not_spoken_of_beside_functions() -> None:
    encoded = encode(from_client(functions=[{"name": "f"}], parallel_tool_calls=False), strict=True)
    assert "parallel_tool_calls" not in json.loads(encoded.body)
    assert set(encoded.report.mapped) == {"parallel_tool_calls"}


def test_a_schema_that_openai_would_refuse_is_sent_without_strict_and_that_is_said() -> None:
    open_schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    closed = open_schema | {"required": ["a"], "additionalProperties": False}
    for schema, strict in ((open_schema, False), (closed, True)):
        encoded = encode(
            from_elsewhere(
                tools=[Tool(type="function", function=FunctionDefinition(name="f", parameters=schema, strict=True))],
                response_format=ResponseFormat(
                    type="json_schema", json_schema=JsonSchemaFormat(schema=schema, strict=True)
                ),
            )
        )
        body = json.loads(encoded.body)
        assert body["tools"][0]["function"]["strict"] is strict
        assert body["response_format"]["json_schema"]["strict"] is strict
        assert bool(encoded.report.mapped) is not strict


# -- laws ---------------------------------------------------------------------------------------------------------------

texts = st.text(max_size=12)
parts = st.lists(
    st.builds(ContentPart, type=st.just("text"), text=texts)
    | st.builds(
        ContentPart,
        type=st.just("image_url"),
        image_url=st.builds(ImageUrl, url=texts, detail=st.none() | st.just("low")),
    )
    | st.builds(ContentPart, type=st.just("file"), file=st.builds(FileInput, file_id=texts)),
    min_size=1,
    max_size=3,
)
turns = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["user", "system", "developer"]),
        content=texts | parts,
        name=st.none() | st.just("n"),
    )
    | st.builds(Message, role=st.just("assistant"), content=texts.filter(bool)),
    min_size=1,
    max_size=4,
)
requests = st.builds(
    ChatRequest,
    messages=turns,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(-9, 9),
    stop=st.none() | texts | st.lists(texts, max_size=2),
    max_completion_tokens=st.none() | st.integers(1, 9),
    logit_bias=st.none() | st.dictionaries(texts, st.floats(-9, 9), max_size=2),
    reasoning_effort=st.none() | st.just("low"),
    tools=st.none()
    | st.lists(
        st.builds(
            Tool,
            type=st.just("function"),
            function=st.builds(FunctionDefinition, name=st.just("f"), parameters=st.just({"type": "object"})),
        ),
        min_size=1,
        max_size=2,
    ),
)


@given(request=requests)
@settings(max_examples=100, deadline=None)
def test_a_written_request_is_read_back_as_the_same(request: ChatRequest) -> None:
    read = openai_chat_client.decode_request(encode(request).body, {})
    read.source, read.model, read.extra = None, request.model, {}
    assert read == request
