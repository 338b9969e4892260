"""`caxton conversations`: list, show, export, import, delete."""

import json
from pathlib import Path

import pytest

from caxton_llm.agents.conversation import ConversationKey, Exchange, Summary
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import FunctionCall, Message, ToolCall
from console import Terminal, run, write_config

FOLDER = "caxton-conversations"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    called = (
        Message(role="user", content="Draw it"),
        Message(role="assistant", tool_calls=[ToolCall(id="c", function=FunctionCall("chart_creator", '{"x":1}'))]),
        Message(role="tool", tool_call_id="c", content="bar.svg"),
        Message(role="assistant", content="Here it is."),
    )
    hello = (Message(role="user", content="Hello"), Message(role="assistant", content="Hi \x1b[2Jthere"))
    with ConversationStore(tmp_path / FOLDER) as store:
        key = ConversationKey("q3", "Reporter")
        position = store.append(key, [Exchange(messages=hello, model="gpt-4o"), Exchange(messages=called)])
        store.summarize(key, Summary(first=0, last=0, text="They greeted."), after=position)
        store.append(ConversationKey("q3", "Charts", "acme"), [Exchange(messages=hello)])
        store.append(ConversationKey("other", "Reporter"), [Exchange(messages=hello)])
    return tmp_path


def listed(place: Path, *options: str) -> list[tuple[str, str, str]]:
    done = run("conversations", "list", "--json", *options, cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    keys = [one["key"] for one in json.loads(done.stdout)["conversations"]]
    return [(key["conversation"], key["agent"], key["tenant"]) for key in keys]


ALL = [("q3", "Reporter", ""), ("q3", "Charts", "acme"), ("other", "Reporter", "")]


def test_conversations_are_listed_of_all_or_of_one_tenant_or_agent(place: Path) -> None:
    assert listed(place) == ALL
    assert listed(place, "--agent", "Reporter") == [ALL[0], ALL[2]]
    assert listed(place, "--tenant", "acme") == [ALL[1]]
    done = run("conversations", "list", cwd=place)
    header, _, first, *_ = done.stdout.splitlines()
    assert header.split() == ["conversation", "agent", "tenant", "turns", "exchanges", "size", "last"]
    assert first.split()[:4] == ["q3", "Reporter", "2", "2"]
    nobody = run("conversations", "list", "--agent", "Nobody", cwd=place)
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert "no such conversations" in nobody.stderr


def test_a_conversation_is_shown_with_its_calls_of_tools_and_summaries(place: Path) -> None:
    done = run("conversations", "show", "q3", "--agent", "Reporter", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "user: Hello" in done.stdout
    assert 'assistant: calls chart_creator({"x":1})' in done.stdout
    assert "tool: bar.svg" in done.stdout
    assert "summary of the exchanges 1 to 1\nThey greeted." in done.stdout
    assert "\x1b" not in done.stdout
    whole = json.loads(run("conversations", "show", "q3", "--tenant", "acme", "--json", cwd=place).stdout)
    assert whole["conversation"]["key"]["agent"] == "Charts"
    assert len(whole["exchanges"]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("show", "q3"),
            "2 conversations are called 'q3'; say which with --agent or --tenant: Reporter, Charts of acme",
        ),
        (
            ("show", "q3", "--agent", "Nope", "--tenant", "acme"),
            "there is no conversation 'q3' of the agent 'Nope' of the tenant 'acme'; there is one of: Reporter, Charts",
        ),
        (
            ("show", "other", "--agent", "Nope"),
            "no conversation 'other' of the agent 'Nope'; there is one of: Reporter",
        ),
        (("show", "nothing", "--agent", "Nope"), "there is no conversation 'nothing';"),
        (("show", "nothing"), "there is no conversation 'nothing'"),
        (("delete", "other", "nothing", "--yes"), "there is no conversation 'nothing'"),
    ],
)
def test_a_name_that_means_none_or_several_ends_with_exit_code_1(
    place: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run("conversations", *arguments, cwd=place)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert listed(place) == ALL


def test_an_export_is_imported_elsewhere_without_loss_and_twice_without_doubles(place: Path, tmp_path: Path) -> None:
    assert run("conversations", "export", "--output", "all.jsonl", cwd=place).returncode == 0
    lines = (place / "all.jsonl").read_bytes()
    assert lines.count(b"\n") == 5
    assert run("conversations", "export", cwd=place).stdout.encode() == lines
    first = run("conversations", "import", "all.jsonl", "--path", "copy", cwd=place)
    assert (first.returncode, first.stdout) == (0, "5 lines: 4 exchanges are new\n")
    again = run("conversations", "import", "-", "--path", "copy", cwd=place, stdin=lines)
    assert again.stdout == "5 lines: 0 exchanges are new\n"
    assert run("conversations", "export", "--path", "copy", cwd=place).stdout.encode() == lines
    one = run("conversations", "export", "--agent", "Reporter", "--conversation", "other", cwd=place).stdout
    assert len(one.splitlines()) == 1
    moved = run("conversations", "import", "-", "--tenant", "moved", cwd=place, stdin=one)
    assert moved.returncode == 0
    assert ("other", "Reporter", "moved") in listed(place)


def test_lines_that_are_no_export_are_named_and_what_came_before_stays(place: Path) -> None:
    done = run("conversations", "import", "-", "--path", "copy", cwd=place, stdin="nonsense\n")
    assert done.returncode == 1
    assert "line 1: " in done.stderr
    assert "safe" in done.stderr


def test_deleting_asks_first_and_says_what_is_gone(place: Path) -> None:
    refused = run("conversations", "delete", "other", cwd=place)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    with Terminal("conversations", "delete", "other", cwd=place) as terminal:
        terminal.read_until("Delete other for good?")
        terminal.send("n\r")
        assert terminal.wait() == 1
    assert listed(place) == ALL
    done = run("conversations", "delete", "other", "--yes", cwd=place)
    assert done.stdout == "deleted 1 conversation with 1 exchange and 0 summaries\n"
    assert listed(place) == ALL[:2]


def test_all_of_a_tenant_are_deleted_only_when_it_is_named(place: Path) -> None:
    for arguments in (("--all",), ("--all", "--agent", "Reporter"), (), ("other", "--all", "--tenant", "")):
        assert run("conversations", "delete", *arguments, "--yes", cwd=place).returncode == 2
    assert listed(place) == ALL
    done = run("conversations", "delete", "--all", "--tenant", "", "--agent", "Reporter", "--yes", "--json", cwd=place)
    assert json.loads(done.stdout) == {"conversations": 2, "exchanges": 3, "summaries": 1, "is_overwritten": True}
    assert listed(place) == [ALL[1]]


def test_the_folder_is_that_of_the_option_else_of_the_configuration(place: Path) -> None:
    configuration = "llm: {provider: builtin}\ncontext: {conversations: {data_dir: ./elsewhere}}\n"
    write_config(place, configuration)
    missing = run("conversations", "list", cwd=place)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "elsewhere" in missing.stderr
    assert "--path" in missing.stderr
    assert listed(place, "--path", FOLDER) == ALL
    (place / FOLDER).rename(place / "elsewhere")
    assert listed(place) == ALL
    assert not (place / FOLDER).exists()
