"""`caxton check` and `caxton models` with the real command."""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from console import WAIT_S, Terminal, run, started, write_config
from fakes import FakeAzure, FakeOpenAI, FakeVllm
from mcp_running import PROGRAMS
from secret_stores import SECRET, TOKEN, VaultHandler, serving

TWO = """\
llm:
  providers:
    - {name: near, provider: builtin, priority: 100, region: eu}
    - name: far
      provider: openai
      model: gpt-4o
      api_key: ${KEY}
"""


# -- check ------------------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    write_config(
        tmp_path, "llm:\n  provider: builtin\n  modle: x\n  temperature: hot\n  retry_policy:\n    max_attempts: 0\n"
    )
    done = run("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    for line in (3, 4, 6):
        assert f"error: caxton.yaml:{line}: " in done.stderr
    assert "did you mean 'model'?" in done.stderr
    assert done.stderr.endswith("3 problems\n")


def test_a_sound_configuration_becomes_a_table_without_secrets(tmp_path: Path) -> None:
    write_config(tmp_path, TWO)
    done = run("check", cwd=tmp_path, env={"KEY": "sk-do-not-show"})
    assert done.returncode == 0
    near, far = (line for line in done.stdout.splitlines() if line.startswith(("near", "far")))
    assert near.split()[:3] == ["near", "builtin", "builtin"]
    assert near.split()[-2:] == ["eu", "100"]
    for fact in ("gpt-4o", "https://api.openai.com", "given", "128 000", "16 384"):
        assert fact in far
    assert "sk-do-not-show" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    write_config(tmp_path, TWO)
    done = run("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "caxton.yaml:7: " in done.stderr
    assert "KEY is not set" in done.stderr


def test_secrets_are_found_here_and_left_alone_elsewhere(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-do-not-show\n")
    key.chmod(0o600)
    entry = "    - {{name: {name}, provider: openai, model: gpt-4o, api_key: {source}}}\n"
    sources = {
        "variable": "{source: env, name: KEY}",
        "file": f"{{source: file, path: {key}}}",
        "vault": "{source: vault, path: team/openai, key: k}",
    }
    entries = "".join(entry.format(name=name, source=source) for name, source in sources.items())
    write_config(tmp_path, f"llm:\n  providers:\n{entries}")
    done = run("check", cwd=tmp_path, env={"KEY": "sk-do-not-show"})
    assert done.returncode == 0, done.stderr
    assert "env KEY: found" in done.stdout
    assert f"file {key}: found" in done.stdout
    assert "vault team/openai: not resolved without --live" in done.stdout
    assert "sk-do-not-show" not in done.stdout + done.stderr


def test_a_file_that_is_not_there_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: openai, model: gpt-4o, api_key: {source: file, path: nowhere}}\n")
    done = run("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere cannot be read" in done.stderr


def test_a_key_in_the_usual_variable_is_found(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: anthropic, model: claude-opus-5}\n")
    done = run("check", cwd=tmp_path, env={"ANTHROPIC_API_KEY": "sk-do-not-show"})
    assert "env ANTHROPIC_API_KEY: found" in done.stdout
    assert run("check", cwd=tmp_path).returncode == 2


def test_models_at_the_end_of_their_life_and_settings_without_effect_are_warned_about(tmp_path: Path) -> None:
    write_config(
        tmp_path,
        "llm:\n  provider: anthropic\n  model: claude-3-opus-20240229\n  api_key: x\n  caching: {enabled: true}\n",
    )
    done = run("check", cwd=tmp_path)
    assert done.returncode == 0
    assert "warning: caxton.yaml:3: llm.model: claude-3-opus-20240229 was retired on 2026-01-05" in done.stderr
    assert "warning: caxton.yaml:5: llm.caching: has no effect in this version" in done.stderr
    assert "retired 2026-01-05" in done.stdout


def test_a_budget_that_the_instructions_of_an_agent_exceed_is_warned_about(tmp_path: Path) -> None:
    prompt = "You answer for the purchasing department. " * 20
    write_config(
        tmp_path,
        "llm: {provider: builtin}\nagents:\n"
        f"  - {{name: Fits, system_prompt: '{prompt}', context: {{budget: 400}}}}\n"
        f"  - name: Small\n    system_prompt: '{prompt}'\n    context:\n      budget: 100\n"
        "agents_dir: agents\n",
    )
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "tiny.md").write_text(f"---\nname: Tiny\ncontext:\n  budget: 50\n---\n{prompt}\n")
    done = run("check", cwd=tmp_path)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if "context.budget" in line]
    assert len(warnings) == 2
    small, tiny = sorted(warnings, key=lambda line: "tiny.md" in line)
    assert small.startswith("warning: caxton.yaml:7: agents[1].context.budget: 100 tokens do not hold the agent's own")
    assert "tiny.md:4: agents[2].context.budget: 50 tokens" in tiny
    assert "raise the budget" in tiny
    assert "purchasing" not in done.stderr


def test_a_vllm_entry_shows_the_command_line_of_its_server(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: vllm, model: meta/llama, tensor_parallel_size: 4, context_window: 8192}\n")
    done = run("check", cwd=tmp_path)
    assert "vllm serve meta/llama --tensor-parallel-size 4 --max-model-len 8192" in done.stdout


def test_a_table_that_is_wider_than_the_terminal_is_shown_in_parts_that_fit(tmp_path: Path) -> None:
    write_config(tmp_path, TWO)
    with Terminal("check", cwd=tmp_path, env={"KEY": "k", "NO_COLOR": "1"}) as terminal:
        assert terminal.wait() == 0
    lines = terminal.shown.splitlines()
    assert sum(line.startswith("far ") for line in lines) == 2
    assert max(len(line) for line in lines if "\x1b" not in line) <= 120


def test_where_two_columns_do_not_fit_beside_each_other_there_are_paragraphs(tmp_path: Path) -> None:
    write_config(tmp_path, TWO.replace("name: far", f"name: {'far' * 40}"))
    with Terminal("check", cwd=tmp_path, env={"KEY": "k"}) as terminal:
        assert terminal.wait() == 0
    assert "provider: openai · model: gpt-4o" in terminal.shown


async def test_live_asks_the_providers_and_says_how_long_it_took(tmp_path: Path) -> None:
    async with FakeOpenAI() as server:
        write_config(
            tmp_path,
            f"llm: {{provider: openai, model: gpt-4o, api_key: {server.api_key}, base_url: {server.base_url}}}\n",
        )
        done = await asyncio.to_thread(run, "check", "--live", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " ok " in done.stdout
    assert str(server.base_url).removesuffix("/v1") in done.stdout


async def test_live_tells_the_version_of_a_vllm_server(tmp_path: Path) -> None:
    async with FakeVllm() as server:
        write_config(
            tmp_path,
            f"llm: {{provider: vllm, model: llama-3.1-8b, api_key: {server.api_key}, base_url: {server.base_url}}}\n",
        )
        done = await asyncio.to_thread(run, "check", "--live", cwd=tmp_path)
        asked = {request.path for request in server.requests}
    assert done.returncode == 0, done.stderr
    assert {"/health", "/version", "/v1/models"} <= asked
    assert f" ms, version {server.version}" in done.stdout


async def test_live_fails_when_a_provider_refuses_the_key(tmp_path: Path) -> None:
    async with FakeOpenAI() as server:
        write_config(
            tmp_path,
            "llm:\n  providers:\n    - {name: here, provider: builtin}\n"
            f"    - {{name: there, provider: openai, model: gpt-4o, api_key: wrong, base_url: {server.base_url}}}\n",
        )
        done = await asyncio.to_thread(run, "check", "--live", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: there: " in done.stderr
    assert "ok" in next(line for line in done.stdout.splitlines() if line.startswith("here"))
    assert "failed" in next(line for line in done.stdout.splitlines() if line.startswith("there"))


@pytest.mark.parametrize("classic", [True, False], ids=["classic", "v1"])
async def test_live_asks_azure_in_its_classic_and_in_its_newer_way(tmp_path: Path, classic: bool) -> None:
    async with FakeAzure() as server:
        entry = "  - {{provider: azure, name: {name}, deployment_name: my-gpt-4o, endpoint: '{url}', api_key: {key}{more}}}\n"
        version = ", api_version: '2024-10-21'" if classic else ""
        good = entry.format(name="good", url=server.base_url, key=server.api_key, more=version)
        bad = entry.format(name="bad", url=server.base_url, key="wrong", more=version)
        write_config(tmp_path, f"llm:\n  providers:\n{good}{bad}")
        done = await asyncio.to_thread(run, "check", "--live", cwd=tmp_path)
        asked = {request.path for request in server.requests}
    assert done.returncode == 1
    assert asked == {"/openai/models" if classic else "/openai/v1/models"}
    assert " ok " in next(line for line in done.stdout.splitlines() if line.startswith("good"))
    assert "failed" in next(line for line in done.stdout.splitlines() if line.startswith("bad"))
    assert "error: bad: " in done.stderr


async def test_live_goes_on_when_a_vault_cannot_be_reached(tmp_path: Path) -> None:
    secret = "{source: vault, vault_url: 'http://127.0.0.1:1', path: team/openai, key: k}"
    async with FakeOpenAI() as server:
        entry = f"provider: openai, model: gpt-4o, base_url: {server.base_url}"
        write_config(
            tmp_path,
            "llm:\n  providers:\n"
            f"    - {{name: locked, {entry}, api_key: {secret}}}\n"
            f"    - {{name: open, {entry}, api_key: {server.api_key}}}\n",
        )
        done = await asyncio.to_thread(run, "check", "--live", cwd=tmp_path)
        signed = {request.headers["authorization"] for request in server.requests}
    assert signed == {f"Bearer {server.api_key}"}
    assert done.returncode == 1
    locked, open_ = (line for line in done.stdout.splitlines() if line.startswith(("locked", "open")))
    assert "vault team/openai: failed" in locked
    assert locked.rstrip().endswith("failed")
    assert " ok " in open_
    assert "error: locked: vault: secret/team/openai could not be read from http://127.0.0.1:1: " in done.stderr
    assert "Traceback" not in done.stderr


async def test_live_fetches_the_key_from_a_vault(tmp_path: Path) -> None:
    async with FakeOpenAI(api_key=SECRET) as server:
        with serving(VaultHandler) as vault:
            secret = f"{{source: vault, vault_url: '{vault}', path: caxton/llm/openai, key: api_key}}"
            write_config(
                tmp_path,
                f"llm: {{provider: openai, model: gpt-4o, api_key: {secret}, base_url: {server.base_url}}}\n",
            )
            env = {"VAULT_TOKEN": TOKEN}
            done = await asyncio.to_thread(lambda: run("check", "--live", cwd=tmp_path, env=env))
    assert done.returncode == 0, done.stderr
    assert "vault caxton/llm/openai: found" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_live_starts_the_servers_of_tools_that_agents_use_and_tells_what_is_missing(tmp_path: Path) -> None:
    agents = [{"name": "A", "tools": ["odd.*", "gone.*"]}, {"name": "B", "tools": ["odd.nope", "gone.x"]}]
    servers = [
        {"name": "odd", "command": sys.executable, "args": [str(PROGRAMS / "odd_tools.py")]},
        {"name": "gone", "command": sys.executable, "args": ["-c", "raise SystemExit('no licence')"]},
        {"name": "unused", "command": sys.executable, "args": ["-c", f"open({str(tmp_path / 'begun')!r}, 'w')"]},
    ]
    configuration = {"llm": {"provider": "builtin"}, "agents": agents, "mcp": {"servers": servers}}
    write_config(tmp_path, json.dumps(configuration))
    done = run("check", "--live", cwd=tmp_path)
    assert done.returncode == 1
    assert "MCP server odd: tools: 1" in done.stdout
    assert "MCP server gone: no answer" in done.stdout
    (gone,) = [line for line in done.stderr.splitlines() if line.startswith("error: gone")]
    assert "no licence" in gone
    assert not (tmp_path / "begun").exists()
    servers[1:] = []
    agents[0]["tools"] = ["odd.echo"]
    agents[1]["tools"] = ["odd.nope"]
    write_config(tmp_path, json.dumps(configuration))
    done = run("check", "--live", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: odd.nope: no tool fits this pattern of the agent 'B'" in done.stderr
    agents.pop()
    write_config(tmp_path, json.dumps(configuration))
    assert run("check", "--live", cwd=tmp_path).returncode == 0


def test_ctrl_c_while_the_providers_are_asked_leaves_no_trace(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as provider:
        provider.settimeout(WAIT_S)
        port = provider.getsockname()[1]
        write_config(tmp_path, f"llm: {{provider: ollama, model: llama3, base_url: 'http://127.0.0.1:{port}'}}\n")
        with started("check", "--live", cwd=tmp_path) as process:
            connection, _ = provider.accept()
            with connection:
                connection.settimeout(WAIT_S)
                assert connection.recv(65536).startswith(b"GET ")
                process.send_signal(signal.SIGINT)
                while connection.recv(65536):
                    pass
            out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (130, b"", b"")


# -- models -----------------------------------------------------------------------------------------------------------------


def test_models_lists_every_name_and_where_it_leads(tmp_path: Path) -> None:
    write_config(tmp_path, TWO)
    done = run("models", cwd=tmp_path, env={"KEY": "k"})
    assert done.returncode == 0
    names = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:]}
    assert names == {"near": "near", "far": "far", "gpt-4o": "far", "default": "near"}


def test_models_needs_no_secret(tmp_path: Path) -> None:
    write_config(
        tmp_path,
        "llm:\n  providers:\n"
        "    - {name: a, provider: openai, model: gpt-4o}\n"
        "    - {name: b, provider: openai, model: gpt-4o, api_key: {source: file, path: nowhere}}\n"
        "    - {name: c, provider: anthropic, model: claude-opus-5, api_key: {source: vault, path: team/x, key: k}}\n",
    )
    done = run("models", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()[2:]} >= {"a", "b", "c", "gpt-4o", "claude-opus-5"}


def test_models_as_json_say_where_each_fact_comes_from(tmp_path: Path) -> None:
    write_config(tmp_path, TWO)
    done = run("models", "--json", cwd=tmp_path, env={"KEY": "k"})
    far = next(item for item in json.loads(done.stdout) if item["name"] == "gpt-4o")
    assert (far["entry"], far["model"], far["provider"]) == ("far", "gpt-4o", "openai")
    assert far["context_window"] == 128_000
    assert far["price"]["input"] > 0
    assert far["sources"]["context_window"] == "catalogue"


def test_the_whole_catalogue_needs_no_configuration(tmp_path: Path) -> None:
    table = run("models", "--all", cwd=tmp_path)
    listed = json.loads(run("models", "--all", "--json", cwd=tmp_path).stdout)
    assert table.returncode == 0
    assert "claude-opus-5" in table.stdout
    assert {item["provider"] for item in listed} >= {"openai", "anthropic"}
    assert len(listed) == len(table.stdout.splitlines()) - 2


# -- the command itself -----------------------------------------------------------------------------------------------------


def test_the_version_is_shown(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("caxton ")


def test_a_wrong_option_is_a_mistake_of_usage(tmp_path: Path) -> None:
    done = run("chat", "--temprature", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "--temperature" in done.stderr
