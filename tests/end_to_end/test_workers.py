"""`caxton serve --workers 2`: one address, one set of metrics, one configuration."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from metrics_page import samples
from serving import running_gateway

YAML = """
llm:
  provider: builtin
  name: local
"""
HELLO = {"model": "local", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
MANY = 40
SUCCESSES = ("caxton_llm_requests_total", (("provider", "local"), ("status", "success")))


def shown_within(seconds: float, url: str) -> None:
    """Wait until a page shows every request."""
    give_up = time.monotonic() + seconds
    while samples(httpx.get(f"{url}/metrics", timeout=20).text).get(SUCCESSES) != MANY:
        assert time.monotonic() < give_up, f"the requests are not all counted within {seconds:g} s"


def test_two_processes_serve_one_address_and_add_up_their_metrics(tmp_path: Path) -> None:
    with running_gateway(tmp_path, YAML, "--workers", "2") as url:

        def ask(number: int) -> int:
            """One request on a connection of its own, which either process may accept."""
            path = "/v1/messages" if number % 2 else "/v1/chat/completions"
            return httpx.post(f"{url}{path}", json=HELLO, timeout=20).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(MANY))) == {200}
            shown_within(10.0, url)  # a process hears from the others twice a second
            pages = list(pool.map(lambda _: httpx.get(f"{url}/metrics", timeout=20).text, range(16)))
        for page in pages:
            found = samples(page)
            assert found[SUCCESSES] == MANY
            count = ("caxton_llm_request_duration_seconds_count", (("model", "builtin"), ("provider", "local")))
            assert found[count] == MANY
    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log
    assert "error" not in log.lower()


def children(pid: int, word: str) -> list[int]:
    """Processes that `pid` started, with the word on their command line."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if word in Path(f"/proc/{child}/cmdline").read_text()]


def test_a_worker_that_is_replaced_serves_the_configuration_that_the_others_serve(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-planted-0123456789\n", encoding="utf-8")
    agents = "agents:\n  - name: helper\n    llm: {provider: openai, model: m, api_key: {source: file, path: KEY}}\n"
    with running_gateway(tmp_path, YAML + agents.replace("KEY", str(tmp_path / "key")), "--workers", "2") as url:
        (tmp_path / "key").unlink()
        (tmp_path / "caxton.yaml").write_text("llm: [broken", encoding="utf-8")
        (gateway,) = children(os.getpid(), str(tmp_path))
        workers = children(gateway, "spawn_main")
        assert len(workers) == 2
        for worker in workers:
            assert b"sk-planted" not in Path(f"/proc/{worker}/cmdline").read_bytes()
            os.kill(worker, signal.SIGKILL)
        names = httpx.get(f"{url}/v1/models", timeout=30).text  # waits until one of the new ones takes the connection
        assert "agent:helper" in names
        assert set(children(gateway, "spawn_main")).isdisjoint(workers)
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
