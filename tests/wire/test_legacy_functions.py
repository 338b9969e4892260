"""The deprecated `functions` in today's form."""

import pytest

from caxton_llm.types import ChatRequest, FunctionCall, FunctionDefinition, Message
from caxton_llm.wire.conversation import check_conversation
from caxton_llm.wire.legacy_functions import modernized


def user(text: str = "hi") -> Message:
    return Message(role="user", content=text)


def test_functions_become_tools_with_ids_that_match() -> None:
    request = modernized(
        ChatRequest(
            messages=[
                user(),
                Message(role="assistant", function_call=FunctionCall("f", '{"a":1}')),
                Message(role="function", name="f", content="42"),
                user(),
            ],
            functions=[FunctionDefinition(name="f")],
            function_call={"name": "f"},
        )
    )
    check_conversation(request.messages)
    assert [tool.type for tool in request.tools or ()] == ["function"]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert request.messages[2].role == "tool"
    assert (request.functions, request.function_call) == (None, None)


@pytest.mark.parametrize("said", [None, True, False])
def test_one_call_at_a_time_is_asked_for_unless_the_caller_says_otherwise(said: bool | None) -> None:
    functions = [FunctionDefinition(name="f")]
    request = modernized(ChatRequest(messages=[user()], functions=functions, parallel_tool_calls=said))
    assert request.parallel_tool_calls is (said or False)


def test_a_conversation_with_function_calls_alone_asks_for_nothing() -> None:
    called = Message(role="assistant", function_call=FunctionCall("f", "{}"))
    assert modernized(ChatRequest(messages=[user(), called])).parallel_tool_calls is None


def test_a_request_without_functions_stays_itself() -> None:
    request = ChatRequest(messages=[user()])
    assert modernized(request) is request
