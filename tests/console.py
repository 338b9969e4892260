"""The real `caxton` command in a process of its own: in pipes, and on a terminal."""

import errno
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

__all__ = ["CAXTON", "Terminal", "environment", "run", "started", "write_config"]

CAXTON = str(Path(sys.executable).with_name("caxton"))
WAIT_S = 20.0
"""Longer than anything here takes on a busy machine; only a failing test waits so long."""


def environment(**more: str) -> dict[str, str]:
    """What a command needs of the environment, and nothing that could change what it does. What it leaves open it reports on
    standard error."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH") if name in os.environ}
    return kept | {"PYTHONUTF8": "1", "PYTHONWARNINGS": "always::ResourceWarning"} | more


def write_config(folder: Path, text: str = "llm:\n  provider: builtin\n") -> Path:
    """A `caxton.yaml` in `folder`."""
    path = folder / "caxton.yaml"
    path.write_text(text)
    return path


def run(
    *arguments: str, cwd: Path, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command with pipes on all sides."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [CAXTON, *arguments],
        cwd=cwd,
        input=data,
        capture_output=True,
        timeout=WAIT_S,
        env=environment(**(env or {})),
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def started(*arguments: str, cwd: Path, piped: bool = False) -> "subprocess.Popen[bytes]":
    """The command, running, with pipes for its output and, if it is `piped`, for its input."""
    return subprocess.Popen(
        [CAXTON, *arguments],
        cwd=cwd,
        stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        bufsize=0,  # `communicate` would miss what a buffer has read ahead
    )


class Terminal:
    """The command on a terminal of 120 columns. `shown` is everything that it has written, escape sequences and all.

    With `into` its standard output goes to that file, as in `caxton ... > FILE`.
    """

    def __init__(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, into: IO[bytes] | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        self.process = subprocess.Popen(
            [CAXTON, *arguments],
            cwd=cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm-256color", **(env or {})),
            preexec_fn=lambda: _log_in(theirs, into),  # noqa: PLW1509 - so that Ctrl-C becomes a signal; no threads here
        )
        os.close(theirs)
        self.shown = ""

    def read_until(self, text: str) -> str:
        """Everything new up to and including `text`."""
        begun = len(self.shown)
        end = time.monotonic() + WAIT_S
        while text not in self.shown[begun:]:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown, but {self.shown[begun:]!r}")
        return self.shown[begun:]

    def send(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt_prompt(self) -> int:
        """Ctrl-C at a prompt, and the exit code: again when nothing happens, because a line editor misses what comes between
        showing its prompt and listening."""
        end = time.monotonic() + WAIT_S
        while self.process.poll() is None and time.monotonic() < end:
            self.send("\x03")
            patience = time.monotonic() + 2.0
            while self._read(patience - time.monotonic()):
                pass
        return self.wait()

    def wait(self) -> int:
        """The exit code, once everything is read."""
        end = time.monotonic() + WAIT_S
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(WAIT_S)

    def _read(self, seconds: float) -> bool:
        """Whether there was more within the time."""
        ready, _, _ = select.select([self._ours], [], [], max(seconds, 0))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError as error:  # how Linux says that the other side is closed
            if error.errno != errno.EIO:
                raise
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        os.close(self._ours)


def _log_in(terminal: int, into: IO[bytes] | None) -> None:
    os.login_tty(terminal)
    if into is not None:
        os.dup2(into.fileno(), 1)
