"""What Anthropic gets of a conversation that came from elsewhere: as recorded, and turn by turn."""

from typing import Any

import msgspec
import pytest

from anthropic_models import ADAPTIVE, BUDGETED, OLD, UNKNOWN, encoded, part, user
from caxton_llm.errors import UnsupportedFeature
from caxton_llm.types import (
    ChatRequest,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    Message,
    Role,
    Tool,
    ToolCall,
)
from recorded import interactions


def message(role: Role, content: Any = None, **fields: Any) -> Message:
    return Message(role=role, content=content, **fields)


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall(name, arguments))


def tool(name: str = "f", **fields: Any) -> Tool:
    return Tool(type="function", function=FunctionDefinition(name=name, **fields))


def turns(*messages: Message, model: Any = UNKNOWN, **fields: Any) -> list[dict[str, Any]]:
    body = encoded(ChatRequest(messages=list(messages), **fields), model).body
    found: list[dict[str, Any]] = body["messages"]
    return found


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


# -- what is sent equals what was recorded ------------------------------------------------------------------------------


def test_a_conversation_with_parallel_calls_is_sent_as_recorded() -> None:
    recorded = interactions("anthropic__test_multiple_parallel_tool_calls")[1].request
    history = recorded["messages"]
    calls = [
        call(block["id"], block["name"], msgspec.json.encode(block["input"]).decode())
        for block in history[1]["content"][1:]
    ]
    results = [message("tool", block["content"], tool_call_id=block["tool_use_id"]) for block in history[2]["content"]]
    (wire_tool,) = recorded["tools"]
    request = ChatRequest(
        messages=[
            message("system", recorded["system"]),
            message("user", history[0]["content"][0]["text"]),
            message("assistant", history[1]["content"][0]["text"], tool_calls=calls),
            *results,
        ],
        tools=[tool(wire_tool["name"], description=wire_tool["description"], parameters=wire_tool["input_schema"])],
        tool_choice="auto",
        max_completion_tokens=recorded["max_tokens"],
    )
    sent = encoded(request, msgspec.structs.replace(BUDGETED, id=recorded["model"])).body
    for block in recorded["messages"][2]["content"]:
        assert block.pop("is_error") is False  # its default
    assert sent == {name: value for name, value in recorded.items() if name != "stream"}


def test_an_image_by_url_is_sent_as_recorded() -> None:
    (recorded,) = interactions("anthropic__test_image_url_input")
    content = recorded.request["messages"][0]["content"]
    sent = encoded(
        user(
            part("text", text=content[0]["text"]),
            part("image_url", image_url=ImageUrl(url=content[1]["source"]["url"])),
            max_tokens=4096,
        ),
        msgspec.structs.replace(BUDGETED, id="claude-haiku-4-5"),
    )
    assert sent.body | {"stream": False} == recorded.request


def test_a_forced_tool_is_sent_as_recorded() -> None:
    (recorded,) = interactions("anthropic__test_tool_choice_matrix.required-anthropic")
    (wire_tool,) = recorded.request["tools"]
    sent = encoded(
        user(
            "What's the weather in Paris?",
            tools=[tool("get_weather", description=wire_tool["description"], parameters=wire_tool["input_schema"])],
            tool_choice="required",
            max_tokens=4096,
        ),
        msgspec.structs.replace(BUDGETED, id="claude-sonnet-4-5"),
    )
    assert sent.body | {"stream": False} == recorded.request


def test_a_streamed_request_is_sent_as_recorded() -> None:
    (recorded,) = interactions("anthropic__test_request_stream_fallback_for_high_max_tokens")
    request = user("What is 1+1? Answer with just the number.", max_completion_tokens=32_000)
    sent = encoded(request, msgspec.structs.replace(BUDGETED, id="claude-sonnet-4-5"), stream=True)
    assert sent.body == recorded.request


