"""`caxton serve` as a process: it says where it listens, answers, and stops without cutting anything off."""

import http.client
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from console import WAIT_S, run, started, write_config

QUESTION = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
SLOW_STREAM = """\
llm:
  provider: builtin
  script:
    steps:
      - {text: one two three four five six, chunk_delay_ms: 100}
"""


ENDLESS = """\
llm:
  provider: builtin
  script:
    steps:
      - {delay_ms: 60000}
      - {text: one two, chunk_delay_ms: 60000}
server: {drain_seconds: 0}
"""


class Gateway:
    """A running `caxton serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert process.stdout is not None
        self.greeting = process.stdout.readline().decode()
        if " at http://" not in self.greeting:
            _, problem = process.communicate(timeout=WAIT_S)
            raise AssertionError(f"it did not start: {self.greeting}{problem.decode()}")
        self.port = int(self.greeting.rpartition(":")[2])

    @contextmanager
    def begin(self, **more: object) -> Iterator[http.client.HTTPConnection]:
        """A question that is sent; its answer is still to be read."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as connection:
            body = json.dumps(QUESTION | more)
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            yield connection

    @contextmanager
    def ask(self, **more: object) -> Iterator[http.client.HTTPResponse]:
        with self.begin(**more) as connection, connection.getresponse() as response:
            yield response

    def stop(self, number: int) -> tuple[int, str, str]:
        """Exit code, the rest of standard output, standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out.decode(), err.decode()


@contextmanager
def gateway(folder: Path, *arguments: str) -> Iterator[Gateway]:
    with started("serve", "--port", "0", *arguments, cwd=folder) as process:
        try:
            yield Gateway(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_answers_clients_until_a_signal_ends_it_cleanly(tmp_path: Path, number: int, workers: str) -> None:
    write_config(tmp_path)
    with gateway(tmp_path, "--workers", workers) as serving:
        with serving.ask() as answer:
            assert answer.status == 200
            assert answer.headers["x-caxton-provider"] == "builtin"
            assert json.load(answer)["choices"][0]["message"]["content"].startswith("You said: Hello")
        code, out, err = serving.stop(number)
    assert (code, err) == (0, "")
    assert f"base_url=http://127.0.0.1:{serving.port}/v1\n" in out
    assert out.endswith("stopped\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stream_under_way_is_finished_before_it_stops(tmp_path: Path, number: int) -> None:
    write_config(tmp_path, SLOW_STREAM)
    with gateway(tmp_path) as serving:
        with serving.ask(stream=True) as answer:
            first = answer.readline()
            serving.process.send_signal(number)
            rest = answer.read()
        code = serving.process.wait(WAIT_S)
    assert b"one" in first
    assert b"six" in rest
    assert rest.endswith(b"data: [DONE]\n\n")
    assert code == 0


def test_what_outlives_the_drain_time_is_told_so_and_is_a_line_each_in_the_log(tmp_path: Path) -> None:
    write_config(tmp_path, ENDLESS)
    with gateway(tmp_path) as serving:
        with serving.begin() as whole, serving.ask(stream=True) as answer:
            assert b"one" in answer.readline()
            serving.process.send_signal(signal.SIGTERM)
            assert b"the gateway is shutting down" in answer.read()
            with whole.getresponse() as refused:
                assert refused.status == 503
                assert json.load(refused)["error"]["message"] == "the gateway is shutting down"
        _, problem = serving.process.communicate(timeout=WAIT_S)
    assert serving.process.returncode == 0
    assert b"Traceback" not in problem
    assert len(re.findall(rb"WARNING request cax_\w+ failed: overloaded answered=503\n", problem)) == 2


def test_settings_without_effect_are_warned_about_at_the_start(tmp_path: Path) -> None:
    write_config(tmp_path, "llm:\n  provider: builtin\n  caching: {enabled: true}\n")
    with gateway(tmp_path) as serving:
        code, _, err = serving.stop(signal.SIGTERM)
    assert code == 0
    assert err.startswith("warning: caxton.yaml:3: llm.caching: has no effect")


def test_a_file_with_a_secret_that_others_may_read_is_warned_about_at_the_start(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-do-not-show\n")
    key.chmod(0o644)
    write_config(tmp_path, f"llm:\n  provider: openai\n  model: gpt-4o\n  api_key: {{source: file, path: {key}}}\n")
    with gateway(tmp_path) as serving:
        _, out, err = serving.stop(signal.SIGTERM)
    assert f"others may read the file {key} (mode 0644)" in err
    assert "sk-do-not-show" not in out + err


@pytest.mark.parametrize(
    ("written", "option", "warned"),
    [
        ("127.0.0.1", "0.0.0.0", "--host 0.0.0.0"),
        ("0.0.0.0", None, "server.host"),
        ("0.0.0.0", "127.0.0.1", None),
        ("127.0.0.1", None, None),
    ],
)
def test_a_gateway_that_is_open_to_others_is_warned_about(
    tmp_path: Path, written: str, option: str | None, warned: str | None
) -> None:
    write_config(tmp_path, f"llm: {{provider: builtin}}\nserver: {{host: {written}}}\n")
    with gateway(tmp_path, *([] if option is None else ["--host", option])) as serving:
        _, _, err = serving.stop(signal.SIGTERM)
    if warned is None:
        assert err == ""
    else:
        assert err.count("\n") == 1
        assert f"{warned}: whoever reaches this address can use the configured providers" in err


def test_a_port_in_use_is_told_with_the_way_out(tmp_path: Path) -> None:
    write_config(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in done.stderr


def test_a_wrong_configuration_ends_it_before_it_listens(tmp_path: Path) -> None:
    write_config(tmp_path, "llm:\n  provider: opnai\n")
    done = run("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "caxton.yaml:2:" in done.stderr
    assert "openai" in done.stderr
