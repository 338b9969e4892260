"""A tool in the forms in which it is told, and the tools of an agent: the same objects again for the same data."""

from msgspec.json import encode
from msgspec.structs import replace

from caxton_llm.context.prepared import PreparedTool
from caxton_llm.context.render.provider import rendered_tools
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.context_engine.tool_set import ToolSet
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.tool_specs import ToolData, ToolSpec
from caxton_llm.types import Json


def spec(name: str, *keys: str, server: str = "sales") -> ToolSpec:
    schema = {"type": "object", "properties": {"layout": {"type": "string"}}}
    requirements = ContextRequirements(tool_data=keys) if keys else None
    return ToolSpec(
        name=name,
        server=server,
        remote_name=name,
        description="Make a report.",
        input_schema=schema,
        requirements=requirements,
    )


def data(key: str, *values: str) -> ToolData:
    return ToolData(key=key, value=list(values), source="resource", fetched_at=0.0)


def test_a_form_has_the_data_that_are_kept_and_is_one_object() -> None:
    layouts, colours = data("layouts", "short"), data("colours", "blue")
    tool = ToldTool(spec("report"), (layouts, colours))
    assert tool.form({"data:report:colours", "tool:report"}) == PreparedTool(spec=tool.spec, data=(colours,))
    assert tool.form({*tool.data_ids}).data == (layouts, colours)
    assert tool.form(()) is tool.bare
    assert tool.form({"data:report:colours"}) is tool.form({"data:report:colours", "turn:3"})
    assert [one.data for one in tool.each] == [(layouts,), (colours,)]


def test_what_was_rendered_of_a_form_is_not_rendered_again_and_other_data_are() -> None:
    tool = ToldTool(spec("report", "layouts"), (data("layouts", "short"),))
    (first,) = rendered_tools((tool.form({*tool.data_ids}),), "openai")
    (again,) = rendered_tools((tool.form({*tool.data_ids}),), "openai")
    assert again is first
    (other,) = rendered_tools((ToldTool(tool.spec, (data("layouts", "long"),)).each[0],), "openai")
    assert first.function is not None
    assert other.function is not None
    assert "short" in encode(first.function).decode()
    assert "long" in encode(other.function).decode()


def test_the_tools_of_an_agent_want_their_own_data_and_what_the_request_asks_for() -> None:
    with_keys, without, capability = spec("report", "layouts"), spec("send"), spec("chart", server="")
    tools = ToolSet((with_keys, without, capability))
    assert list(tools.wanted(())) == [(with_keys, ("layouts",))]
    assert list(tools.wanted(("colours", "layouts"))) == [
        (with_keys, ("layouts", "colours")),
        (without, ("colours", "layouts")),
    ]


def test_while_its_data_say_the_same_a_tool_is_the_same_object() -> None:
    tools = ToolSet((spec("report", "layouts"), spec("send")))
    values: Json = ["short"]
    old, new = ToolData(key="layouts", value=values, source="configured", fetched_at=1.0), data("layouts", "long")
    report, send = tools.told({"report": (old,)})
    # What is configured is read anew for each request.
    assert tools.told({"report": (replace(old, fetched_at=2.0),)}) == [report, send]
    changed, same = tools.told({"report": (new,)})
    assert (changed.data, same) == ((new,), send)
    assert changed.bare is report.bare
    other, _ = tools.told({"report": (replace(old, priority=0.5),)})
    assert other is not report
    assert tools.told({"report": (old,)}) == [report, send]


def test_however_often_data_change_few_forms_are_kept_and_each_is_right() -> None:
    tools = ToolSet((spec("report", "layouts"),))
    for number in range(200):
        now = (data("layouts", str(number)),)
        (told,) = tools.told({"report": now})
        assert told.data is now
        assert len(tools._told._known) <= 16
