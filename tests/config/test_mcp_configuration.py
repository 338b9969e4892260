"""The `mcp` block and `tool_context`: what they mean, what is wrong with them, and that their secrets are treated as such."""

import os
import pickle
from pathlib import Path
from shutil import copy

import pytest
from msgspec.structs import asdict

from caxton_llm.cli.check_secrets import fetch_secrets
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file, load_mapping
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization
from caxton_llm.errors import ConfigurationError
from caxton_llm.tools.settings import McpServerSettings, McpSettings, ToolDataFile
from caxton_llm.types import Json
from mistaken import mistakes

SPECIFIED = Path(__file__).parent / "spec_blocks"


def loaded(*servers: Json, environ: dict[str, str] | None = None) -> Configuration:
    return load_mapping({"llm": {"provider": "builtin"}, "mcp": {"servers": list(servers)}}, environ or {})


def only(configuration: Configuration) -> McpServerSettings:
    assert configuration.mcp is not None
    (server,) = configuration.mcp.servers
    return server


def test_without_the_block_there_are_no_servers() -> None:
    assert load_mapping({"llm": {"provider": "builtin"}}, {}).mcp is None
    assert loaded().mcp == McpSettings()


def test_every_key_arrives_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "templates.json").write_text("{}")
    path = tmp_path / "caxton.yaml"
    path.write_text("""
llm: {provider: builtin}
mcp:
  servers:
    - name: reports
      command: ./report-tools
      args: [--fast]
      env: {MODE: " quiet "}
      start_timeout_seconds: 5
      call_timeout_seconds: 7
      max_result_bytes: 1000
      max_parallel_calls: 2
      data_ttl_seconds: 3
      tools: [pdf]
      context_requirements: {pdf: {conversation_depth: 3}}
      tool_data: {templates: {file: templates.json}, style: {font: Helvetica}, note: text}
""")
    environ = {"PATH": "/bin", "LANG": "C", "OPENAI_API_KEY": "planted-secret"}
    server = only(load_file(path, environ))
    assert asdict(server) == asdict(
        McpServerSettings(
            name="reports",
            command=(str(tmp_path / "report-tools"), "--fast"),
            env={"PATH": "/bin", "LANG": "C", "MODE": " quiet "},
            cwd=str(tmp_path),
            start_timeout_s=5.0,
            call_timeout_s=7.0,
            max_result_bytes=1000,
            max_parallel_calls=2,
            data_ttl_s=3.0,
            tools=("pdf",),
            context_requirements={"pdf": ContextRequirements(conversation_depth=3)},
            tool_data={
                "templates": ToolDataFile(str(tmp_path / "templates.json")),
                "style": {"font": "Helvetica"},
                "note": "text",
            },
        )
    )


def test_a_program_beside_the_configuration_is_found_from_whatever_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "caxton.yaml").write_text(
        "llm: {provider: builtin}\nmcp: {servers: [{name: a, command: ./tool, cwd: .}]}\n"
    )
    monkeypatch.chdir(tmp_path)
    server = only(load_file("caxton.yaml", {}))
    assert (server.command, server.cwd) == ((str(tmp_path / "tool"),), str(tmp_path))


def test_both_examples_of_the_specification_load_as_they_stand_and_a_file_without_a_name_is_about_the_tool_it_is_called_by(
    tmp_path: Path,
) -> None:
    copy(SPECIFIED / "10_pdf_generator.yaml", tmp_path / "pdf.yaml")
    copy(SPECIFIED / "01_context_requirements.yaml", tmp_path / "analysis.yaml")
    path = tmp_path / "caxton.yaml"
    path.write_text("llm: {provider: builtin}\nmcp: {}\ntool_context: [pdf.yaml, analysis.yaml]\n")
    mcp = load_file(path, {}).mcp
    assert mcp is not None
    assert set(mcp.tool_context) == {"pdf_generator", "analysis"}
    assert mcp.tool_context["analysis"] == ContextRequirements(
        conversation_depth=10,
        memory_search=MemorySearch(
            query_template="data analysis {{request_type}} similar to {{user_request}}",
            max_results=15,
            min_similarity=0.7,
        ),
        capability_context=True,
        tool_data=("user_preferences", "recent_analysis_results", "data_schema_cache"),
        provider_optimization={
            "openai": ProviderOptimization(max_context_tokens=8000, function_calling_format=True),
            "anthropic": ProviderOptimization(max_context_tokens=12_000, structured_output=True),
        },
    )


