"""`caxton context explain`: the budget by source, what is kept and what is left out, in a pipe and on terminals."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.cli.context.drawing import widths_of
from caxton_llm.cli.context.payloads import shortened
from caxton_llm.memory.model import Entity, Observation
from caxton_llm.memory_system import Memory
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import Json, Message
from console import Terminal, run, write_config

ASK = ("context", "explain", "--message", "Write the quarterly sales report")
SECRET = "sk-do-not-show"


def configured(folder: Path, **more: Json) -> Path:
    configuration: dict[str, Json] = {
        "llm": {"provider": "builtin"},
        "agents": [
            {
                "name": "Reporter",
                "system_prompt": "You write reports.",
                "capabilities": ["report-generation"],
                "context": {"budget": 300},
            }
        ],
        "memory": {"path": "./memory"},
        "context": {"time_limits": {"conversation_ms": 20_000, "memory_ms": 20_000}},
        **more,
    }
    return write_config(folder, yaml.safe_dump(configuration))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    configured(tmp_path)
    return tmp_path


def remember(folder: Path) -> None:
    with Memory.open(folder / "memory") as memory:
        memory.add(
            [
                Entity(name="Reports", observations=(Observation("The quarterly sales report has two pages"),)),
                Entity(name="Wishes", observations=(Observation("Include charts of sales in the report"),)),
                Entity(name="Canteen", observations=(Observation("Soup is served on Mondays"),)),
            ]
        )
    said = (
        Message(role="user", content="Include charts of sales in the report"),
        Message(role="assistant", content="I will."),
    )
    with ConversationStore(folder / "caxton-conversations") as store:
        store.append(ConversationKey("q3", "Reporter"), [Exchange(messages=said)])


def test_the_budget_and_every_candidate_with_its_reason_are_shown(place: Path) -> None:
    remember(place)
    done = run(*ASK, "--conversation", "q3", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Reporter, on builtin"
    assert " of 300 tokens (" in lines[1]
    assert "limited by the agent's budget" in lines[1]
    assert set(lines[2]) <= set("[IRCM.]")
    assert len(lines[2]) == 74
    legend = {line[2:14].strip(): line.split()[-2:] for line in lines[3:8]}
    assert list(legend) == ["instructions", "request", "conversation", "memory", "free"]
    assert all(share == "%" for _, share in legend.values())
    kept, left_out = done.stdout.split("\nLeft out: ")
    assert "The quarterly sales report has two pages" in kept
    turn = next(line.split()[0] for line in kept.splitlines() if "Include charts of sales" in line)
    assert f"is contained in another, #{turn}" in left_out or f"repeats another, #{turn}" in left_out
    assert "below the threshold" in left_out
    assert "Soup is served on Mondays" in left_out
    assert "\x1b" not in done.stdout


def test_nothing_is_kept_of_what_is_explained(place: Path) -> None:
    assert run(*ASK, "--conversation", "fresh", cwd=place).returncode == 0
    listed = run("conversations", "list", "--json", cwd=place)
    assert json.loads(listed.stdout) == {"conversations": []}


def test_a_bar_of_a_large_budget_is_of_what_is_used(tmp_path: Path) -> None:
    configured(tmp_path, agents=[{"name": "Reporter", "system_prompt": "You write reports."}], memory=None)
    done = run(*ASK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "(< 1 %)" in lines[1]
    assert set(lines[2]) == set("[IR]")
    assert "of what is used" in done.stdout


def test_json_is_the_whole_document(place: Path) -> None:
    done = run(*ASK, "--capability", "report-generation", "--provider", "openai", "--json", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["request_context"]["requested_capability"] == "report-generation"
    assert document["payloads"]["openai"]["messages"][0]["role"] == "system"
    assert {"score", "tokens", "stage", "reason"} <= set(document["candidates"][0])


def test_payloads_show_the_requests_of_each_provider_without_secrets(tmp_path: Path) -> None:
    entry = {
        "provider": "openai",
        "name": "main",
        "model": "gpt-4o",
        "api_key": SECRET,
        "base_url": "http://127.0.0.1:9",
    }
    configured(tmp_path, llm={"providers": [entry]})
    done = run(*ASK, "--payloads", "-p", "anthropic", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    main, _, claude = done.stdout.partition("\nanthropic:\n")
    assert json.loads(main.partition("\nmain:\n")[2])["model"] == "gpt-4o"
    assert json.loads(claude)["messages"][-1]["role"] == "user"
    assert SECRET not in done.stdout + done.stderr


def test_without_a_provider_over_http_a_note_says_how_to_see_a_request(place: Path) -> None:
    done = run(*ASK, "--payloads", cwd=place)
    assert done.returncode == 0
    assert "--provider openai" in done.stderr


@pytest.mark.parametrize("piped", [True, False])
def test_a_request_is_read_from_a_file_or_from_standard_input(place: Path, piped: bool) -> None:
    request = {
        "model": "agent:Reporter",
        "messages": [{"role": "user", "content": "Hello there"}],
        "providers": ["ollama"],
    }
    (place / "request.json").write_text(json.dumps(request))
    source = "-" if piped else "request.json"
    done = run("context", "explain", source, "--json", cwd=place, stdin=json.dumps(request) if piped else "")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["payloads"]["ollama"]["messages"][-1]["content"] == "Hello there"


def test_tools_that_cannot_be_had_are_named_and_nothing_fails(tmp_path: Path) -> None:
    agents = [{"name": "Reporter", "tools": ["*"], "context": {"budget": 300}}]
    mcp = {"servers": [{"name": "broken", "command": "/nowhere/at/all"}]}
    configured(tmp_path, agents=agents, mcp=mcp)
    done = run(*ASK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "missing: tools broken: " in done.stdout
    assert "the server broken" not in done.stderr  # it is told once


def test_variables_of_a_template_are_given_as_parameters(tmp_path: Path) -> None:
    template = "{{user_request}} for {{audience}}, as {{format}}"
    configured(tmp_path, agents=[{"name": "Reporter", "user_prompt_template": template}])
    request = {
        "messages": [{"role": "user", "content": "Report"}],
        "context": {"request_parameters": {"format": "pdf", "audience": "all"}},
    }
    command = ("context", "explain", "--parameter", "audience=the board = all of it", "--payloads", "-p", "ollama")
    done = run(*command, "-", "--json", cwd=tmp_path, stdin=json.dumps(request))
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)["payloads"]["ollama"]["messages"][-1]["content"]
    assert sent == "Report for the board = all of it, as pdf"
    wrong = run(*command, "--parameter", "audience", "-m", "Report", cwd=tmp_path)
    assert (wrong.returncode, "NAME=VALUE" in wrong.stderr) == (2, True)


# -- mistakes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("context", "explain"), 2, "give a REQUEST or --message TEXT"),
        ((*ASK, "request.json"), 2, "give a REQUEST or --message TEXT"),
        ((*ASK, "--agent", "Reporter", "--capability", "x"), 2, "not both"),
        (("context", "explain", "nothing.json"), 2, "nothing.json cannot be read"),
        ((*ASK, "--agent", "Nobody"), 1, "agent:Reporter"),
        ((*ASK, "--provider", "gopher"), 1, "gopher"),
        ((*ASK, "--conversation", ""), 1, "conversation_id"),
    ],
)
def test_mistakes_are_told_with_an_exit_code(place: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = run(*arguments, cwd=place)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in " ".join(done.stderr.replace("│", " ").split())


def test_names_are_checked_before_a_program_of_tools_is_started(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    agents = [{"name": "Reporter", "tools": ["*"], "context": {"budget": 300}}]
    configured(tmp_path, agents=agents, mcp={"servers": [{"name": "tools", "command": "touch", "args": [str(begun)]}]})
    for option, name in (("--agent", "Nobody"), ("--provider", "gopher")):
        done = run(*ASK, option, name, cwd=tmp_path)
        assert (done.returncode, begun.exists()) == (1, False)
        assert name in done.stderr
    assert run(*ASK, cwd=tmp_path).returncode == 0
    assert begun.exists()


def test_a_request_that_is_no_json_is_a_mistake_of_the_request(place: Path) -> None:
    done = run("context", "explain", "-", cwd=place, stdin="{")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not valid JSON" in done.stderr


def test_several_agents_need_a_name_and_no_agents_are_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    configured(tmp_path, agents=[{"name": "A"}, {"name": "B"}])
    done = run(*ASK, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is A, B" in " ".join(done.stderr.replace("│", " ").split())
    write_config(tmp_path)
    done = run(*ASK, cwd=tmp_path)
    assert done.returncode == 2
    assert "`agents`" in done.stderr


# -- terminals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 70, 120])
def test_on_a_terminal_the_bar_is_coloured_and_no_line_is_wider_than_the_screen(place: Path, columns: int) -> None:
    remember(place)
    with Terminal(*ASK, "--conversation", "q3", cwd=place, env={"COLUMNS": str(columns)}) as terminal:
        assert terminal.wait() == 0
    shown = terminal.shown[terminal.shown.index("Reporter, on") :]
    assert "█" in shown
    assert "\x1b[" in shown
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert any("The quarterly sales" in line for line in lines)


def test_without_colours_the_bar_is_made_of_letters(place: Path) -> None:
    with Terminal(*ASK, cwd=place, env={"NO_COLOR": "1"}) as terminal:
        assert terminal.wait() == 0
    assert "█" not in terminal.shown
    assert "[I" in terminal.shown


# -- laws -------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 20_000), st.integers(10, 100))
def test_a_bar_never_has_more_cells_than_room_and_every_source_has_one(
    counts: list[int], spare: int, room: int
) -> None:
    widths = widths_of(counts, sum(counts) + spare, room)
    assert sum(widths) <= room
    assert [width > 0 for width in widths] == [count > 0 for count in counts]


def test_a_shortened_request_keeps_instructions_and_says_what_it_leaves_out() -> None:
    long = "word " * 100
    payload: Json = {
        "messages": [{"role": "system", "content": long}, {"role": "user", "content": long}],
        "tools": [{"name": "t", "input_schema": {"properties": {"a": {}, "b": {}}}}],
    }
    short = shortened(payload)
    assert short["messages"][0]["content"] == long
    assert short["messages"][1]["content"].endswith("… (340 characters more)")
    assert short["tools"] == [{"name": "t", "input_schema": "… a, b"}]
    assert msgspec.json.encode(payload)  # the original is as it was
    assert payload["messages"][1]["content"] == long
