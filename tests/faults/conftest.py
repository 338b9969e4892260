"""A laboratory with a healthy provider behind it, and both packages as clients of a gateway that has the two.

The modules run on uvloop, as the gateway does in production, with one event loop per module.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fakes import FakeOpenAI
from faults.fault_gateway import FaultGateway, fault_gateway
from faults.laboratory import Laboratory
from module_loops import module_scoped, pytest_asyncio_loop_factories  # noqa: F401 - a hook that pytest looks for here

for_one_test = pytest_asyncio.fixture(loop_scope="module")  # what a gateway learns of its targets is forgotten


@module_scoped
async def shared_lab() -> AsyncIterator[Laboratory]:
    async with Laboratory() as server:
        yield server


@module_scoped
async def shared_second() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
def lab(shared_lab: Laboratory) -> Laboratory:
    """The first provider, with nothing counted."""
    shared_lab.start_over()
    return shared_lab


@pytest.fixture
def second(shared_second: FakeOpenAI) -> FakeOpenAI:
    """The healthy second provider, with nothing scripted and nothing received."""
    shared_second.start_over()
    return shared_second


@for_one_test
async def gateway(shared_lab: Laboratory, shared_second: FakeOpenAI) -> AsyncIterator[FaultGateway]:
    async with fault_gateway(shared_lab, shared_second) as running:
        yield running


@for_one_test
async def impatient(shared_lab: Laboratory, shared_second: FakeOpenAI) -> AsyncIterator[FaultGateway]:
    """A gateway that does not wait long for the first provider."""
    async with fault_gateway(shared_lab, shared_second, patience_s=0.3) as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def package(request: pytest.FixtureRequest) -> str:
    """Each of the two packages in turn."""
    name: str = request.param
    return name
