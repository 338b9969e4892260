"""One file for each agent: three kinds of files, one result; mistakes name the file, the line and the key in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.assembly import assemble
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file
from caxton_llm.config.toml_lines import lines_of
from caxton_llm.errors import ConfigurationError

MAIN = "llm: {provider: builtin}\nagents_dir: agents\n"
YAML = """\
capabilities:
  - plain
  - name: reports
    input_formats: [json]
system_prompt: |
  You write.

  Briefly.
conversation: {max_turns: 3}
"""
TOML = '''\
system_prompt = """
You write.

Briefly."""
capabilities = ["plain", {name = "reports", input_formats = ["json"]}]

[conversation]
max_turns = 3
'''
MARKDOWN = """\
---
capabilities: [plain, {name: reports, input_formats: [json]}]
conversation: {max_turns: 3}
---

You write.

Briefly.
"""


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "agents").mkdir()
        self.write("caxton.yaml", MAIN)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def load(self) -> Configuration:
        return load_file(self.folder / "caxton.yaml", {"KEY": "from-environment"})

    def mistakes(self) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            self.load()
        return [
            f"{Path(problem.file).name}:{problem.line} {problem.path}: {problem.message}"
            for problem in caught.value.problems
        ]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(("name", "text"), [("Writer.yaml", YAML), ("Writer.toml", TOML), ("Writer.md", MARKDOWN)])
def test_the_three_kinds_of_files_say_the_same(files: Files, name: str, text: str) -> None:
    files.write(f"agents/{name}", text)
    (agent,) = files.load().agents
    assert agent.name == "Writer"
    assert agent.capabilities == ("plain", "reports")
    assert agent.offers[1].input_formats == ("json",)
    assert (agent.system_prompt or "").strip() == "You write.\n\nBriefly."
    assert agent.conversation.max_turns == 3


def test_agents_of_the_file_come_first_then_the_files_by_name(files: Files) -> None:
    files.write("caxton.yaml", MAIN + "agents: [{name: Zero}]\n")
    files.write("agents/b.yaml", "description: second\n")
    files.write("agents/a.yml", "name: First\n")
    files.write("agents/notes.txt", "not an agent")
    files.write("agents/.hidden.yaml", "not: an agent")
    (files.folder / "agents" / "sub").mkdir()
    assert [agent.name for agent in files.load().agents] == ["Zero", "First", "b"]


def test_a_front_matter_may_be_empty_and_the_text_is_taken_word_for_word(files: Files) -> None:
    files.write("agents/a.md", "---\n---\nUse ${HOME}.\n---\nAnd {{this}}.\n")
    files.write("agents/b.yaml", 'system_prompt: "${KEY}"\n')
    first, second = files.load().agents
    assert first.system_prompt == "Use ${HOME}.\n---\nAnd {{this}}."
    assert second.system_prompt == "from-environment"


def test_an_agent_in_a_file_is_addressed_and_may_have_its_own_provider(files: Files) -> None:
    files.write("agents/a.yaml", "capabilities: [c]\nllm: {provider: builtin, script: {steps: [{text: hello}]}}\n")
    assembly = assemble(files.load(), [], {})
    assert [state.target.name for state in assembly.states] == ["builtin", "agent:a"]


def test_mistakes_of_all_files_come_at_once_each_with_its_place(files: Files) -> None:
    files.write("caxton.yaml", MAIN + "agents: [{name: a, requires: [nobody]}]\nserver: {prot: 1}\n")
    files.write("agents/a.yaml", "description: d\nmemory:\n  scpoe: agent\nllm:\n  provider: openai\n  model: m\n")
    files.write("agents/b.toml", '# agent\n[context]\noversize = "cut"\n')
    files.write("agents/c.md", "---\nrequires: [nowhere]\nconversation: {strategy: all}\n---\nText\n")
    assert files.mistakes() == [
        "caxton.yaml:3 agents[0].requires[0]: no agent offers 'nobody'",
        "caxton.yaml:4 server.prot: unknown key 'prot'",
        "a.yaml:None : two agents are called 'a', the first in line 3",
        "a.yaml:3 memory.scpoe: unknown key 'scpoe'",
        "a.yaml:4 llm.api_key: is missing",
        "b.toml:3 context.oversize: must be one of error, multi_turn, summarize, trim; found 'cut'",
        "c.md:2 requires[0]: no agent offers 'nowhere'",
        "c.md:3 conversation.strategy: must be one of full, none, sliding_window; found 'all'",
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "a: [", "1 : not valid YAML: while parsing a flow node"),
        ("a.yaml", "", "1 : is empty"),
        ("a.yaml", "- name: A\n", "1 : must be a mapping of keys"),
        ("a.yaml", "description: ${UNSET}\n", "1 description: the environment variable UNSET is not set"),
        ("a.toml", "description = \n", "1 : not valid TOML: Invalid value"),
        ("a.toml", "when = 2024-01-01\n", "1 when: a date cannot be part of a configuration"),
        ("a.md", "You write.\n", "1 : the keys of the agent do not begin with a line '---'"),
        ("a.md", "---\nname: A\n", "1 : the keys of the agent do not end with a line '---'"),
        ("a.md", "---\n\nname: [\n---\n", "3 : not valid YAML: while parsing a flow node"),
        (
            "a.md",
            "---\nsystem_prompt: A\n---\nB\n",
            "2 system_prompt: stands twice: as a key, and as the text after the keys",
        ),
        ("a b.yaml", "description: d\n", "None name: a name has letters, digits and . _ / @ + - only"),
    ],
)
def test_a_file_that_is_no_agent_says_why(files: Files, name: str, text: str, told: str) -> None:
    files.write(f"agents/{name}", text)
    assert files.mistakes()[0].startswith(f"{name}:{told}")


def test_a_file_that_cannot_be_read_does_not_make_others_wrong(files: Files) -> None:
    (files.folder / "agents" / "bad.yaml").write_bytes(b"name: ok\ndescription: \xff\n")
    files.write("agents/a.yaml", "requires: [offered-by-bad]\n")
    assert files.mistakes() == ["bad.yaml:2 : is not UTF-8 text"]


def test_a_folder_that_is_not_there_is_a_mistake_of_its_key(files: Files) -> None:
    files.write("caxton.yaml", MAIN.replace("agents\n", "nowhere\n"))
    (told,) = files.mistakes()
    assert told.startswith("caxton.yaml:2 agents_dir: there is no such folder:")


def test_agents_in_two_files_that_call_each_other_are_a_circle(files: Files) -> None:
    files.write("agents/a.yaml", "capabilities: [x]\nrequires: [y]\n")
    files.write("agents/b.md", "---\nrequires: [x]\ncapabilities: [y]\n---\n")
    assert files.mistakes() == [
        "a.yaml:2 requires[0]: agents call each other in a circle: a requires y of b, which requires x of a"
    ]


def test_a_warning_names_the_file_of_the_agent(files: Files) -> None:
    files.write("agents/a.md", "---\ntools: [search]\n---\nText\n")
    (warning,) = files.load().warnings
    assert (Path(warning.file).name, warning.line, warning.path) == ("a.md", 2, "tools")


def test_lines_of_toml_are_found_beside_long_texts_and_arrays_of_tables() -> None:
    text = '''a = """
b = 1
"""
c.d = 1 # one
[[e]]
f = 1
[e.g]
"h" = 1
[[e]]
f = 2
'''
    assert lines_of(text) == {
        "a": 1,
        "c.d": 4,
        "e[0]": 5,
        "e[0].f": 6,
        "e[0].g": 7,
        "e[0].g.h": 8,
        "e[1]": 9,
        "e[1].f": 10,
    }


@given(st.text(alphabet="ab=\"'[]\n. #", max_size=200))
def test_lines_of_any_text_are_lines_that_it_has(text: str) -> None:
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in lines_of(text).values())
