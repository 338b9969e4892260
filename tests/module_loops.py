"""Modules of tests that run on uvloop, as the gateway does in production, with one event loop per module."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

__all__ = ["module_scoped", "pytest_asyncio_loop_factories"]

module_scoped = pytest_asyncio.fixture(scope="module", loop_scope="module")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
