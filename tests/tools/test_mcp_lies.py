"""Servers that say what is not so: broken schemas, odd listings, answers that are none."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.settings import McpServerSettings
from caxton_llm.types import Json
from mcp_running import ALL, Now, call, lying, names, running, spec_of

FINE: Json = {"name": "fine", "description": "works", "inputSchema": {"type": "object"}}
TEXT: Json = {"content": [{"type": "text", "text": "an answer"}]}


async def test_a_tool_with_a_broken_schema_is_left_out_with_a_reason_and_the_others_stay(tmp_path: Path) -> None:
    broken: dict[str, Json] = {
        "no_schema": None,
        "text": "an object",
        "list": {"type": "array"},
        "keyword": {"type": "object", "properties": {"a": {"type": "nothing-known"}}},
        "properties": {"type": "object", "properties": [1]},
        "required": {"type": "object", "required": "a"},
        "draft": {"$schema": 7, "type": "object"},
        "huge": {"type": "object", "description": "x" * 300_000},
    }
    tools = [{"name": name, "inputSchema": schema} for name, schema in broken.items()]
    async with running(lying(tmp_path, FINE, *tools)) as servers:
        offered = await servers.tools(ALL)
    assert [spec.name for spec in offered.tools] == ["fine"]
    assert {gap.name: "schema" in gap.reason for gap in offered.gaps} == dict.fromkeys(broken, True)


async def test_entries_that_are_no_tools_are_counted_and_odd_fields_do_no_harm(tmp_path: Path) -> None:
    odd = {
        "name": "odd",
        "title": 7,
        "description": ["no", "text"],
        "inputSchema": {"properties": {"flag": True}},
        "outputSchema": "none",
        "annotations": {"readOnlyHint": "yes", "idempotentHint": True},
        "icons": 3,
        "_meta": [],
    }
    async with running(lying(tmp_path, "text", {"description": "x"}, {"name": ""}, FINE, FINE, odd)) as servers:
        offered = await servers.tools(ALL)
        spec = await spec_of(servers, "odd")
    assert [gap.reason for gap in offered.gaps] == [
        "the server lists it twice; the first is offered",
        "its results are not checked (outputSchema): its schema is no JSON Schema: not a mapping",
        "3 entries of its listing are no tools",
    ]
    assert (spec.description, spec.read_only, spec.idempotent) == ("", None, True)
    assert spec.input_schema == {"type": "object", "properties": {"flag": True}}


async def test_requirements_in_the_meta_are_read_and_wrong_ones_left_out_with_a_reason(tmp_path: Path) -> None:
    good = {**FINE, "name": "good", "_meta": {"caxton/context_requirements": {"conversation_depth": 4}}}
    bad = {**FINE, "name": "bad", "_meta": {"caxton/context_requirements": {"conversation_depth": "many"}}}
    async with running(lying(tmp_path, good, bad)) as servers:
        offered = await servers.tools(ALL)
    found = {spec.name: spec.requirements for spec in offered.tools}
    assert found == {"good": ContextRequirements(conversation_depth=4), "bad": None}
    (gap,) = offered.gaps
    assert gap.name == "bad"
    assert "$.conversation_depth" in gap.reason


async def test_what_the_configuration_says_of_a_tools_context_wins(tmp_path: Path) -> None:
    said = {**FINE, "_meta": {"caxton/context_requirements": {"conversation_depth": 4}}}
    elsewhere = {"fine": ContextRequirements(conversation_depth=5)}
    async with running(lying(tmp_path, said), tool_context=elsewhere) as servers:
        assert (await spec_of(servers, "fine")).requirements == ContextRequirements(conversation_depth=5)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"content": "text"},
        {"content": [{"type": "hologram"}]},
        {"content": [{"type": "text"}]},
        {"content": [], "isError": "perhaps"},
    ],
)
async def test_an_answer_that_is_no_result_is_an_outcome_that_says_so(
    result: Json, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(lying(tmp_path, FINE, results={"fine": result})) as servers:
        outcome = await call(servers, "fine")
    assert (outcome.is_error, outcome.failure) == (True, "protocol")
    assert "not what MCP prescribes" in outcome.text


@pytest.mark.parametrize("said", ["no json", '{"jsonrpc": "2.0"}', "[]", '{"jsonrpc": "2.0", "id": 99, "result": {}}'])
async def test_lines_that_are_no_messages_are_not_believed_and_not_logged(
    said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = said.replace("no json", "planted-content")
    server = lying(tmp_path, FINE, results={"fine": TEXT}, say={"tools/call": said})
    async with running(server) as servers:
        outcome = await call(servers, "fine", timeout_s=0.5)
        assert await names(servers) == ["fine"]
    assert outcome.failure == "timeout"
    assert "planted-content" not in caplog.text


async def test_a_schema_that_would_take_hours_is_refused_at_once(tmp_path: Path) -> None:
    levels: dict[str, Json] = {"l0": {"type": "integer"}}
    for level in range(1, 40):
        levels[f"l{level}"] = {"allOf": [{"$ref": f"#/$defs/l{level - 1}"}] * 2}
    schemas: dict[str, Json] = {
        "doubling": {"type": "object", "$defs": levels, "properties": {"x": {"$ref": "#/$defs/l39"}}},
        "endless": {"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}},
        "elsewhere": {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}}},
    }
    tools = [{"name": name, "inputSchema": schema} for name, schema in schemas.items()]
    async with running(lying(tmp_path, *tools, results=dict.fromkeys(schemas, TEXT))) as servers:
        outcomes = {name: await call(servers, name, x=1) for name in schemas}
    assert {name: outcome.failure for name, outcome in outcomes.items()} == dict.fromkeys(schemas, "schema")


async def test_a_regular_expression_of_a_server_is_left_to_the_server(tmp_path: Path) -> None:
    pattern = "^(a+)+$"  # takes hours for what follows
    schema = {
        "type": "object",
        "properties": {"x": {"type": "string", "pattern": pattern}},
        "patternProperties": {pattern: {"type": "integer"}},
        "additionalProperties": False,
    }
    tool = {"name": "slow", "inputSchema": schema}
    async with running(lying(tmp_path, tool, results={"slow": TEXT})) as servers:
        outcome = await call(servers, "slow", x="a" * 64 + "!")
        wrong = await call(servers, "slow", x=7)
    assert outcome.text == "an answer"
    assert wrong.failure == "arguments"


async def test_a_message_that_is_too_long_ends_the_server_and_not_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = lying(tmp_path, FINE, results={"fine": {"content": [{"type": "text", "text": "x" * 3_000_000}]}})
    monkeypatch.setattr(type(server), "max_message_bytes", 1_000_000)
    async with running(server) as servers:
        outcome = await call(servers, "fine")
    assert outcome.failure == "interrupted"
    assert "a message of more than 1,000,000 bytes" in outcome.text


async def test_names_of_two_servers_that_collide_are_told_apart_and_stay_while_one_is_down(tmp_path: Path) -> None:
    first, second = lying(tmp_path, FINE, name="first"), lying(tmp_path, FINE, name="second", end="tools/call")
    async with running(first, second) as servers:
        assert await names(servers) == ["first__fine", "second__fine"]
        (tmp_path / "second.json").unlink()
        assert (await call(servers, "second__fine")).failure == "interrupted"
        offered = await servers.tools(ALL)
    assert [spec.name for spec in offered.tools] == ["first__fine"]
    assert [gap.server for gap in offered.gaps] == ["second"]


async def test_a_tool_keeps_its_name_when_another_server_comes_up_with_one_of_the_same_name(tmp_path: Path) -> None:
    first, second, clock = lying(tmp_path, FINE, name="first"), lying(tmp_path, FINE, name="second"), Now()
    script = (tmp_path / "second.json").rename(tmp_path / "later.json")
    only_first = ToolAccess("other", ("first.fine",))
    async with running(first, second, clock=clock) as servers:
        assert await names(servers) == ["fine"]
        script.rename(tmp_path / "second.json")
        clock.seconds += 60
        assert await names(servers) == ["fine", "second__fine"]
        assert await names(servers, only_first) == [
            "fine"
        ]  # what an agent may not call concerns it no more than its name


async def test_requirements_of_a_tool_that_no_server_has_are_told(tmp_path: Path) -> None:
    needs = ContextRequirements(conversation_depth=3)
    settings = replace(lying(tmp_path, FINE), context_requirements={"fien": needs})
    async with running(settings, tool_context={"finne": needs, "fine": needs}) as servers:
        gaps = (await servers.tools(ALL)).gaps
        assert [(gap.server, gap.name, gap.reason) for gap in gaps] == [
            ("liar", "fien", "context_requirements are configured for it, and the server has fine"),
            ("", "finne", "a file of tool_context is about it, and the servers have fine"),
        ]
        others = (await servers.tools(ToolAccess("other", ("liar.fine",)))).gaps
    assert [gap.name for gap in others] == ["finne"]
    nobody = McpServerSettings(name="nobody", command=("no-such-program-here",))
    async with running(settings, nobody, tool_context={"finne": needs}) as servers:
        gaps = (await servers.tools(ALL)).gaps
    assert [(gap.server, gap.name) for gap in gaps] == [("nobody", ""), ("liar", "fien")]  # the other may be its tool


@pytest.mark.parametrize(
    ("structured", "mark"),
    [
        ({"sum": "three"}, "[not what the tool promises (outputSchema): $.sum: 'three' is not of type 'number']"),
        (None, "[the structured result that the tool promises is missing]"),
        ({"sum": 3}, ""),
    ],
)
async def test_a_result_that_is_not_what_the_tool_promises_is_marked(
    tmp_path: Path, structured: Json, mark: str
) -> None:
    promising = {**FINE, "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}}}
    result = TEXT if structured is None else {**TEXT, "structuredContent": structured}
    async with running(lying(tmp_path, promising, results={"fine": result})) as servers:
        outcome = await call(servers, "fine")
    assert outcome.text == (f"an answer\n{mark}" if mark else "an answer")
    assert (outcome.structured, outcome.is_error) == (structured, False)


async def test_a_promise_that_is_no_schema_is_told_and_the_tool_stays(tmp_path: Path) -> None:
    async with running(lying(tmp_path, {**FINE, "outputSchema": {"type": "array"}})) as servers:
        offered = await servers.tools(ALL)
    assert [spec.name for spec in offered.tools] == ["fine"]
    assert [gap.reason for gap in offered.gaps] == [
        "its results are not checked (outputSchema): its schema describes something else than an object"
    ]


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (
            {
                "caxton/context_requirements": {
                    "conversation_dept": 2,
                    "memory_search": {"query": "x"},
                    "provider_optimization": {"opnai": {}, "openai": {"structured_ouput": True}, "elsewhere": {}},
                }
            },
            "are not read in whole: nothing is known of provider_optimization.opnai, conversation_dept,"
            " memory_search.query, provider_optimization.openai.structured_ouput",
        ),
        ({"context_requirements": {}}, "are not read: in its _meta they are called 'context_requirements'"),
        ({"caxton/context_requirement": {}}, "are not read: in its _meta they are called 'caxton/context_requirement'"),
    ],
)
async def test_requirements_that_are_misspelt_in_the_tools_own_words_are_told_unless_the_configuration_has_others(
    tmp_path: Path, meta: Json, told: str
) -> None:
    settings = lying(tmp_path, {**FINE, "_meta": meta})
    async with running(settings) as servers:
        (gap,) = (await servers.tools(ALL)).gaps
    assert gap.reason == f"its caxton/context_requirements {told}"
    configured = replace(settings, context_requirements={"fine": ContextRequirements(conversation_depth=3)})
    async with running(configured) as servers:
        assert (await servers.tools(ALL)).gaps == ()


async def test_a_server_that_does_not_list_in_time_is_left_alone_for_a_while(tmp_path: Path) -> None:
    hanging = replace(lying(tmp_path, say={"tools/list": ""}), start_timeout_s=2.0)
    async with running(hanging, lying(tmp_path, FINE, name="other"), clock=Now()) as servers:
        first, second = await servers.tools(ALL), await servers.tools(ALL)
    assert [spec.name for spec in first.tools] == ["fine"]
    assert [gap.reason for gap in first.gaps] == ["the server 'liar' gave no answer within 2 s"]
    assert [gap.reason for gap in second.gaps] == [
        "the server 'liar' is down and is tried again in 1.0 s: no answer within 2 s"
    ]
