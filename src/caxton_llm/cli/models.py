"""`caxton models`: the names that a request may use, or the whole catalogue."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from caxton_llm.caxton import Caxton
from caxton_llm.cli.facts import COLUMNS, cells, known
from caxton_llm.cli.screen import Screen
from caxton_llm.config.configuration import Entry
from caxton_llm.config.kinds import API_KEY_VARIABLES
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate
from caxton_llm.config.secret_keys import replace_secrets
from caxton_llm.model_info import ModelInfo
from caxton_llm.providers.catalog import shipped_catalog
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import Json

__all__ = ["show_catalogue", "show_names"]


def show_names(config: Path | None, screen: Screen, *, as_json: bool) -> None:
    """Every name that the configuration gives a meaning. Raises `ConfigurationError`."""
    written = load_file(locate(config)).with_entries(_signed_with_nothing)
    configuration = written.with_alerts(lambda _alerts: None).with_memory(lambda _memory: None)
    entries = {entry.name: entry.settings for entry in configuration.all_entries}
    found = [
        (name, route.first.target.name, known(entries[route.first.target.name], route.first.model))
        for name, route in Caxton(configuration).gateway.routes.items()
    ]
    if as_json:
        _write_json(screen, [{"name": name, "entry": entry, **_plain(info)} for name, entry, info in found])
        return
    screen.table(
        ("name", "entry", "model", *COLUMNS), [(name, entry, info.id, *cells(info)) for name, entry, info in found]
    )


def _signed_with_nothing(entry: Entry) -> Entry:
    """The entry with stand-ins for its secrets: names and facts need no key, and nothing is sent."""
    settings = replace_secrets(entry.settings, entry.path, lambda _secret, _path: "none")
    if entry.kind in API_KEY_VARIABLES and not (settings.api_key or settings.api_keys or settings.entra_id):
        settings = replace(settings, api_key="none")
    return replace(entry, settings=settings)


def show_catalogue(screen: Screen, *, as_json: bool) -> None:
    """Every model of the catalogue, under its main name."""
    listed = sorted(shipped_catalog().models(), key=lambda model: (model.provider, model.id))
    models = [known(ProviderSettings(provider=model.provider), model.id) for model in listed]
    if as_json:
        _write_json(screen, [_plain(info) for info in models])
        return
    screen.table(("provider", "model", *COLUMNS), [(info.provider, info.id, *cells(info)) for info in models])


def _plain(info: ModelInfo) -> dict[str, Json]:
    """All facts, unknown ones as null, with `sources` telling where each came from."""
    facts: dict[str, Json] = msgspec.to_builtins(info)
    return {"model": facts.pop("id"), **facts}


def _write_json(screen: Screen, items: Sequence[dict[str, Json]]) -> None:
    screen.write(msgspec.json.format(msgspec.json.encode(items), indent=2).decode() + "\n")
