"""What an operator is told of agents that would load and then surprise."""

import os

import pytest

from caxton_llm.config.load import load_mapping
from caxton_llm.errors import ConfigurationError
from caxton_llm.types import Json

CALLED: Json = {"name": "chart", "input_schema": {"type": "object", "properties": {"title": {"type": "string"}}}}


def told(*agents: Json) -> list[tuple[str, str]]:
    configuration = load_mapping({"llm": {"provider": "builtin"}, "agents": list(agents)}, {})
    return [(warning.path, warning.message) for warning in configuration.warnings]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("Write about {{topic}}.", "has no {{user_request}}: what users write is not sent to the model"),
        (
            "{{user_request}} for {{the audience}}",
            "the braces at character 22 hold no variable and stay as they are: {{name}} or {{name|default}}",
        ),
    ],
)
def test_a_template_that_loses_what_users_write_is_warned_of(template: str, message: str) -> None:
    assert told({"name": "A", "user_prompt_template": template}) == [("agents[0].user_prompt_template", message)]


def test_a_template_that_uses_the_request_is_nothing_to_warn_of() -> None:
    assert told({"name": "A", "user_prompt_template": "{{user_request}} as {format} or {{format|pdf}}"}) == []


def test_an_empty_template_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="user_prompt_template: must not be empty"):
        told({"name": "A", "user_prompt_template": " "})


def test_a_variable_that_calling_agents_cannot_give_is_warned_of() -> None:
    charts: dict[str, Json] = {"name": "Charts", "capabilities": [CALLED]}
    charts["user_prompt_template"] = "{{user_request}} {{title}} {{style|plain}} {{audience}}"
    what = "agents that call 'chart' have no value for 'audience': add it to 'input_schema', or give a default"
    assert told(charts, {"name": "Reports", "requires": ["chart"]}) == [("agents[0].user_prompt_template", what)]
    assert told(charts) == []  # nobody calls it


def test_a_pattern_that_is_a_servers_name_and_one_without_servers_are_warned_of() -> None:
    agent: dict[str, Json] = {"name": "A", "tools": ["weather"]}
    shared: dict[str, Json] = {"llm": {"provider": "builtin"}, "agents": [agent]}
    for servers, message in (
        ([{"name": "weather", "command": "sh"}], "means a tool of this name: all tools of the server are 'weather.*'"),
        ([], "has no effect: there are no servers with tools (mcp.servers)"),
    ):
        configuration = load_mapping({**shared, "mcp": {"servers": servers}}, {"PATH": os.environ["PATH"]})
        assert [warning.message for warning in configuration.warnings] == [message]


def test_a_variable_that_only_agents_give_needs_a_default() -> None:
    ((path, message),) = told({"name": "A", "user_prompt_template": "{{user_request}} for {{requesting_agent}}"})
    assert path == "agents[0].user_prompt_template"
    assert message == "{{requesting_agent}} has a value only where an agent asks: give it a default"
    assert told({"name": "A", "user_prompt_template": "{{user_request}} for {{requesting_agent|a user}}"}) == []


def test_a_shared_memory_of_no_workspace_is_warned_of() -> None:
    (warning,) = told({"name": "A", "memory": {"scope": "workspace"}})
    assert warning == ("agents[0].memory.scope", "without 'workspace' it is that of all agents that name none")
