"""The log of the MCP library, without what calls contain.

The library logs messages that it cannot read, in full, and the HTTP client logs addresses. Where that happens for our
servers, the record says only what kind of thing happened and where; a program's own use of the library is left alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["quiet_library"]

_LOGGERS = (  # a logger's filter does not concern its children
    "client",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpx2",
    "mcp.client.client",
    "mcp.client.session",
    "mcp.client.streamable_http",
    "mcp.shared.jsonrpc_dispatcher",
)
_ours: ContextVar[bool] = ContextVar("a call of ours", default=False)


@contextmanager
def quiet_library() -> Iterator[None]:
    """What the library logs in here, and in tasks begun in here, has no contents."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_contents)  # adding the same filter again changes nothing
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _without_contents(record: logging.LogRecord) -> bool:
    if not _ours.get():
        return True
    if record.levelno < logging.WARNING:
        return False
    record.msg = "the MCP library reports a fault at %s:%d; its text may repeat what a call contains and is not shown"
    record.args = (record.module, record.lineno)
    record.exc_info = record.exc_text = record.stack_info = None
    return True
