"""What the gateway costs: requests/s, added milliseconds and stream events/s, against nginx and the bare upstream.

    apt-get install wrk nginx          # nginx is left out of the table when it is not there
    python benchmarks/gateway.py [--seconds 5] [--litellm]

The measured process has one core to itself; upstream and load generator share another. All rows come from one run, so read
the ratios: absolute figures change with the machine.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import load
import uvloop

HERE = Path(__file__).parent
SERVED_CPU, OTHER_CPU = 0, 1
CONNECTIONS = (1, 32, 128)
EVENTS = 1000

CONFIG = """
llm:
  provider: openai
  model: gpt-4o
  api_key: bench
  base_url: "http://127.0.0.1:{upstream}/v1"
  transport: {transport}
"""

NGINX = """
worker_processes 1;
worker_cpu_affinity 01;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

LITELLM = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: bench
      api_base: "http://127.0.0.1:{upstream}/v1"
"""


LITELLM_ENVIRONMENT = (
    "LITELLM_LOCAL_MODEL_COST_MAP=True",  # it would fetch its price list from the internet
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true",
)


@dataclass
class Row:
    name: str
    loads: list[load.Load]
    events_per_s: float


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--litellm", action="store_true", help="measure LiteLLM's proxy too, where it is installed")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name, upstream() as port:
        folder = Path(name)
        rows = [measure("upstream alone", port, chosen.seconds)]
        if shutil.which("nginx"):
            with nginx(folder, port) as proxy:
                rows.append(measure("nginx", proxy, chosen.seconds))
        for transport in ("lean", "aiohttp"):
            with caxton(folder, port, transport) as gateway:
                rows.append(measure(f"caxton, {transport}", gateway, chosen.seconds))
        if chosen.litellm and shutil.which("litellm"):
            with litellm(folder, port) as gateway:
                rows.append(measure("litellm", gateway, chosen.seconds))
    report(rows)


def measure(name: str, port: int, seconds: float) -> Row:
    load.wrk(port, 8, 1.0, OTHER_CPU)  # warm up: connections, caches, lazily imported modules
    loads = [load.wrk(port, connections, seconds, OTHER_CPU) for connections in CONNECTIONS]
    events = uvloop.run(load.stream_events_per_s(port, 8, seconds))
    return Row(name, loads, events)


def report(rows: list[Row]) -> None:
    direct = rows[0]
    reference = next((row for row in rows if row.name == "nginx"), None)
    print("| | " + " | ".join(f"{n} conn. req/s (added ms)" for n in CONNECTIONS) + " | x nginx | stream events/s |")
    print("|---|" + "--:|" * (len(CONNECTIONS) + 2))
    for row in rows:
        cells = [
            f"{load_.requests_per_s:,.0f} ({load_.p50_ms - bare.p50_ms:+.2f})" + (" FAILED" if load_.failed else "")
            for load_, bare in zip(row.loads, direct.loads, strict=True)
        ]
        ratio = "" if reference is None else f"{row.loads[1].requests_per_s / reference.loads[1].requests_per_s:.3f}"
        print(f"| {row.name} | " + " | ".join(cells) + f" | {ratio} | {row.events_per_s:,.0f} |")


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    port = free_port()
    with running([sys.executable, str(HERE / "upstream.py"), str(port), str(EVENTS)], OTHER_CPU, port):
        yield port


@contextlib.contextmanager
def caxton(folder: Path, upstream_port: int, transport: str) -> Iterator[int]:
    config = folder / f"{transport}.yaml"
    config.write_text(CONFIG.format(upstream=upstream_port, transport=transport))
    port = free_port()
    command = [sys.executable, "-m", "caxton_llm", "serve", "-c", str(config), "--port", str(port)]
    with running(command, SERVED_CPU, port):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, upstream_port: int) -> Iterator[int]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=upstream_port, port=port))
    with running(["nginx", "-p", str(folder), "-c", str(config)], SERVED_CPU, port):
        yield port


@contextlib.contextmanager
def litellm(folder: Path, upstream_port: int) -> Iterator[int]:
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream_port))
    command = ["env", *LITELLM_ENVIRONMENT, "litellm", "--config", str(config), "--port", str(port)]
    with running(command, SERVED_CPU, port, patience_s=120):
        yield port


@contextlib.contextmanager
def running(command: list[str], cpu: int, port: int, *, patience_s: float = 20.0) -> Iterator[None]:
    """The command pinned to one core, from when it listens until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(listening(port, patience_s))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


async def listening(port: int, patience_s: float) -> None:
    give_up = time.monotonic() + patience_s
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > give_up:
                sys.exit(f"nothing listens on port {port}")
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
