"""Every example of the documentation works: Python blocks are run, `curl` blocks are sent to a real gateway."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
import yaml

from caxton_llm.config.load import load_text
from serving import running_gateway

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ENVIRONMENT = dict.fromkeys(
    (
        "OPENAI_API_KEY",
        "SEARCH_API_KEY",
        "OPENAI_API_KEY_2",
        "ANTHROPIC_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "CUSTOM_LLM_TOKEN",
        "OLLAMA_API_KEY",
    ),
    "a-key",
)


GATEWAY = "llm: {provider: builtin}\nmemory: {}\nagents: [{name: Reporter, capabilities: [report-generation]}]\n"
"""What the gateway of the examples is configured with."""


def blocks(language: str, start: str = "") -> list[object]:
    """The code blocks of a language, or those of them that begin in this way."""
    found: list[object] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            if not match.group(1).startswith(start):
                continue
            found.append(pytest.param(match.group(1), id=f"{page.stem}-{language}-{number}"))
    return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("docs"), GATEWAY) as url:
        yield url


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_runs(code: str, gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"openai": openai, "anthropic": anthropic, "__name__": "example"}
    exec(compile(code.replace("http://127.0.0.1:8787", gateway), "example", "exec"), names)
    client = names.get("client")
    if isinstance(client, openai.OpenAI | anthropic.Anthropic):
        client.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", blocks("sh", "curl"))
def test_a_curl_example_gets_an_answer(command: str, gateway: str, tmp_path: Path) -> None:
    command = command.replace("http://127.0.0.1:8787", gateway).replace("curl -s", "curl --fail-with-body -s", 1)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_the_server_of_the_page_on_tools_reaches_the_prompt(tmp_path: Path) -> None:
    section = (ROOT / "docs/mcp-tools.md").read_text(encoding="utf-8").partition("## A server of your own")[2]
    code, configuration = (section.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "yaml"))
    (tmp_path / "notes.py").write_text(code, encoding="utf-8")
    configuration = configuration.replace("command: python,", f"command: {sys.executable},")
    (tmp_path / "caxton.yaml").write_text(configuration, encoding="utf-8")
    message = ["--message", "Keep a note about tea"]
    done = subprocess.run(
        [sys.executable, "-m", "caxton_llm", "context", "explain", *message, "-p", "openai", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (tool,) = json.loads(done.stdout)["payloads"]["openai"]["tools"]
    assert tool["function"]["description"] == "Keep a note in a folder. Available folders: work, home."
    assert tool["function"]["parameters"]["properties"]["folder"]["enum"] == ["work", "home"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("session", blocks("sh", "caxton memory"))
def test_a_session_with_the_memory_works(session: str, tmp_path: Path) -> None:
    caxton = f'caxton() {{ {shlex.quote(sys.executable)} -m caxton_llm "$@"; }}\n'
    done = subprocess.run(
        ["sh", "-ec", caxton + session], capture_output=True, text=True, timeout=150, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_yaml_example_that_is_a_configuration_loads(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = yaml.safe_load(text)
    if "llm" not in document:
        pytest.skip("not a whole configuration")
    monkeypatch.chdir(tmp_path)
    (tmp_path / document.get("agents_dir", "unused")).mkdir()
    load_text(text, environ=ENVIRONMENT)


@pytest.mark.parametrize("text", blocks("markdown"))
def test_a_markdown_example_is_a_file_of_an_agent(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "Example.md").write_text(text, encoding="utf-8")
    (agent,) = load_text("llm: {provider: builtin}\nagents_dir: agents\n", environ={}).agents
    assert agent.name == "Example"
    assert agent.system_prompt


def test_every_page_that_is_linked_exists() -> None:
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert missing == []
