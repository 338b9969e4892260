"""Whose model answers, as far as that decides how a prompt is rendered and counted. Pure.

The kind of the provider says little: an OpenAI-compatible server may serve any vendor's model, an aggregator all of them. So
the model's name is looked at too; a name that tells nothing is `other`, and gets the more expensive assumption.
"""

import re
from functools import lru_cache
from typing import Literal

__all__ = ["Vendor", "bare_name", "thinks_first", "vendor_of", "writes_older_claude"]

Vendor = Literal["openai", "harmony", "anthropic", "local", "other"]
"""`harmony`: OpenAI's open models, whose template is public. `local`: open models behind vLLM and Ollama."""

_OPENAI = re.compile(r"(ft:)?(gpt-|chatgpt|o\d)")
_THINKS_FIRST = re.compile(r"(ft:)?(gpt-([5-9]|\d\d)|o\d)")
_OLDER_CLAUDE = re.compile(r"claude-(instant|[123]|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)")


def bare_name(model: str) -> str:
    """The model's name in lower case, without the vendor's that aggregators and registries put before it."""
    return model.rpartition("/")[2].lower()


@lru_cache(maxsize=1_024)
def vendor_of(provider: str, model: str) -> Vendor:
    """By the kind of the provider and the name of the model."""
    name = bare_name(model)
    if provider == "anthropic" or name.startswith("claude"):
        return "anthropic"
    if name.startswith("gpt-oss"):
        return "harmony"
    # Azure's names are those of deployments, the builtin provider's are anybody's.
    if provider in ("azure", "builtin") or _OPENAI.match(name):
        return "openai"
    return "local" if provider in ("ollama", "vllm") else "other"


@lru_cache(maxsize=1_024)
def thinks_first(model: str) -> bool:
    """Whether it is one of OpenAI's reasoning models, which have a template of their own."""
    return _THINKS_FIRST.match(bare_name(model)) is not None


def writes_older_claude(model: str) -> bool:
    """Whether it has the vocabulary of Claude up to 4.6; later ones need about 30 % more tokens for the same text
    (https://platform.claude.com/docs/en/build-with-claude/token-counting)."""
    return _OLDER_CLAUDE.match(bare_name(model)) is not None
