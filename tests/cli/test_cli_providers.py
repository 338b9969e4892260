"""`caxton providers` and `caxton alerts test` with the real command."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from console import run, write_config
from serving import free_port, running_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("providers"), "llm: {provider: builtin, name: near}\n") as url:
        yield url


def test_a_running_gateway_shows_its_providers_in_a_table(gateway: str, tmp_path: Path) -> None:
    done = run("providers", "--url", gateway, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, _, row = done.stdout.splitlines()
    assert header.split()[:3] == ["provider", "kind", "state"]
    assert row.split()[:4] == ["near", "builtin", "unknown", "closed"]


def test_everything_is_there_as_json(gateway: str, tmp_path: Path) -> None:
    done = run("providers", "--url", gateway, "--json", cwd=tmp_path)
    (provider,) = json.loads(done.stdout)["providers"]
    assert (provider["name"], provider["queue"]["in_flight"]) == ("near", 0)


def test_the_address_is_that_of_the_configuration(gateway: str, tmp_path: Path) -> None:
    port = gateway.rpartition(":")[2]
    write_config(tmp_path, f"llm: {{provider: builtin}}\nserver: {{host: 0.0.0.0, port: {port}}}\n")
    done = run("providers", cwd=tmp_path)
    assert done.returncode == 0
    assert "near" in done.stdout


def test_a_gateway_that_does_not_run_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run("providers", "--url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: no gateway answers at {url}: connect_failed" in done.stderr
    assert "caxton serve" in done.stderr


def test_an_address_that_is_none_is_a_mistake_of_the_command_line(tmp_path: Path) -> None:
    assert run("providers", "--url", "nowhere", cwd=tmp_path).returncode == 2


def test_a_port_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    write_config(tmp_path, "llm: {provider: builtin}\nserver: {port: 0}\n")
    done = run("providers", cwd=tmp_path)
    assert done.returncode == 2
    assert "--url" in done.stderr


# -- alerts test ------------------------------------------------------------------------------------------------------------


class Hook(BaseHTTPRequestHandler):
    got: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.got.clear()
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def configured(folder: Path, *channels: str) -> None:
    items = "".join(f"        - {channel}\n" for channel in channels)
    write_config(folder, f"llm:\n  provider: builtin\n  monitoring:\n    alerts:\n      channels:\n{items}")


def test_a_test_alert_goes_through_every_channel(tmp_path: Path, hook: str) -> None:
    configured(tmp_path, f"{{type: webhook, url: '{hook}', secret: '${{KEY}}'}}", f"{{type: slack, url: '{hook}'}}")
    done = run("alerts", "test", cwd=tmp_path, env={"KEY": "do-not-show"})
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[2:]] == [["webhook-1", "sent"], ["slack-2", "sent"]]
    assert "do-not-show" not in done.stdout + done.stderr
    assert sorted("rule" in body for body in Hook.got) == [False, True]


def test_a_channel_that_fails_is_named_and_the_exit_code_is_1(tmp_path: Path, hook: str) -> None:
    configured(tmp_path, f"{{type: webhook, url: '{hook}/gone'}}", "{type: log}", "{type: command, command: ['false']}")
    done = run("alerts", "test", cwd=tmp_path)
    assert done.returncode == 1
    assert "127.0.0.1: answered with status 404" in done.stdout
    assert "false: exit code 1" in done.stdout
    assert "/gone" not in done.stdout + done.stderr


def test_one_channel_can_be_chosen(tmp_path: Path) -> None:
    configured(tmp_path, "{type: command, command: ['false']}", "{type: log}")
    assert run("alerts", "test", "--channel", "2", cwd=tmp_path).returncode == 0
    assert run("alerts", "test", "--channel", "3", cwd=tmp_path).returncode == 2


def test_without_alerts_there_is_nothing_to_test(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = run("alerts", "test", cwd=tmp_path)
    assert done.returncode == 2
    assert "llm.monitoring.alerts" in done.stderr
