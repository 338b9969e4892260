"""Packages that come with an extra of this one: whether they are there, without the time that importing them takes."""

from importlib.util import find_spec

__all__ = ["is_installed"]


def is_installed(module: str) -> bool:
    """Whether the module can be imported."""
    try:
        return find_spec(module) is not None
    except ImportError:  # a package above it is not there
        return False