def test_mistakes_in_tool_context_files_are_told_with_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text("context_requirements: {}\n")
    (tmp_path / "wrong.yaml").write_text("name: x\ncontext_requirements: {conversation_depth: -1}\n")
    (tmp_path / "one.yaml").write_text("name: same\ncontext_requirements: {}\n")
    path = tmp_path / "caxton.yaml"
    path.write_text("llm: {provider: no-such}\nmcp: {}\ntool_context: [wrong.yaml, one.yaml, same.yaml, gone.yaml]\n")
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    told = "\n".join(str(problem) for problem in caught.value.problems)
    for part in (
        "there is no provider 'no-such'",
        "context_requirements.conversation_depth: must be at least 0, found -1",
        "same.yaml: another file is about the tool 'same' already",
        "gone.yaml: cannot be read",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("{name: a}", "mcp.servers[0].command: is missing (the program to start, or 'url' for a server over HTTP)"),
        ("{name: a, command: x, url: 'https://a.example'}", "'command' and 'url' exclude each other"),
        ("{name: a.b, command: x}", "the name of a server has letters, digits, _ and - only"),
        ("{name: '', command: x}", "mcp.servers[0].name: a name must not be empty"),
        ("{name: a, command: x, headers: {A: b}}", "'headers' is read together with 'url' only"),
        ("{name: a, url: 'https://a.example', args: [b]}", "'args' is read together with 'command' only"),
        ("{name: a, url: 'ftp://a.example'}", "mcp.servers[0].url: is not an http or https address"),
        ("{name: a, url: 'https://a.example', headers: {'b c': d}}", "is not the name of a header"),
        (
            "{name: a, url: 'https://a.example', api_key: k, headers: {Authorization: b}}",
            "this header is sent for 'api_key' already",
        ),
        ("{name: a, command: x, env: {'A=B': c}}", "is not the name of a variable"),
        ("{name: a, command: x, env: {A: {source: env}}}", "mcp.servers[0].env.A.name: is missing"),
        ("{name: a, command: x, tools: [pdf], context_requirements: {pdg: {}}}", "did you mean 'pdf'?"),
        (
            "{name: a, command: x, context_requirements: {t: {provider_optimization: {openia: {}}}}}",
            "there is no provider 'openia' (did you mean 'openai'?)",
        ),
        (
            "{name: a, command: x, tool_data: {k: {file: 3}}}",
            "mcp.servers[0].tool_data.k.file: must be the name of a file",
        ),
        ("{name: a, command: x, max_result_bytes: 1}", "must be at least 256, found 1"),
        ("{name: a, command: x, call_timeout_seconds: 0}", "must be more than 0, found 0"),
        ("{name: a, comand: x}", "unknown key 'comand'"),
    ],
)
def test_a_mistake_in_a_server_is_told_with_its_place(server: str, expected: str) -> None:
    (problem,) = mistakes(f"llm: {{provider: builtin}}\nmcp:\n  servers:\n    - {server}\n")
    assert expected in problem
    assert problem.startswith("caxton.yaml:4:")


def test_two_servers_of_one_name_are_a_mistake() -> None:
    text = "llm: {provider: builtin}\nmcp: {servers: [{name: a, command: x}, {name: a, command: y}]}\n"
    assert "two servers are called 'a'" in mistakes(text)[0]


def test_a_program_that_is_not_there_and_plain_http_are_warned_about() -> None:
    configuration = loaded(
        {"name": "a", "command": "no-such-program"}, {"name": "b", "url": "http://tools.example.com/mcp"}
    )
    assert [(warning.path, warning.hint) for warning in configuration.warnings] == [
        ("mcp.servers[0].command", "install it, or write its whole path"),
        ("mcp.servers[1].url", "use https"),
    ]


SECRET: Json = {"source": "env", "name": "PLANTED"}


def test_secrets_are_fetched_and_shown_nowhere() -> None:
    configuration = loaded(
        {"name": "a", "command": "x", "env": {"KEY": SECRET, "PLAIN": "p"}},
        {"name": "b", "url": {"source": "env", "name": "ADDRESS"}, "api_key": SECRET, "headers": {"x-key": SECRET}},
    )
    environ = {"PLANTED": "planted-secret", "ADDRESS": "https://b.example/planted-secret/mcp"}
    resolved = resolve_secrets(configuration, environ=environ)
    assert resolved.mcp is not None
    first, second = resolved.mcp.servers
    assert first.env == {"KEY": "planted-secret", "PLAIN": "p"}
    assert second.api_key == "planted-secret"
    assert second.headers == {"x-key": "planted-secret"}
    assert second.url == "https://b.example/planted-secret/mcp"
    assert "planted-secret" not in repr(resolved) + repr(resolved.mcp) + repr(resolved.mcp.servers)
    assert pickle.loads(pickle.dumps(resolved)).mcp == resolved.mcp


def test_a_secret_that_cannot_be_fetched_is_named_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"mcp\.servers\[0\]\.env\.KEY: env: the environment variable PLANTED"):
        resolve_secrets(loaded({"name": "a", "command": "x", "env": {"KEY": SECRET}}), environ={})


def test_a_store_that_does_not_answer_is_told_by_a_live_check() -> None:
    vault: Json = {"source": "vault", "path": "a/b", "vault_url": "http://127.0.0.1:9"}
    _, _ = fetch_secrets(loaded({"name": "a", "command": "x"}))
    resolved, _ = fetch_secrets(loaded({"name": "a", "command": "x", "env": {"KEY": vault}}))
    assert [warning.path for warning in resolved.warnings if warning.path.endswith("KEY")] == ["mcp.servers[0].env.KEY"]


def test_files_and_folders_that_are_not_there_yet_are_warned_of_and_do_not_keep_the_program_from_starting(
    tmp_path: Path,
) -> None:
    path = tmp_path / "caxton.yaml"
    path.write_text(
        "llm: {provider: builtin}\nmcp:\n  servers:\n"
        "    - {name: a, command: sh, cwd: gone, tool_data: {templates: {file: gone.json}}}\n"
    )
    configuration = load_file(path, {"PATH": os.environ["PATH"]})
    assert configuration.gaps == ()
    told = "\n".join(map(str, configuration.warnings))
    assert f"mcp.servers[0].cwd: there is no such folder: {tmp_path}/gone: the server's tools will be missing" in told
    assert f"tool_data.templates: there is no such file: {tmp_path}/gone.json: the data will be missing" in told
