"""Where the configuration is, and which credentials are at hand: what the command line asks the environment.

The order is: the file that was named, `CAXTON_CONFIG`, `caxton.yaml` in the current folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from caxton_llm.errors import ConfigurationError

__all__ = ["CONFIG_VARIABLE", "DEFAULT_NAME", "is_set", "locate"]

CONFIG_VARIABLE = "CAXTON_CONFIG"
DEFAULT_NAME = "caxton.yaml"

_HOW_TO_BEGIN = f"""\
no configuration: there is no {DEFAULT_NAME} here, {CONFIG_VARIABLE} is not set and --config was not given.
A {DEFAULT_NAME} that needs no key and answers offline, to begin with:

llm:
  provider: builtin

With a provider:

llm:
  provider: openai
  model: gpt-5.4-mini
  api_key: "${{OPENAI_API_KEY}}\""""


def locate(explicit: Path | None, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Path:
    """The configuration file to use. Raises `ConfigurationError`, which says how to make one, when there is none."""
    if explicit is not None:
        return _existing(explicit, "--config")
    named = (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    if named:
        return _existing(Path(named), CONFIG_VARIABLE)
    default = (cwd or Path()) / DEFAULT_NAME
    if not default.is_file():
        raise ConfigurationError(_HOW_TO_BEGIN)
    return default


def is_set(name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether an environment variable has a value; the value itself is read by `${NAME}` in a configuration."""
    return bool((os.environ if environ is None else environ).get(name))


def _existing(path: Path, named_by: str) -> Path:
    if path.is_dir():
        raise ConfigurationError(f"{named_by} names a folder, not a file: {path}")
    if not path.exists():
        raise ConfigurationError(f"{named_by} names a file that does not exist: {path}")
    return path
