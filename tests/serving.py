"""A real `caxton serve` process for tests that need one."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_port", "running_gateway"]

_START_S = 30.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def running_gateway(folder: Path, configuration: str, *options: str) -> Iterator[str]:
    """The base URL of a gateway with this YAML, which is stopped at the end."""
    path = folder / "caxton.yaml"
    path.write_text(configuration, encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "caxton_llm", "serve", "-c", str(path), "--port", str(port), *options]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_live(url, process, folder / "serve.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


def _wait_until_live(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise AssertionError(f"the gateway ended at once:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}/health/live", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            _pause(process)
    raise AssertionError(f"the gateway did not start within {_START_S:g} s:\n{log.read_text()}")


def _pause(process: "subprocess.Popen[bytes]") -> None:
    """A pause that ends early when the process ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
