"""Mistakes in a block of an entry, named as the entry's own keys."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from caxton_llm.errors import ConfigurationError

__all__ = ["within"]


@contextmanager
def within(block: str, names: Mapping[str, str] = {}) -> Iterator[None]:
    """What is found wrong inside is wrong with keys of `block`; `names` are those that are called otherwise there."""
    try:
        yield
    except ConfigurationError as error:
        problems = [
            replace(problem, path=f"{block}.{names.get(problem.path, problem.path)}") for problem in error.problems
        ]
        raise ConfigurationError(problems) from None
