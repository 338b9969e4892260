"""Tool calls in the stream of an OpenAI chat server, whatever the server leaves out or repeats."""

import json
from typing import Any

import pytest

from caxton_llm.errors import MalformedResponse
from caxton_llm.protocols import Restore
from openai_chat_streams import DONE, calls_of, chunk, finishes, run, tool


def test_parallel_calls_keep_their_indices_and_arguments_apart() -> None:
    chunks, decoder = run(
        chunk({"role": "assistant", "content": None}),
        tool(index=0, id="a", type="function", function={"name": "f", "arguments": ""}),
        tool(index=1, id="b", type="function", function={"name": "g", "arguments": ""}),
        tool(index=1, function={"arguments": '{"y"'}),
        tool(index=0, function={"arguments": '{"x"'}),
        tool(index=1, function={"arguments": ":2}"}),
        tool(index=0, function={"arguments": ":1}"}),
        chunk({}, finish="tool_calls"),
        DONE,
    )
    assert decoder.failure is None
    assert calls_of(chunks) == {0: ["a", "f", '{"x":1}'], 1: ["b", "g", '{"y":2}']}


def test_id_and_name_go_out_once_though_a_server_repeats_them() -> None:
    pieces = [
        tool(index=0, id="a", type="function", function={"name": "f", "arguments": part})
        for part in ('{"x"', ":1", "}")
    ]
    assert calls_of(run(*pieces)[0]) == {0: ["a", "f", '{"x":1}']}


def test_whole_calls_that_all_have_index_0_are_told_apart() -> None:
    chunks, _ = run(
        tool(index=0, id="a", type="function", function={"name": "f", "arguments": '{"x":1}'}),
        tool(index=0, id="b", type="function", function={"name": "f", "arguments": '{"x":2}'}),
        chunk({}, finish="stop"),
    )
    assert calls_of(chunks) == {0: ["a", "f", '{"x":1}'], 1: ["b", "f", '{"x":2}']}
    assert finishes(chunks) == ["tool_calls"]
    assert json.loads(chunks[1].wire or b"")["choices"][0]["delta"]["tool_calls"][0]["index"] == 1


def test_calls_without_index_or_id_are_told_apart_and_get_both() -> None:
    stream = [
        tool(id="", function={"name": "f", "arguments": '{"x":1}'}),
        tool(id="", function={"name": "f", "arguments": '{"x":2}'}),
        chunk({"tool_calls": [{"function": {"name": "g", "arguments": {"z": 3}}}]}),
        chunk({}, finish="stop"),
    ]
    chunks, _ = run(*stream)
    calls = calls_of(chunks)
    assert [call[1:] for call in calls.values()] == [["f", '{"x":1}'], ["f", '{"x":2}'], ["g", '{"z":3}']]
    assert len({call[0] for call in calls.values()}) == 3
    assert all(call[0].startswith("call_") for call in calls.values())
    wire = json.loads(chunks[2].wire or b"")["choices"][0]["delta"]["tool_calls"][0]
    assert wire == {
        "index": 2,
        "id": calls[2][0],
        "type": "function",
        "function": {"name": "g", "arguments": '{"z":3}'},
    }
    assert calls_of(run(*stream)[0]) == calls


def test_fragments_without_an_index_follow_their_id_or_the_last_call() -> None:
    chunks, _ = run(
        tool(id="a", type="function", function={"name": "f", "arguments": ""}),
        tool(function={"arguments": '{"x"'}),
        tool(id="a", function={"arguments": ":1}"}),
    )
    assert calls_of(chunks) == {0: ["a", "f", '{"x":1}']}


@pytest.mark.parametrize("call_id", ["c1", None])
def test_a_call_whose_name_comes_late_is_one_call(call_id: str | None) -> None:
    fragments: list[dict[str, Any]] = [
        {"index": 0, "id": call_id, "type": "function", "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"name": "f", "arguments": ":"}},
        {"index": 0, "function": {"arguments": "1}"}},
    ]
    chunks, decoder = run(*(tool(**fragment) for fragment in fragments), chunk({}, finish="tool_calls"), DONE)
    assert decoder.failure is None
    ((found_id, name, arguments),) = calls_of(chunks).values()
    assert (name, arguments) == ("f", '{"a":1}')
    assert found_id == call_id or found_id.startswith("call_")
    assert not chunks[0].commits
    wires = [json.loads(made.wire or b"")["choices"][0]["delta"].get("tool_calls") for made in chunks]
    assert wires[0] is None
    assert wires[1][0]["function"] == {"name": "f", "arguments": '{"a":'}
    assert wires[1][0]["id"] == found_id


def test_a_call_that_never_gets_a_name_is_no_answer() -> None:
    nameless = tool(index=0, id="c1", function={"arguments": "{}"})
    chunks, decoder = run(nameless, chunk({}, finish="tool_calls"), DONE)
    assert isinstance(decoder.failure, MalformedResponse)
    assert calls_of(chunks) == {}


def test_custom_calls_stream_their_input() -> None:
    chunks, _ = run(
        tool(index=0, id="a", type="custom", custom={"name": "g", "input": ""}), tool(index=0, custom={"input": "text"})
    )
    heads = [call for made in chunks for call in made.choices[0].delta.tool_calls or ()]
    assert [(head.type, head.custom) for head in heads] == [
        ("custom", {"name": "g", "input": ""}),
        (None, {"input": "text"}),
    ]


def test_the_callers_tool_names_come_back() -> None:
    chunks, _ = run(
        tool(index=0, id="a", type="function", function={"name": "mcp_read_1", "arguments": ""}),
        tool(index=0, function={"arguments": "{}"}),
        restore=Restore(tool_names={"mcp_read_1": "mcp/read"}),
    )
    assert calls_of(chunks) == {0: ["a", "mcp/read", "{}"]}
    assert b"mcp/read" in (chunks[0].wire or b"")


def test_the_deprecated_function_call_counts_as_a_call() -> None:
    chunks, _ = run(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": "{}"}}),
        chunk({}, finish="function_call"),
    )
    assert calls_of(chunks) == {0: ["", "f", "{}"]}
    assert finishes(chunks) == ["tool_calls"]
