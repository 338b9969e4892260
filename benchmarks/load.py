"""Load: `wrk` for whole answers, a reader of our own for streams. Both run outside the measured process."""

import asyncio
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BODY = (
    '{"model":"gpt-4o","messages":[{"role":"system","content":"You are brief."},'
    '{"role":"user","content":"Say something that people say to each other every day."}],"temperature":0.7}'
)
STREAM_BODY = BODY[:-1] + ',"stream":true,"stream_options":{"include_usage":true}}'


class BrokenStreamError(Exception):
    """A stream that did not come to its end."""


@dataclass(frozen=True)
class Load:
    """What one run measured; latencies in milliseconds."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def wrk(port: int, connections: int, seconds: int, cpu: int) -> Load:
    """Whole answers over `connections` keep-alive connections from one thread pinned to `cpu`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(
            f"wrk.method = 'POST'\nwrk.body = [==[{BODY}]==]\nwrk.headers['content-type'] = 'application/json'\n"
        )
        command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert rate is not None, printed
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", printed))
    return Load(float(rate.group(1)), _percentile(printed, 50), _percentile(printed, 99), failed)


def _percentile(printed: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)\s*$", printed, re.MULTILINE)
    assert found is not None, printed
    return float(found.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found.group(2)]


async def stream_events_per_s(port: int, connections: int, seconds: float) -> float:
    """Events per second over `connections` connections that ask for one stream after the other."""
    stop_at = time.perf_counter() + seconds
    started = time.perf_counter()
    counts = await asyncio.gather(*[_read_streams(port, stop_at) for _ in range(connections)])
    return sum(counts) / (time.perf_counter() - started)


async def _read_streams(port: int, stop_at: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(STREAM_BODY)}\r\n\r\n{STREAM_BODY}"
    ).encode()
    events = 0
    while time.perf_counter() < stop_at:
        writer.write(request)
        tail = b""
        while True:
            data = await reader.read(1 << 18)
            if not data:
                raise BrokenStreamError("the connection was closed in the middle of a stream")
            data = tail + data
            events += data.count(b"data: ", max(0, len(tail) - 5))
            if b"data: [DONE]" in data and data.endswith(b"0\r\n\r\n"):
                break
            tail = data[-32:]
    writer.close()
    return events
