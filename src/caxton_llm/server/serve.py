"""`caxton serve`: the gateway under uvicorn, in one process or several."""

import gc
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from msgspec import Struct
from uvicorn.supervisors import Multiprocess

from caxton_llm.caxton import Caxton
from caxton_llm.config.configuration import Configuration
from caxton_llm.config.load import load_file
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.errors import ConfigurationError
from caxton_llm.observers.prometheus import SHARED_FOLDER_VARIABLE, PrometheusObserver
from caxton_llm.server.app import GatewayApp
from caxton_llm.server.protocol import GatewayProtocol

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = [
    "GatewayServer",
    "ServeOptions",
    "address_of",
    "listening_socket",
    "make_app",
    "make_server",
    "open_configured_memory",
    "serve",
]


class ServeOptions(Struct, frozen=True, kw_only=True):
    """What the command line overrides of the `server` block."""

    host: str | None = None
    port: int | None = None
    workers: int | None = None


def make_app(
    configuration: Configuration, *, metrics_folder: str | None = None, memory: "Memory | None" = None
) -> GatewayApp:
    """The ASGI application for a configuration. Raises `ConfigurationError`.

    `memory` is what agents remember with and `/api/v1/memory` serves; the application closes it at the end. `metrics_folder`
    is where several processes keep their metrics, so that any of them can show the sums.
    """
    metrics = PrometheusObserver(shared_folder=metrics_folder) if configuration.monitoring.metrics_enabled else None
    caxton = Caxton(configuration, observers=(metrics,) if metrics else (), memory=memory)
    if metrics is not None:
        metrics.watch(caxton.readings)
    return GatewayApp(caxton, metrics, max_body_bytes=configuration.server.max_body_bytes, memory=memory)


def open_configured_memory(configuration: Configuration, environ: Mapping[str, str] | None = None) -> "Memory | None":
    """The memory of the configuration; `None` where it has none. Raises `ConfigurationError` and `MemoryStoreError`."""
    if configuration.memory is None:
        return None
    from caxton_llm.memory_system import Memory  # noqa: PLC0415 - with numpy and its indexes; most gateways have none

    resolved = resolve_secrets(configuration, environ=environ)
    if resolved.memory is None:
        return None
    return Memory.from_configuration(resolved.memory, [entry.settings for entry in resolved.entries], upkeep=True)


class _AppFactory:
    """Makes the application in a worker process. It gets the configuration as it was when the program started, through a
    pipe: a worker that is replaced neither reads a file that is being edited nor asks for a secret again."""

    def __init__(self, configuration: Configuration, metrics_folder: str) -> None:
        self._configuration = configuration
        self._metrics_folder = metrics_folder

    def __call__(self) -> GatewayApp:
        memory = open_configured_memory(self._configuration)
        app = make_app(self._configuration, metrics_folder=self._metrics_folder, memory=memory)
        _log_to_stderr()
        _spare_collector()
        return app


class GatewayServer(uvicorn.Server):
    """Uvicorn that tells the application when it begins to drain."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.loaded_app
        if isinstance(app, GatewayApp):
            app.accepting = False
        super().handle_exit(sig, frame)


def make_server(app: GatewayApp | _AppFactory, configuration: Configuration, options: ServeOptions) -> GatewayServer:
    """A server for `app` that is not started yet."""
    block = configuration.server
    config = uvicorn.Config(
        app,
        factory=isinstance(app, _AppFactory),
        host=options.host or block.host,
        port=block.port if options.port is None else options.port,
        loop="uvloop",
        http=GatewayProtocol,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here depends on the client's address
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=round(block.drain_seconds),
        timeout_keep_alive=75,
        workers=options.workers or block.workers,
    )
    return GatewayServer(config)


def serve(
    path: Path,
    options: ServeOptions,
    environ: Mapping[str, str] | None = None,
    *,
    announce: Callable[[str, Configuration], None] = lambda _address, _configuration: None,
) -> None:
    """Run until SIGINT or SIGTERM. Raises `ConfigurationError` before anything listens.

    `announce` is called with the gateway's address and the configuration as soon as clients can connect.
    """
    configuration = load_file(path, environ)
    workers = options.workers or configuration.server.workers
    if workers > 1:
        _serve_workers(resolve_secrets(configuration.shared_by(workers), environ=environ), options, announce)
        return
    app = make_app(configuration, memory=open_configured_memory(configuration, environ))
    server = make_server(app, configuration, options)
    _log_to_stderr()
    _spare_collector()
    server.config.load()
    # A signal that comes before the event loop runs is kept for it, too.
    with listening_socket(server.config) as sock, server.capture_signals():
        announce(address_of(sock), configuration)
        server.run(sockets=[sock])


def _log_to_stderr() -> None:
    """Warnings, and what programs of tools say when they start, with their time, unless the process has its logging set up
    already."""
    if not logging.root.handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
        logging.getLogger("caxton_llm.tools").setLevel(logging.INFO)


def _spare_collector() -> None:
    """Let the garbage collector look at what requests leave behind, less often, and no more at what stays for good.

    Requests leave next to no cycles, but their objects make the collector walk over every module and price list again and
    again: a sixth of the gateway's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _serve_workers(
    configuration: Configuration, options: ServeOptions, announce: Callable[[str, Configuration], None]
) -> None:
    # A mistake shows here, once, and not in every worker.
    make_app(configuration)
    if (memory := open_configured_memory(configuration)) is not None:
        memory.close()
    with tempfile.TemporaryDirectory(prefix="caxton-metrics-") as folder:
        # The workers inherit it; the metrics library reads it when it is imported.
        os.environ[SHARED_FOLDER_VARIABLE] = folder
        server = make_server(_AppFactory(configuration, folder), configuration, options)
        with listening_socket(server.config) as sock:
            workers = Multiprocess(server.config, sockets=[sock])  # keeps signals from here on
            announce(address_of(sock), configuration)
            workers.run()


def listening_socket(config: uvicorn.Config) -> socket.socket:
    """A socket that clients can connect to already; raises `ConfigurationError` where uvicorn would end the process."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
        sock.listen(config.backlog)
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another with --host or --port"
        ) from None
    sock.set_inheritable(True)
    return sock


def address_of(sock: socket.socket) -> str:
    """The URL of a listening socket, as a client on this machine writes it."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
