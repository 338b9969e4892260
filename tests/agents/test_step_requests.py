"""The requests of the steps, in the common model and in the bytes that the client sent; and sums over the steps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agent_loop.step_requests import last_request, later_request
from caxton_llm.dispatch.totals import summed_usage
from caxton_llm.types import ChatRequest, Json
from caxton_llm.usage import Billing, CompletionTokensDetails, PromptTokensDetails, Usage
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client

TOOL = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "t"}}


def from_openai(**more: Json) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], "tools": [TOOL], "x_own": 1, **more}
    return openai_client.decode_request(json.dumps(body).encode(), {})


def from_anthropic(**more: Json) -> ChatRequest:
    tool = {"name": "t", "input_schema": {"type": "object"}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], "tools": [tool], **more}
    return anthropic_client.decode_request(json.dumps(body).encode(), {})


def field(request: ChatRequest, name: str = "tool_choice") -> Json:
    assert request.source is not None
    raw = request.source.fields.get(name)
    return None if raw is None else json.loads(bytes(raw))


def allowed(mode: str) -> Json:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [NAMED]}}


@pytest.mark.parametrize("choice", ["required", NAMED, allowed("required")])
def test_a_forced_choice_is_left_out_of_later_requests_and_of_their_bytes(choice: Json) -> None:
    later = later_request(from_openai(tool_choice=choice))
    assert (later.tool_choice, field(later), field(later, "x_own")) == (None, None, 1)


@pytest.mark.parametrize("choice", ["auto", "none", allowed("auto")])
def test_a_choice_that_forces_nothing_stays(choice: Json) -> None:
    request = from_openai(tool_choice=choice)
    assert later_request(request) is request


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "t"}])
def test_a_forced_choice_of_anthropics_leaves_what_it_says_of_parallel_calls(choice: Json) -> None:
    later = later_request(from_anthropic(tool_choice={**choice, "disable_parallel_tool_use": True}))
    assert (later.tool_choice, field(later)) == (None, {"type": "auto", "disable_parallel_tool_use": True})
    assert field(later_request(from_anthropic(tool_choice=choice))) is None


def test_the_last_request_says_in_each_dialect_that_no_tool_may_be_called() -> None:
    plain = last_request(ChatRequest(messages=[]))
    assert (plain.tool_choice, plain.function_call, plain.source) == ("none", None, None)
    assert field(last_request(from_openai())) == "none"
    assert field(last_request(from_anthropic())) == {"type": "none"}


def test_functions_of_old_clients_are_forced_once_and_forbidden_at_last() -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    request = from_openai(tools=None, functions=[function], function_call={"name": "f"})
    assert field(later_request(request), "function_call") is None
    assert later_request(request).tool_choice is None
    last = last_request(request)
    assert (last.tool_choice, field(last, "function_call"), field(last)) == ("none", "none", None)


counts = st.none() | st.integers(0, 1000)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    prompt_tokens_details=st.none() | st.builds(PromptTokensDetails, cached_tokens=counts),
    completion_tokens_details=st.none() | st.builds(CompletionTokensDetails, reasoning_tokens=counts),
    estimated=st.booleans(),
)


@given(usages, usages, usages)
def test_the_sum_of_usages_does_not_depend_on_their_order_or_grouping(one: Usage, two: Usage, three: Usage) -> None:
    whole = summed_usage([one, two, three])
    assert whole == summed_usage([three, one, two])
    assert whole == summed_usage([summed_usage([one, two]), three])


@given(st.lists(usages, min_size=1, max_size=4))
def test_a_figure_is_known_exactly_if_all_say_it(parts: list[Usage]) -> None:
    whole = summed_usage(parts)
    assert whole is not None
    prompts = [part.prompt_tokens for part in parts]
    assert whole.prompt_tokens == (None if None in prompts else sum(count or 0 for count in prompts))
    assert whole.estimated == any(part.estimated for part in parts)
    assert summed_usage([*parts, None]) is None


def test_searches_are_added_up_and_a_tier_is_told_where_it_was_that_of_all() -> None:
    flex = Usage(billing=Billing(tier="flex", region="eu", web_searches=2))
    other = Usage(billing=Billing(tier="flex", region="us", web_searches=1))
    whole = summed_usage([flex, other])
    assert whole is not None
    assert whole.billing == Billing(tier="flex", web_searches=3)
    plain = summed_usage([flex, Usage()])
    assert plain is not None
    assert plain.billing == Billing(web_searches=2)
