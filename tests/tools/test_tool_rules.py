"""Names, permissions and schemas of tools: rules without servers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import AccessDenied
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.tools.access import ToolAccess
from caxton_llm.tools.naming import unique_names
from caxton_llm.tools.schemas import schema_faults, usable_schema

TOOLS = st.sets(st.tuples(st.sampled_from(["a", "b", "a_"]), st.text(max_size=80)), max_size=12)


@given(TOOLS)
def test_every_tool_has_a_name_of_its_own_that_providers_accept(tools: set[tuple[str, str]]) -> None:
    names = unique_names(tools)
    assert set(names) == tools
    assert len(set(names.values())) == len(tools)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names.values())


@given(TOOLS)
def test_names_do_not_depend_on_the_order_of_the_servers(tools: set[tuple[str, str]]) -> None:
    assert unique_names(sorted(tools)) == unique_names(sorted(tools, reverse=True))


def test_a_name_stays_the_tools_own_unless_two_servers_share_it() -> None:
    names = unique_names([("files", "read"), ("web", "read"), ("web", "search.all")])
    assert names == {
        ("files", "read"): "files__read",
        ("web", "read"): "web__read",
        ("web", "search.all"): "search_all",
    }


@given(TOOLS, TOOLS)
def test_a_name_that_was_given_stays_whatever_comes_later(
    early: set[tuple[str, str]], late: set[tuple[str, str]]
) -> None:
    first = unique_names(early)
    then = unique_names(early | late, first)
    assert {tool: then[tool] for tool in early} == first
    assert set(then) == early | late
    assert len(set(then.values())) == len(then)


def test_the_name_of_a_tool_that_is_gone_does_not_go_to_another() -> None:
    given = unique_names([("a", "t"), ("b", "t")])
    first = unique_names([("a", "t")])
    assert unique_names([("c", "t")], first) == {("c", "t"): "c__t"}
    assert unique_names([("a", "t"), ("c", "t")], given)["a", "t"] == "a__t"


@pytest.mark.parametrize(
    ("allowed", "server", "tool", "permitted"),
    [
        ((), "files", "read", False),
        (("*",), "files", "read", True),
        (("read",), "files", "read", True),
        (("files.read",), "files", "read", True),
        (("files.*",), "files", "read", True),
        (("files.*",), "files2", "read", False),
        (("files.read",), "files", "write", False),
        (("files.read",), "web", "read", False),
        (("files.read",), "web", "files.read", False),  # a name cannot borrow a permission
        (("files.a.b",), "files", "a.b", True),
        (("*.read",), "files", "read", False),
        (("re*",), "files", "read", True),
        (("files.re*",), "files", "read", True),
        (("files.re*",), "files", "write", False),
        (("fil*.read",), "files", "read", False),
        (("re?d",), "files", "read", False),
        (("re*",), "other", "files.read", False),
    ],
)
def test_only_what_is_listed_is_permitted(allowed: tuple[str, ...], server: str, tool: str, permitted: bool) -> None:
    access = ToolAccess("agent", allowed)
    spec = ToolSpec(name="x", server=server, remote_name=tool, description="", input_schema={}, requirements=None)
    assert access.permits(server, tool) is permitted
    if permitted:
        access.check(spec)
    else:
        with pytest.raises(AccessDenied, match="'agent' may not call"):
            access.check(spec)


def test_faults_of_arguments_are_named_with_their_place_and_are_few() -> None:
    schema = usable_schema({"properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False})
    assert schema_faults(schema, {"n": 1}) == []
    assert schema_faults(schema, {"n": "one"}) == ["$.n: 'one' is not of type 'integer'"]
    assert len(schema_faults(schema, {f"x{i}": 1 for i in range(50)})) <= 5
