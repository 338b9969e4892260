"""What a library call costs: CPU microseconds per call against the `openai` package, and the cost of importing this one.

    python benchmarks/library.py [--calls 2000]

All clients ask the same loopback upstream for the same answer, one call after the other, in turns within one process, and the
process's own CPU time is counted, so the upstream does not enter.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import load
import uvloop
from gateway import OTHER_CPU, SERVED_CPU, upstream

Call = Callable[[], Awaitable[object]]
MESSAGES = json.loads(load.BODY)["messages"]
ROUNDS = 5


async def measure(port: int, calls: int) -> dict[str, float]:
    """CPU microseconds per call, the best of several rounds taken in turns."""
    best: dict[str, float] = {}
    async with contextlib.AsyncExitStack() as stack:
        clients = {"caxton_llm": await caxton_call(stack, port), "openai": await openai_call(stack, port)}
        if importlib.util.find_spec("litellm"):
            clients["litellm"] = litellm_call(port)
        for call in clients.values():
            for _ in range(50):
                await call()
        for _ in range(ROUNDS):
            for name, call in clients.items():
                share = calls if name == "caxton_llm" else max(50, calls // 8)
                started = time.process_time()
                for _ in range(share):
                    await call()
                spent = (time.process_time() - started) / share * 1e6
                best[name] = min(best.get(name, spent), spent)
    return best


async def caxton_call(stack: contextlib.AsyncExitStack, port: int) -> Call:
    from caxton_llm import Caxton

    block = {"provider": "openai", "model": "gpt-4o", "api_key": "bench", "base_url": f"http://127.0.0.1:{port}/v1"}
    caxton = await stack.enter_async_context(Caxton.from_dict({"llm": block}))
    return lambda: caxton.complete_chat(messages=MESSAGES, temperature=0.7)


async def openai_call(stack: contextlib.AsyncExitStack, port: int) -> Call:
    import openai

    client = openai.AsyncOpenAI(api_key="bench", base_url=f"http://127.0.0.1:{port}/v1", max_retries=2)
    stack.push_async_callback(client.close)
    return lambda: client.chat.completions.create(model="gpt-4o", messages=MESSAGES, temperature=0.7)


def litellm_call(port: int) -> Call:
    import litellm

    base = f"http://127.0.0.1:{port}/v1"
    return lambda: litellm.acompletion(
        model="openai/gpt-4o", messages=MESSAGES, temperature=0.7, api_key="bench", api_base=base
    )


def import_cost(module: str) -> tuple[float, float]:
    """Milliseconds and MiB that importing `module` adds to a bare interpreter; the best of several runs."""
    code = (
        "import time\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) / 256\n"
        "started, before = time.perf_counter(), resident()\n"
        f"import {module}\n"
        "print((time.perf_counter() - started) * 1000, resident() - before)"
    )
    runs = []
    for _ in range(ROUNDS):
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        milliseconds, mebibytes = printed.split()
        runs.append((float(milliseconds), float(mebibytes)))
    return min(runs)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=2000)
    chosen = options.parse_args()
    os.sched_setaffinity(0, {SERVED_CPU})
    assert SERVED_CPU != OTHER_CPU
    with upstream() as port:
        costs = uvloop.run(measure(port, chosen.calls))
    own = costs["caxton_llm"]
    print("| library call | CPU us | x caxton_llm |\n|---|--:|--:|")
    for name, cost in costs.items():
        print(f"| {name} | {cost:,.0f} | {cost / own:.1f} |")
    print("\n| import | ms | MiB |\n|---|--:|--:|")
    for module in ("caxton_llm", "openai"):
        milliseconds, mebibytes = import_cost(module)
        print(f"| {module} | {milliseconds:,.0f} | {mebibytes:,.0f} |")


if __name__ == "__main__":
    main()
