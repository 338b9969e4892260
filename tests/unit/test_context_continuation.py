"""An answer that was cut, asked to be continued by another model: the request as the real encoders send it, and the joint."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.context.continuation import Continuation, Joint, continuation
from caxton_llm.model_info import Capabilities, ModelInfo
from caxton_llm.protocols import EncodeOptions
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.providers.vllm import VllmAdapter
from caxton_llm.types import ChatRequest, FunctionDefinition, Message, RequestSource, ResponseFormat, Tool
from caxton_llm.wire import anthropic_messages, ollama_chat
from conversations import from_anthropic, from_openai, said

PREFILLS = ModelInfo(id="claude", provider="anthropic", capabilities=Capabilities(prefill=True))
USER = {"role": "user", "content": "q"}
BEGUN = {"role": "assistant", "content": "It is"}
CLIENTS = [from_openai, from_anthropic, None]


def info(kind: str, **capabilities: Any) -> ModelInfo:
    return ModelInfo(id="m", provider=kind, capabilities=Capabilities(**capabilities))


def asked(client: Any, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=said("user: q"), **fields) if client is None else client([USER], **fields)


def continued(request: ChatRequest, text: str, model: ModelInfo, kind: str) -> Continuation:
    found = continuation(request, text, model, kind)
    assert found is not None
    return found


def is_impossible(
    request: ChatRequest, text: str = "It is", model: ModelInfo = PREFILLS, kind: str = "anthropic"
) -> bool:
    return continuation(request, text, model, kind) is None


# -- what is sent -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_anthropic_continues_a_message_without_white_space_at_its_end(client: Any) -> None:
    before = asked(client, max_tokens=50)
    found = continued(before, "It is \n", PREFILLS, "anthropic")
    assert found.tail == " \n"
    options = EncodeOptions(model=PREFILLS, send_model="claude")
    encoded = anthropic_messages.encode_chat(found.request, options, stream=True)
    last = msgspec.json.decode(encoded.body)["messages"][-1]
    assert last in (BEGUN, {"role": "assistant", "content": [{"type": "text", "text": "It is"}]})
    assert len(before.messages) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_ollama_continues_a_message(client: Any) -> None:
    found = continued(asked(client), "It is", info("ollama"), "ollama")
    encoded = ollama_chat.encode_chat(found.request, EncodeOptions(model=info("ollama"), send_model="m"), stream=True)
    assert msgspec.json.decode(encoded.body)["messages"] == [USER, BEGUN]


@pytest.mark.parametrize("client", CLIENTS)
def test_vllm_is_told_to_continue_a_message(client: Any) -> None:
    found = continued(asked(client), "It is", info("vllm"), "vllm")
    adapter = VllmAdapter(ProviderSettings(provider="vllm", model="m"))
    body = msgspec.json.decode(adapter.open(found.request, info("vllm"), stream=True).request.body)
    assert body["messages"] == [USER, BEGUN]
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False


def test_other_fields_and_unknown_content_stay() -> None:
    turn = {"role": "user", "content": [{"type": "hologram", "x": 1}]}
    request = from_anthropic([turn], x_top=1, system="s")
    found = continued(request, "It is", PREFILLS, "anthropic")
    options = EncodeOptions(model=PREFILLS, send_model="claude")
    body = msgspec.json.decode(anthropic_messages.encode_chat(found.request, options, stream=False).body)
    assert body == {"model": "claude", "max_tokens": 48, "messages": [turn, BEGUN], "x_top": 1, "system": "s"}


@pytest.mark.parametrize(("written", "left"), [("x", 99), ("x" * 40, 90), ("x" * 4000, 1)])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_limit_of_the_output_is_lowered_by_what_is_written(client: Any, written: str, left: int) -> None:
    found = continued(asked(client, max_tokens=100), written, info("ollama"), "ollama")
    assert found.request.output_limit == left
    if found.request.source is not None:
        assert msgspec.json.decode(found.request.source.fields["max_tokens"]) == left


def test_no_limit_is_invented() -> None:
    assert continued(asked(None), "It is", info("ollama"), "ollama").request.output_limit is None


# -- when it is not possible --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "prefill", "possible"),
    [
        ("anthropic", True, True),
        ("anthropic", None, False),
        ("anthropic", False, False),
        ("openai", None, False),
        ("openai", True, True),
        ("ollama", None, True),
        ("vllm", None, True),
        ("vllm", False, False),
    ],
)
def test_only_what_is_known_to_continue_is_asked_to(kind: str, prefill: bool | None, possible: bool) -> None:
    assert is_impossible(asked(None), model=info(kind, prefill=prefill), kind=kind) is not possible


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_cannot_be_continued(text: str) -> None:
    assert is_impossible(asked(None), text)


TOOLS = [Tool(type="function", function=FunctionDefinition(name="f"))]


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"functions": [FunctionDefinition(name="f")], "function_call": {"name": "f"}},
        {"response_format": ResponseFormat(type="json_schema")},
        {"response_format": ResponseFormat(type="json_object")},
        {"extra": {"guided_regex": "a+"}},
        {"extra": {"structured_outputs": {"choice": ["a"]}}},
        {"reasoning_effort": "high"},
        {"extra": {"thinking": {"type": "enabled", "budget_tokens": 1024}}},
    ],
)
def test_what_holds_for_the_whole_answer_cannot_be_kept_by_its_rest(fields: dict[str, Any]) -> None:
    assert is_impossible(asked(None, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"tools": TOOLS},
        {"tools": TOOLS, "tool_choice": "auto"},
        {"response_format": ResponseFormat(type="text")},
        {"reasoning_effort": "none"},
        {"extra": {"thinking": {"type": "disabled"}}},
    ],
)
def test_what_asks_for_nothing_special_can_be_continued(fields: dict[str, Any]) -> None:
    assert not is_impossible(asked(None, **fields))


def test_a_message_that_the_caller_began_is_not_continued_again() -> None:
    assert is_impossible(ChatRequest(messages=said("user: q", "assistant: It")))
    assert is_impossible(ChatRequest(messages=[]))


def test_bytes_of_an_unknown_dialect_are_not_continued() -> None:
    source = RequestSource("smoke_signals", {})
    assert is_impossible(ChatRequest(messages=[Message(role="user", content="q")], source=source))


# -- the joint ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "pieces", "new"),
    [
        ("", [" on"], [" on"]),
        (" ", [" on"], ["on"]),
        (" ", ["on"], ["on"]),
        ("\n", ["\n\nNext"], ["\nNext"]),
        ("\n\n", ["\n", "\nNext"], ["", "Next"]),
        ("\n    ", ["", "\n  ", "  return", " 1"], ["", "", "return", " 1"]),
        ("\n\n", ["\nNext", "\n"], ["Next", "\n"]),
        (" ", ["on", " and"], ["on", " and"]),
    ],
)
def test_white_space_that_the_reader_has_is_not_told_twice(tail: str, pieces: list[str], new: list[str]) -> None:
    joint = Joint(tail)
    assert [joint.rest(piece) for piece in pieces] == new


@given(st.text(" \n", max_size=5), st.text("ab \n", max_size=8), st.data())
def test_a_model_that_repeats_the_white_space_joins_without_a_seam(tail: str, rest: str, data: st.DataObject) -> None:
    whole = tail + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    joint = continued(asked(None), "It is" + tail, PREFILLS, "anthropic").joint()
    assert "".join(joint.rest(piece) for piece in pieces) == rest
