"""What is known of a model, in the words of a table."""

from caxton_llm.builtin_provider import BuiltinProvider
from caxton_llm.cli.screen import tokens
from caxton_llm.model_info import ModelInfo, ModelPrice
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.providers.prices import EntryPrices
from caxton_llm.providers.settings import ProviderSettings

__all__ = ["COLUMNS", "cells", "known"]

COLUMNS = ("window", "max out", "tools", "vision", "$/M in", "$/M out", "life")
"""Tokens, abilities, USD per million tokens, and until when the vendor keeps the model."""


def known(settings: ProviderSettings, model: str) -> ModelInfo:
    """Everything that is known of a model of an entry without asking the provider."""
    if settings.provider == "builtin":
        return BuiltinProvider(settings).describe()
    catalog = shipped_catalog()
    return EntryPrices(catalog, settings).fill(catalog.describe(settings, model))


def cells(info: ModelInfo) -> tuple[str, ...]:
    """One cell per column of `COLUMNS`; `?` is unknown."""
    return (
        tokens(info.context_window),
        tokens(info.max_output_tokens),
        _yes_or_no(info.capabilities.tools),
        _yes_or_no(info.capabilities.vision),
        *_prices(info.price),
        _life(info),
    )


def _prices(price: ModelPrice | None) -> tuple[str, str]:
    if price is None:
        return "?", "?"
    more = "+" if price.tier is not None else ""  # long prompts cost more
    return f"{price.input:g}{more}", f"{price.output:g}{more}"


def _yes_or_no(value: bool | None) -> str:
    return "?" if value is None else "yes" if value else "no"


def _life(info: ModelInfo) -> str:
    if info.lifecycle == "retired":
        return f"retired {info.retires_on or ''}".strip()
    until = f"until {info.retires_on}" if info.retires_on else ""
    if until and info.retires_not_before:
        until = f"at least {until}"
    state = "" if info.lifecycle in (None, "active") else info.lifecycle
    return " ".join(part for part in (state, until) if part) or ("active" if info.lifecycle else "?")
