"""What the gateway costs: requests/s, added milliseconds and stream events/s, against nginx and the bare upstream.

    apt-get install wrk nginx          # nginx is left out of the table when it is not there
    python benchmarks/gateway.py [--seconds 2] [--rounds 7] [--before CHECKOUT] [--litellm PATH]

The measured process has one core to itself; upstream and load generator share another. All servers run at once and take
their turns, round after round, because a shared machine changes its speed from second to second: a ratio is the median of
what it was in each round. Absolute figures change with the machine.
"""

import argparse
import asyncio
import contextlib
import math
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import load
import uvloop

HERE = Path(__file__).parent
SERVED_CPU, OTHER_CPU = 0, 1
CONNECTIONS = (1, 32, 128)
RATIO_AT = 32
EVENTS = 1000

CONFIG = """
llm:
  provider: openai
  model: gpt-4o
  api_key: bench
  base_url: "http://127.0.0.1:{upstream}/v1"
  transport: {transport}
"""

ROUTED = """
llm:
  fallback_strategy: load_balance
  circuit_breaker: {{cooldown_seconds: 5}}
  health_check: {{interval_seconds: 1}}
  hedging: {{hedge_after_ms: 2000}}
  requests_per_minute: 10000000
  tokens_per_minute: 1000000000
  max_concurrency: 512
  monitoring: {{alerts: {{channels: [{{type: log}}]}}}}
  providers:
    - {{name: a, provider: openai, model: gpt-4o, api_key: bench, base_url: "http://127.0.0.1:{upstream}/v1"}}
    - {{name: b, provider: openai, model: gpt-4o, api_key: bench, base_url: "http://127.0.0.1:{upstream}/v1"}}
    - {{name: c, provider: openai, model: gpt-4o, api_keys: [x, y], base_url: "http://127.0.0.1:{upstream}/v1"}}
"""
"""Three targets with limits, breakers, health checks, hedging and alerts: what a request costs with all of it."""

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
class Server:
    """One row of the table: what listens, and what was measured, a round each."""

    name: str
    port: int
    loads: dict[int, list[load.Load]] = field(default_factory=dict)
    events_per_s: list[float] = field(default_factory=list)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=2, help="of each measurement")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument(
        "--before", metavar="CHECKOUT", type=Path, help="a checkout of another version, to compare with"
    )
    options.add_argument("--litellm", metavar="PATH", help="the command `litellm`, to measure its proxy too")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed: apt-get install wrk")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [Server("upstream alone", stack.enter_context(upstream()))]
        origin = servers[0].port
        if shutil.which("nginx"):
            servers.append(Server("nginx", stack.enter_context(nginx(folder, origin))))
        for transport in ("lean", "aiohttp"):
            config = CONFIG.format(upstream=origin, transport=transport)
            servers.append(Server(f"caxton, {transport}", stack.enter_context(caxton(folder, config))))
        routed = caxton(folder, ROUTED.format(upstream=origin))
        servers.append(Server("caxton, lean, all of routing", stack.enter_context(routed)))
        if chosen.before:
            config = CONFIG.format(upstream=origin, transport="lean")
            servers.append(Server("before, lean", stack.enter_context(caxton(folder, config, chosen.before / "src"))))
        if chosen.litellm:
            servers.append(Server("litellm", stack.enter_context(litellm(chosen.litellm, folder, origin))))
        for server in servers:
            load.wrk(server.port, 8, 2, OTHER_CPU)  # warm up: connections, caches, lazily imported modules
        for _ in range(chosen.rounds):
            measure(servers, chosen.seconds)
    report(servers)


def measure(servers: list[Server], seconds: int) -> None:
    """One round: every server in turn, for every number of connections and for streams."""
    for connections in CONNECTIONS:
        for server in servers:
            server.loads.setdefault(connections, []).append(load.wrk(server.port, connections, seconds, OTHER_CPU))
    for server in servers:
        try:
            server.events_per_s.append(uvloop.run(load.stream_events_per_s(server.port, 8, seconds)))
        except load.BrokenStreamError:
            server.events_per_s.append(math.nan)


def report(servers: list[Server]) -> None:
    direct = servers[0]
    nginx_row = next((server for server in servers if server.name == "nginx"), None)
    print("| | " + " | ".join(f"{n} conn. req/s (added ms)" for n in CONNECTIONS) + " | x nginx | stream events/s |")
    print("|---|" + "--:|" * (len(CONNECTIONS) + 2))
    for server in servers:
        cells = [requests_cell(server.loads[connections], direct.loads[connections]) for connections in CONNECTIONS]
        cells.append(ratio_cell(server.loads[RATIO_AT], None if nginx_row is None else nginx_row.loads[RATIO_AT]))
        broken = any(math.isnan(rate) for rate in server.events_per_s)
        cells.append("FAILED" if broken else f"{median(server.events_per_s):,.0f}")
        print(f"| {server.name} | " + " | ".join(cells) + " |")


def requests_cell(loads: list[load.Load], bare: list[load.Load]) -> str:
    added = median(one.p50_ms - other.p50_ms for one, other in zip(loads, bare, strict=True))
    failed = " FAILED" if any(one.failed for one in loads) else ""
    return f"{median(one.requests_per_s for one in loads):,.0f} ({added:+.2f}){failed}"


def ratio_cell(loads: list[load.Load], reference: list[load.Load] | None) -> str:
    """The median, and the range, of the ratios round by round."""
    if reference is None:
        return ""
    ratios = [one.requests_per_s / other.requests_per_s for one, other in zip(loads, reference, strict=True)]
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    port = free_port()
    with running([sys.executable, str(HERE / "upstream.py"), str(port), str(EVENTS)], OTHER_CPU, port):
        yield port


@contextlib.contextmanager
def caxton(folder: Path, configuration: str, source: Path | None = None) -> Iterator[int]:
    """A gateway; `source` is where its package is, when not the installed one."""
    port = free_port()
    config = folder / f"{port}.yaml"
    config.write_text(configuration)
    command = [sys.executable, "-m", "caxton_llm", "serve", "-c", str(config), "--port", str(port)]
    if source is not None:
        command = ["env", f"PYTHONPATH={source.resolve()}", *command]
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
def litellm(path: str, folder: Path, upstream_port: int) -> Iterator[int]:
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream_port))
    command = ["env", *LITELLM_ENVIRONMENT, path, "--config", str(config), "--port", str(port)]
    with running(command, SERVED_CPU, port, patience_s=120):
        yield port


@contextlib.contextmanager
def running(
    command: list[str], cpu: int, port: int, *, patience_s: float = 20.0
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command pinned to one core, from when it listens until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(listening(port, patience_s))
        yield process
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