def test_redacted_thinking_is_replayed_as_recorded() -> None:
    recorded = interactions("anthropic__test_anthropic_model_thinking_part_redacted")[1].request
    first, answer, last = recorded["messages"]
    sent = encoded(
        ChatRequest(
            messages=[
                message("user", first["content"][0]["text"]),
                message("assistant", answer["content"][1]["text"], thinking_blocks=[answer["content"][0]]),
                message("user", last["content"][0]["text"]),
            ],
            max_tokens=4096,
            extra={"thinking": recorded["thinking"]},
        ),
        msgspec.structs.replace(BUDGETED, id=recorded["model"]),
    )
    assert sent.body | {"stream": False} == recorded


# -- system -------------------------------------------------------------------------------------------------------------


def test_leading_system_and_developer_messages_become_the_system_prompt_in_order() -> None:
    sent = encoded(
        ChatRequest(
            messages=[
                message("system", "One."),
                message("developer", [part("text", text="Two.", cache_control={"type": "ephemeral", "ttl": "1h"})]),
                message("user", "Hi"),
            ]
        )
    )
    assert sent.body["system"] == [
        text("One."),
        {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert sent.mapped == {}


def test_a_single_system_text_is_a_string() -> None:
    assert encoded(ChatRequest(messages=[message("system", "One."), message("user", "Hi")])).body["system"] == "One."


def test_a_later_system_message_moves_up_and_says_so() -> None:
    sent = encoded(
        ChatRequest(messages=[message("user", "Hi"), message("system", "Be brief."), message("user", "Now.")]), BUDGETED
    )
    assert sent.body["system"] == "Be brief."
    assert sent.body["messages"] == [{"role": "user", "content": [text("Hi"), text("Now.")]}]
    assert sent.mapped == {"messages[1]": "moved to the system prompt"}


def test_a_later_system_message_stays_in_place_where_the_model_takes_it() -> None:
    sent = encoded(
        ChatRequest(
            messages=[
                message("user", "Hi"),
                message("system", "Be brief."),
                message("assistant", "Hello."),
                message("user", "Go on."),
                message("system", "Be briefer."),
            ]
        ),
        ADAPTIVE,
    )
    assert [turn["role"] for turn in sent.body["messages"]] == ["user", "system", "assistant", "user", "system"]
    assert "system" not in sent.body
    assert sent.mapped == {}


def test_a_later_system_message_moves_up_where_it_may_not_stand() -> None:
    sent = encoded(
        ChatRequest(
            messages=[message("user", "a"), message("assistant", "b"), message("system", "s"), message("user", "c")]
        ),
        ADAPTIVE,
    )
    assert sent.body["system"] == "s"
    assert sent.mapped == {"messages[2]": "moved to the system prompt"}


def test_an_image_in_a_system_message_is_refused() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        turns(message("system", [part("image_url", image_url=ImageUrl(url="https://x/y.png"))]), message("user", "Hi"))
    assert caught.value.param == "messages[0].content[0]"


# -- turns --------------------------------------------------------------------------------------------------------------


def test_consecutive_messages_of_one_role_are_merged_block_by_block() -> None:
    assert turns(
        message("user", "a"),
        message("user", [part("text", text="b"), part("text", text="c")]),
        message("assistant", "d"),
        message("assistant", "e"),
        message("user", "f"),
    ) == [
        {"role": "user", "content": [text("a"), text("b"), text("c")]},
        {"role": "assistant", "content": [text("d"), text("e")]},
        {"role": "user", "content": [text("f")]},
    ]


def test_all_results_of_a_turn_are_one_message_and_come_first() -> None:
    sent = turns(
        message("user", "q"),
        message("assistant", None, tool_calls=[call("a"), call("b")]),
        message("tool", "1", tool_call_id="b"),
        message("tool", "2", tool_call_id="a"),
        message("user", "and?"),
        tools=[tool()],
    )
    assert sent[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "b", "content": "1"},
            {"type": "tool_result", "tool_use_id": "a", "content": "2"},
            text("and?"),
        ],
    }


def test_empty_text_is_left_out_and_so_are_messages_without_anything_else() -> None:
    assert turns(
        message("user", ""),
        message("user", [part("text", text=" \n"), part("text", text="real")]),
        message("assistant", None),
        message("assistant", []),
        message("user", "on"),
    ) == [{"role": "user", "content": [text("real"), text("on")]}]


