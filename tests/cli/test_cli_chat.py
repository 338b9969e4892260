"""`caxton chat` with the real command, in pipes and on a terminal."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from console import CAXTON, WAIT_S, Terminal, environment, run, started, write_config

SLOW = "llm: {provider: builtin, script: {steps: [{text: late, delay_ms: 60000}]}}\n"


def scripted(*steps: str) -> str:
    return "llm:\n  provider: builtin\n  script:\n    steps:\n" + "".join(f"      - {step}\n" for step in steps)


# -- one answer, in pipes ---------------------------------------------------------------------------------------------------


def test_the_answer_goes_to_standard_output_and_nothing_else_does(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", "Hello there", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("You said: Hello there\n")
    assert done.stdout.endswith(".\n")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_piped_text_follows_the_prompt(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", "Summarise:", cwd=tmp_path, stdin="the text\n")
    assert done.stdout.startswith("You said: Summarise:\n\nthe text\n")


def test_piped_text_alone_is_the_prompt(tmp_path: Path) -> None:
    write_config(tmp_path)
    for arguments in ((), ("-",)):
        assert run("chat", *arguments, cwd=tmp_path, stdin="just this").stdout.startswith("You said: just this\n")


def test_no_prompt_at_all_is_a_mistake_of_usage(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", cwd=tmp_path)
    assert done.returncode == 2
    assert "no prompt" in done.stderr


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", cwd=tmp_path, stdin=b"caf\xe9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: standard input is not UTF-8 text (byte 3)\n"


@pytest.mark.parametrize("arguments", [(b"caf\xe9",), (b"x", b"-s", b"caf\xe9")], ids=["prompt", "system"])
def test_an_argument_that_is_not_utf8_is_refused(tmp_path: Path, arguments: tuple[bytes, ...]) -> None:
    write_config(tmp_path)
    done = run("chat", *map(os.fsdecode, arguments), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: the (prompt|text of --system) is not UTF-8 text\n", done.stderr)


@pytest.mark.parametrize("command", [("chat", "Hi"), ("chat", "Hi", "--json"), ("models",), ("--version",)])
def test_an_output_that_takes_nothing_is_one_message(tmp_path: Path, command: tuple[str, ...]) -> None:
    write_config(tmp_path)
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [CAXTON, *command],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=WAIT_S,
            check=False,
        )
    assert process.returncode == 1
    assert process.stderr == b"error: the output cannot be written: No space left on device\n"


def test_where_streaming_is_switched_off_the_whole_answer_comes(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: builtin, streaming: {enabled: false}}\n")
    done = run("chat", "Hello", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("You said: Hello\n")


def test_instructions_and_limits_reach_the_model_and_lost_parameters_are_told(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", "Hi", "-s", "Be brief", "--max-tokens", "3", "--temperature", "0.5", cwd=tmp_path)
    assert done.stdout == "You said: Hi\n\nThe\n"
    assert "warning: parameter temperature was dropped: " in done.stderr
    assert "warning: the answer is cut off: it reached the limit of output tokens" in done.stderr


def test_without_streaming_the_same_answer_comes(tmp_path: Path) -> None:
    write_config(tmp_path)
    streamed = run("chat", "Hello", cwd=tmp_path)
    whole = run("chat", "Hello", "--no-stream", cwd=tmp_path)
    assert whole.stdout == streamed.stdout


def test_json_tells_everything_that_is_known(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", "Hello", "--json", "--temperature", "1", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert answer["choices"][0]["message"]["content"].startswith("You said: Hello")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["provider"] == "builtin"
    assert answer["attempts"] == 1
    assert answer["cost_usd"] == 0
    assert answer["params"]["dropped"].keys() == {"temperature"}
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["estimated"] is False


def test_tools_that_a_chat_does_not_have_are_told(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{tool: get_weather, arguments: {city: Lisbon}}"))
    done = run("chat", "Hello", cwd=tmp_path)
    assert done.stdout == ""
    assert "the model asked for tools that a chat does not have: get_weather" in done.stderr


# -- failures ---------------------------------------------------------------------------------------------------------------


def test_an_unknown_model_is_one_message_with_the_names_that_exist(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("chat", "Hello", "-m", "gpt-0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nothing is called 'gpt-0'; there is: ")
    assert "builtin" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_provider_that_fails_is_one_message(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{error: authentication}"))
    for more in ((), ("--json",), ("--no-stream",)):
        done = run("chat", "Hello", *more, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: the script refuses the key (provider builtin")
        assert done.stderr.count("\n") == 1


def test_a_machine_without_an_identity_is_one_message_and_not_what_azures_client_says(tmp_path: Path) -> None:
    write_config(
        tmp_path,
        "llm: {provider: azure, deployment_name: d, endpoint: 'http://127.0.0.1:1', entra_id: {}, retry_attempts: 1}\n",
    )
    only_the_environment = {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}  # the others look around for seconds
    done = run("chat", "Hello", cwd=tmp_path, env=only_the_environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: this machine has no usable Entra ID identity")
    assert done.stderr.count("\n") == 1


def test_a_stream_that_breaks_off_fails_after_the_text_that_came(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{text: one two three four, error: stream_interrupted, after_chunks: 2}"))
    done = run("chat", "Hello", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "one two\n")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_without_a_configuration_the_message_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("chat", "Hello", cwd=tmp_path)
    assert done.returncode == 2
    assert "caxton.yaml" in done.stderr
    assert "provider: builtin" in done.stderr


def test_the_configuration_is_found_by_option_then_variable_then_folder(tmp_path: Path) -> None:
    for name in ("option", "variable", "folder"):
        (tmp_path / name).mkdir()
        write_config(tmp_path / name, scripted(f"{{text: {name}}}"))
    variable = {"CAXTON_CONFIG": str(tmp_path / "variable" / "caxton.yaml")}
    option = ("-c", str(tmp_path / "option" / "caxton.yaml"))
    folder = tmp_path / "folder"
    assert run("chat", "x", *option, cwd=folder, env=variable).stdout == "option\n"
    assert run("chat", "x", cwd=folder, env=variable).stdout == "variable\n"
    assert run("chat", "x", cwd=folder).stdout == "folder\n"


def test_a_configuration_that_does_not_exist_is_named_with_who_named_it(tmp_path: Path) -> None:
    by_option = run("chat", "x", "-c", "nowhere.yaml", cwd=tmp_path)
    by_variable = run("chat", "x", cwd=tmp_path, env={"CAXTON_CONFIG": "nowhere.yaml"})
    assert by_option.returncode == by_variable.returncode == 2
    assert by_option.stderr == "error: --config names a file that does not exist: nowhere.yaml\n"
    assert by_variable.stderr == "error: CAXTON_CONFIG names a file that does not exist: nowhere.yaml\n"


def test_a_wrong_configuration_is_told_whole_with_lines(tmp_path: Path) -> None:
    write_config(tmp_path, "llm:\n  provider: builtin\n  max_token: 5\n  temperature: hot\n")
    done = run("chat", "Hello", cwd=tmp_path)
    assert done.returncode == 2
    assert "caxton.yaml:3:" in done.stderr
    assert "caxton.yaml:4:" in done.stderr
    assert "max_tokens" in done.stderr


@pytest.mark.parametrize("more", [(), ("--json",), ("--no-stream",)])
def test_ctrl_c_closes_the_connection_to_the_provider_and_leaves_no_trace(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as provider:
        provider.settimeout(WAIT_S)
        port = provider.getsockname()[1]
        write_config(tmp_path, f"llm: {{provider: ollama, model: llama3, base_url: 'http://127.0.0.1:{port}'}}\n")
        with started("chat", "Hello", *more, cwd=tmp_path) as process:
            connection, _ = provider.accept()
            with connection:
                connection.settimeout(WAIT_S)
                assert connection.recv(65536).startswith(b"POST /api/chat ")
                process.send_signal(signal.SIGINT)
                while connection.recv(65536):
                    pass  # the rest of the request, then the end
            out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert (out, err) == (b"", b"")


# -- on a terminal ----------------------------------------------------------------------------------------------------------


def test_waiting_shows_a_spinner_with_the_time_and_the_end_a_summary(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{text: Hello you, delay_ms: 400}"))
    with Terminal("chat", "Hi", cwd=tmp_path) as terminal:
        terminal.read_until("waiting for default 0.")
        shown = terminal.read_until("Hello you")
        assert terminal.wait() == 0
    assert "\x1b[2K" in shown  # the spinner's line is taken away before the answer
    summary = terminal.shown.partition("Hello you")[2]
    assert "builtin" in summary
    assert "tokens" in summary
    assert "$0" in summary


def test_on_a_terminal_whose_output_goes_elsewhere_there_is_neither_a_spinner_nor_a_summary(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{text: Hello you, delay_ms: 300}"))
    with (tmp_path / "answer").open("wb") as answer, Terminal("chat", "Hi", cwd=tmp_path, into=answer) as terminal:
        assert terminal.wait() == 0
    assert (tmp_path / "answer").read_bytes() == b"Hello you\n"
    assert terminal.shown == ""


def test_thinking_is_shown_while_it_lasts(tmp_path: Path) -> None:
    write_config(tmp_path, scripted('{reasoning: "a b c d", text: Done, chunk_delay_ms: 150}'))
    with Terminal("chat", "Hi", cwd=tmp_path) as terminal:
        terminal.read_until("thinking 0.")
        terminal.read_until("Done")
        assert terminal.wait() == 0


def test_control_characters_of_an_answer_do_not_reach_the_terminal(tmp_path: Path) -> None:
    write_config(tmp_path, scripted('{text: "red\\e]0;title\\a text"}'))
    with Terminal("chat", "Hi", cwd=tmp_path) as terminal:
        assert terminal.wait() == 0
    assert "red]0;title text" in terminal.shown
    assert run("chat", "Hi", cwd=tmp_path).stdout == "red\x1b]0;title\x07 text\n"


def test_ctrl_c_on_a_terminal_stops_the_answer(tmp_path: Path) -> None:
    write_config(tmp_path, SLOW)
    with Terminal("chat", "Hi", cwd=tmp_path) as terminal:
        terminal.read_until("waiting for")
        terminal.send("\x03")
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.shown
    assert terminal.shown.endswith("\r\n")


# -- a conversation ---------------------------------------------------------------------------------------------------------


def test_a_conversation_remembers_what_was_said_until_it_is_reset(tmp_path: Path) -> None:
    write_config(tmp_path)
    with Terminal("chat", cwd=tmp_path) as terminal:
        terminal.read_until("> ")
        terminal.send("first\n")
        assert "received 1 message." in terminal.read_until("> ")
        terminal.send("second\n")
        assert "received 3 messages." in terminal.read_until("> ")
        terminal.send("/system Be brief\n")
        terminal.read_until("> ")
        terminal.send("third\n")
        assert "received 6 messages." in terminal.read_until("> ")
        terminal.send("/reset\n")
        terminal.read_until("> ")
        terminal.send("fourth\n")
        assert "received 2 messages." in terminal.read_until("> ")
        terminal.send("/exit\n")
        assert terminal.wait() == 0


def test_the_model_of_a_conversation_changes_and_a_wrong_name_changes_nothing(tmp_path: Path) -> None:
    config = (
        "llm:\n  providers:\n"
        "    - {name: one, provider: builtin, script: {steps: [{text: from one}], repeat: true}}\n"
        "    - {name: two, provider: builtin, script: {steps: [{text: from two}], repeat: true}}\n"
    )
    write_config(tmp_path, config)
    with Terminal("chat", "-m", "one", cwd=tmp_path) as terminal:
        terminal.read_until("> ")
        terminal.send("/model two\n")
        terminal.read_until("> ")
        terminal.send("hello\n")
        assert "from two" in terminal.read_until("> ")
        terminal.send("/model three\n")
        assert "nothing is called 'three'" in terminal.read_until("> ")
        terminal.send("hello\n")
        assert "from two" in terminal.read_until("> ")
        terminal.send("/model\n")
        assert "one" in terminal.read_until("> ")
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_ctrl_c_stops_a_running_answer_and_at_the_prompt_leaves(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{text: late, delay_ms: 60000}", "{text: soon}"))
    with Terminal("chat", cwd=tmp_path) as terminal:
        terminal.read_until("> ")
        terminal.send("hello\n")
        terminal.read_until("waiting for")
        terminal.send("\x03")
        assert "this turn is not kept" in terminal.read_until("> ")
        terminal.send("again\n")
        assert "soon" in terminal.read_until("> ")
        assert terminal.interrupt_prompt() == 130
    assert "Traceback" not in terminal.shown


def test_a_failed_answer_does_not_end_the_conversation(tmp_path: Path) -> None:
    write_config(tmp_path, scripted("{error: authentication}"))
    with Terminal("chat", cwd=tmp_path) as terminal:
        terminal.read_until("> ")
        terminal.send("hello\n")
        assert "the script refuses the key" in terminal.read_until("> ")
        terminal.send("again\n")
        assert "received 1 message." in terminal.read_until("> ")
        terminal.send("/nonsense\n")
        assert "/help" in terminal.read_until("> ")
        terminal.send("/help\n")
        assert "/reset" in terminal.read_until("> ")


def test_a_conversation_needs_a_terminal(tmp_path: Path) -> None:
    write_config(tmp_path)
    with Terminal("chat", "--json", cwd=tmp_path) as terminal:
        assert terminal.wait() == 2
    assert "a conversation needs a terminal" in terminal.shown
