"""Loops of agents run on uvloop, as in the gateway."""

from module_loops import pytest_asyncio_loop_factories  # noqa: F401 - a hook that pytest looks for here
