"""`caxton agents`: a table of the agents, and everything about them as JSON."""

import json
from pathlib import Path

from console import Terminal, run, write_config

AGENTS = """
llm: {provider: builtin}
agents:
  - name: Reporter
    description: Writes quarterly reports
    system_prompt: The word of the day is xylophone.
    capabilities: [{name: report-generation, output_formats: [pdf]}]
    tools: ["reports.*"]
    requires: [chart-generation]
    memory: {scope: workspace, workspace: sales, auto_store: true}
    conversation: {strategy: sliding_window, max_turns: 7}
    context: {budget: 6000}
  - name: Charts
    capabilities: [chart-generation]
    conversation: {strategy: none}
mcp: {servers: [{name: reports, command: "true"}]}
memory: {path: ./memory}
"""


def test_agents_are_listed_with_what_they_may_use(tmp_path: Path) -> None:
    write_config(tmp_path, AGENTS)
    done = run("agents", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, _, reporter, charts = done.stdout.splitlines()
    assert header.split() == [
        "agent",
        "capabilities",
        "tools",
        "calls",
        "memory",
        "conversation",
        "budget",
        "description",
    ]
    for part in ("Reporter", "report-generation", "reports.*", "workspace sales +", "last 7 turns", "6 000"):
        assert part in reporter
    assert charts.split() == ["Charts", "chart-generation", "agent", "none"]
    assert not (tmp_path / "memory").exists()  # nothing is opened


def test_json_has_agents_and_capabilities_and_no_prompt(tmp_path: Path) -> None:
    write_config(tmp_path, AGENTS)
    done = run("agents", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert [one["name"] for one in told["agents"]] == ["Reporter", "Charts"]
    assert told["capabilities"][0]["related"] == ["chart-generation"]
    assert "xylophone" not in done.stdout


def test_a_terminal_gets_the_same_table(tmp_path: Path) -> None:
    write_config(tmp_path, AGENTS)
    with Terminal("agents", cwd=tmp_path) as terminal:
        assert terminal.wait() == 0
    assert "chart-generation" in terminal.shown


def test_without_agents_a_note_says_how_to_get_some(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("agents", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "docs/agents.md" in done.stderr
    assert json.loads(run("agents", "--json", cwd=tmp_path).stdout) == {"agents": [], "capabilities": []}


def test_a_configuration_that_is_wrong_ends_with_exit_code_2(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: builtin}\nagents: [{name: A, requires: [nothing]}]\n")
    done = run("agents", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing" in done.stderr
