"""`caxton check`: everything that is wrong with a configuration, or what it comes to."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import typer

from caxton_llm.caxton import Caxton
from caxton_llm.cli.check_budgets import small_budgets
from caxton_llm.cli.check_live import LiveResult, ask_all
from caxton_llm.cli.check_secrets import fetch_secrets
from caxton_llm.cli.check_tools import ToolsFound, ask_servers
from caxton_llm.cli.facts import COLUMNS, cells, known
from caxton_llm.cli.screen import Screen
from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.config.kinds import API_KEY_VARIABLES
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.config.offline import LOCAL_SOURCES, offline_sources
from caxton_llm.config.secret_keys import Secret, replace_secrets
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.dispatch.target import Target
from caxton_llm.http_provider import HttpProvider
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.settings import ProviderSettings, SecretReference
from caxton_llm.providers.vllm import serve_command

__all__ = ["run_check"]


def run_check(config: Path | None, screen: Screen, *, live: bool) -> None:
    """Raises `ConfigurationError` with everything that is wrong. Exit code 1, with `live` only, when a provider failed or
    tools are missing."""
    written = load_file(locate(config))
    if live:
        with screen.waiting("fetching the secrets"):
            configuration, keyless = fetch_secrets(written)
    else:
        configuration, keyless = resolve_secrets(written, sources=offline_sources()), {}
    caxton = Caxton(configuration)
    results, tools = (
        asyncio.run(_asked(caxton, configuration, keyless, screen)) if live else (dict[str, LiveResult](), ToolsFound())
    )
    _show(written, configuration, caxton, results, screen)
    for problem in (*configuration.warnings, *small_budgets(configuration)):
        screen.warn(str(problem))
    for name, result in results.items():
        for warning in result.warnings:
            screen.warn(f"{name}: {warning}")
        if result.failure:
            screen.fail(f"{name}: {result.failure}")
    for server, count in tools.tools.items():
        screen.line(f"MCP server {server}: {'no answer' if count is None else f'tools: {count}'}")
    for one in tools.missing:
        screen.fail(one)
    if tools.missing or any(result.failure for result in results.values()):
        raise typer.Exit(1)


async def _asked(
    caxton: Caxton, configuration: Configuration, keyless: Mapping[str, str], screen: Screen
) -> tuple[dict[str, LiveResult], ToolsFound]:
    """`keyless` says why entries have no key; these are not asked."""
    results = {name: LiveResult(seconds=0.0, failure=failure, keyless=True) for name, failure in keyless.items()}
    async with aclosing(caxton):  # one question each: nothing runs in the background
        with screen.waiting("asking the providers"):
            asked = [_target(caxton, entry) for entry in configuration.all_entries if entry.name not in keyless]
            answers, tools = await asyncio.gather(ask_all(asked), ask_servers(caxton))
            return results | answers, tools


def _show(
    written: Configuration,
    configuration: Configuration,
    caxton: Caxton,
    results: Mapping[str, LiveResult],
    screen: Screen,
) -> None:
    """`written` still says where the secrets come from, `configuration` has them."""
    rows = []
    for as_written, entry in zip(written.all_entries, configuration.all_entries, strict=True):
        target = _target(caxton, entry)
        result = results.get(entry.name, LiveResult())
        model = target.models[0] if target.models else ""
        info = result.info or known(entry.settings, model)
        where = _where(target, entry.settings)
        fetched = "failed" if result.keyless else "found" if results else ""
        key = _key(as_written, entry, fetched)
        rest = (entry.settings.region or "", str(entry.settings.priority or ""), result.status)
        rows.append((entry.name, entry.kind, model, where, key, *cells(info), *rest))
    screen.table(("entry", "provider", "model", "where", "key", *COLUMNS, "region", "priority", "answer"), rows)
    for entry in configuration.all_entries:
        if entry.kind == "vllm":
            screen.line(f"A server for {entry.name}:", "bold")
            screen.line(serve_command(entry.settings), copied=True)
    screen.line(f"{configuration.file}: {len(rows)} {'provider' if len(rows) == 1 else 'providers'}, no mistakes")


def _target(caxton: Caxton, entry: Entry) -> Target:
    return caxton.gateway.resolve(entry.name).first.target


def _where(target: Target, settings: ProviderSettings) -> str:
    """The address that requests go to."""
    if not isinstance(target.provider, HttpProvider):
        return "here"
    probe = target.provider.adapter.probe()
    if probe is not None:
        return str(probe.origin)
    address = settings.provider_config.base_url if settings.provider_config else settings.base_url
    return str(parse_base_url(address, default_path=None)[0]) if address else "?"


def _key(as_written: Entry, entry: Entry, fetched: str) -> str:
    """Where the entry's secrets come from and whether they are there; never what they are. `fetched` is what became of those
    that are kept on the network; empty when nobody asked."""
    found: list[str] = []

    def note(secret: Secret, _path: str) -> Secret:
        if not isinstance(secret, SecretReference):
            found.append("given" if secret else "empty")
        else:
            became = "found" if secret.source in LOCAL_SOURCES else fetched or "not resolved without --live"
            name = secret.name or secret.secret_name or secret.path or ""
            found.append(f"{secret.source} {name}: {became}")
        return secret

    replace_secrets(as_written.settings, as_written.path, note)
    if not found and entry.settings.api_key:
        found.append(f"env {API_KEY_VARIABLES[entry.kind]}: found")
    if not found and entry.settings.entra_id is not None:
        found.append("Entra ID")
    return ", ".join(found) or "none"
