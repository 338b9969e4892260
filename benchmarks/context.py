"""The context engine: how fast it prepares, how well it fills a budget, what it recalls, how much of a prompt stays.

    python benchmarks/context.py [speed] [use] [locomo] [prefix] [--entities 100000] [--turns 200] [--requests 300]

Without a name all four are measured. `speed` has one request after the other through gathering and composing, over a memory
of made-up texts (`memory.Data`), of which the agent sees its tenant's, a stored conversation and two MCP servers of ten tools
whose data are cached; the process has one core. Others use the machine, too: with `--passes` each request is made several
times, and the least that it took is told beside all. Compare figures of one run only.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import context_locomo
import context_speed
import context_use
import locomo

Rows = Sequence[tuple[str, str, str]]
"""What was measured, its target and the figure."""
NAMES = ("speed", "use", "locomo", "prefix")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all")
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=10, help="among whom the memory is divided")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--long", type=int, default=0, help="of the turns each so-manyth is long; 0: none is")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--passes", type=int, default=1, help="times that the requests of `speed` are made")
    parser.add_argument("--budget", type=int, default=8_000, help="tokens of a prompt")
    parser.add_argument("--generated", type=int, default=300, help="requests of `use`")
    parser.add_argument("--replayed", type=int, default=60, help="turns of `prefix`")
    parser.add_argument("--data", type=Path, default=locomo.DATA, help="the file of LoCoMo")
    parser.add_argument("--every", type=int, default=1, help="of LoCoMo's questions each so-manyth")
    parser.add_argument("--memory", type=Path, help="a folder in which the memory of `speed` is kept for the next run")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    with_one_thread()
    for name in options.names or NAMES:
        print(f"\n{name}")
        for what, target, figure in measured(name, options):
            print(f"  {what:44s}{target:>14s}   {figure}")


def measured(name: str, options: argparse.Namespace) -> Rows:
    if name == "speed":
        asked = context_speed.Asked(
            options.entities, options.tenants, options.turns, options.requests, options.budget, options.long
        )
        return context_speed.speed(asked, kept=options.memory, passes=options.passes)
    if name == "use":
        return asyncio.run(context_use.use(options.generated))
    if name == "locomo":
        if not options.data.is_file():
            return [(f"{options.data} is not there", "", "nothing was measured")]
        return asyncio.run(context_locomo.recall(options.data.read_bytes(), options.every))
    return asyncio.run(context_use.prefix(options.replayed))


def with_one_thread() -> None:
    """numpy reads how many threads it may have when it is imported: so once more from the beginning."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])


if __name__ == "__main__":
    main()
