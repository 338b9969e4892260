"""No two threads make msgspec look through a type at once, which ends the process."""

import subprocess
import sys
from pathlib import Path

FOUND = Path(__file__).with_name("late_types.py")


def test_what_functions_read_was_looked_through_before_any_of_them_runs() -> None:
    # A program of its own: what a process has read once stays looked through.
    done = subprocess.run([sys.executable, str(FOUND)], capture_output=True, text=True, timeout=60, check=True)
    count, control, *late = done.stdout.split()
    assert int(count) > 20
    assert control == "__main__.Fresh"
    assert not late, f"read in functions, without `resolved`: {', '.join(late)}"
