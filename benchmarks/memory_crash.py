"""Kills a process that writes to a memory, 200 times at random moments, and counts what was lost or is wrong after it.

    python benchmarks/memory_crash.py [--kills 200] [--seed 1]

What the process had acknowledged must be there, what it had deleted must not, the indexes must agree with the records. Ends
with status 1 when anything is wrong.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from memory_crashes import Crashes


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crashes = Crashes(Path(folder), random.Random(options.seed))
        for number in range(options.kills):
            crashes.kill_once(number)
            if (number + 1) % 20 == 0:
                print(
                    f"{number + 1} kills, {crashes.acknowledged} acknowledged, {len(crashes.problems)} problems",
                    flush=True,
                )
    print(f"indexes that had to be made anew: {crashes.rebuilt} of {options.kills} times")
    for problem in crashes.problems[:20]:
        print(problem)
    return 1 if crashes.problems else 0


if __name__ == "__main__":
    sys.exit(main())