def test_a_conversation_without_anything_for_the_user_is_refused() -> None:
    for messages in ([message("user", " ")], [message("system", "Only rules.")]):
        with pytest.raises(UnsupportedFeature):
            turns(*messages)


def test_a_conversation_that_the_assistant_begins_gets_a_turn_before_it() -> None:
    sent = encoded(ChatRequest(messages=[message("assistant", "Welcome!"), message("user", "Hi")]))
    assert [turn["role"] for turn in sent.body["messages"]] == ["user", "assistant", "user"]
    assert sent.mapped == {"messages[0]": "a user message stands before it"}


def test_a_prefill_loses_the_white_space_at_its_end() -> None:
    sent = encoded(ChatRequest(messages=[message("user", "Count"), message("assistant", "1, 2, \n")]), BUDGETED)
    assert sent.body["messages"][-1]["content"] == [text("1, 2,")]
    assert list(sent.mapped) == ["messages[1].content"]


def test_a_prefill_is_refused_where_the_model_refuses_it() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        turns(message("user", "Count"), message("assistant", "1,"), model=ADAPTIVE)
    assert caught.value.param == "messages[1]"


def test_fields_that_clients_send_back_are_left_out_and_reported() -> None:
    sent = encoded(
        ChatRequest(
            messages=[
                message("user", "Hi", name="anna"),
                message("assistant", "Hello", reasoning_content="Hm.", annotations=[{"type": "url_citation"}]),
                message("user", "So?"),
            ]
        ),
        strict=True,
    )
    assert sent.body["messages"][1] == {"role": "assistant", "content": [text("Hello")]}
    assert set(sent.dropped) == {"messages[0].name", "messages[1].reasoning_content", "messages[1].annotations"}


def test_a_refusal_that_comes_back_is_text() -> None:
    sent = turns(
        message("user", "a"),
        message("assistant", None, refusal="I will not."),
        message("user", "b"),
        message("assistant", [part("refusal", refusal="Still not.")]),
        message("user", "c"),
    )
    assert [turn["content"] for turn in sent if turn["role"] == "assistant"] == [
        [text("I will not.")],
        [text("Still not.")],
    ]


# -- thinking in the history --------------------------------------------------------------------------------------------


def test_thinking_blocks_lead_their_turn_verbatim() -> None:
    blocks = [
        {"type": "thinking", "thinking": "", "signature": "sig", "later": 1},
        {"type": "redacted_thinking", "data": "x"},
    ]
    sent = encoded(
        ChatRequest(
            messages=[
                message("user", "q"),
                message("assistant", "t", tool_calls=[call("a")], thinking_blocks=blocks, reasoning_content="Hm."),
                message("tool", "r", tool_call_id="a"),
            ],
            tools=[tool()],
        )
    )
    assert sent.body["messages"][1]["content"][:2] == blocks
    assert [block["type"] for block in sent.body["messages"][1]["content"][2:]] == ["text", "tool_use"]
    assert sent.dropped == {}


def test_thinking_that_anthropic_never_signed_is_left_out() -> None:
    blocks = [{"type": "thinking", "thinking": "another vendor's", "signature": ""}, {"type": "other"}, "text"]
    sent = encoded(
        ChatRequest(
            messages=[message("user", "q"), message("assistant", "a", thinking_blocks=blocks), message("user", "b")]
        )
    )
    assert sent.body["messages"][1]["content"] == [text("a")]
    assert sent.dropped == {"messages[1].thinking_blocks": "not signed by Anthropic"}


def test_thinking_blocks_are_left_out_for_a_model_that_does_not_think() -> None:
    blocks = [{"type": "thinking", "thinking": "x", "signature": "sig"}]
    sent = encoded(
        ChatRequest(
            messages=[message("user", "q"), message("assistant", "a", thinking_blocks=blocks), message("user", "b")]
        ),
        OLD,
    )
    assert sent.body["messages"][1]["content"] == [text("a")]
    assert list(sent.dropped) == ["messages[1].thinking_blocks"]
