#!/usr/bin/env python3
"""Regenerate `src/caxton_llm/providers/models.json` from a model table and `catalog_rules.yaml`.

    scripts/build_catalog.py PATH/TO/models-table.json

The table has windows, limits, prices (USD per million tokens) and dates; the rules have everything else.
"""

import sys
from datetime import date
from pathlib import Path

import msgspec
import yaml

from caxton_llm.model_info import ModelInfo
from caxton_llm.types import Json

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "scripts" / "catalog_rules.yaml"
TARGET = ROOT / "src" / "caxton_llm" / "providers" / "models.json"

_TIERS = {"above_272k": 272_000, "above_100k": 100_000}

Row = dict[str, Json]
Rows = dict[tuple[str, str], Row]


def build(table: Row, rules: Row) -> bytes:
    """The catalogue as JSON, one model per line. Raises `ValueError` for a rule about a model that nobody lists."""
    as_of = date.fromisoformat(table["as_of"])
    rows: Rows = {(entry["provider"], entry["model"]): _from_table(entry, as_of) for entry in table["models"]}
    for provider, models in rules["more_models"].items():
        for name, facts in models.items():
            _add(rows, provider, name, facts | _lifecycle(facts.get("retires_on"), as_of))
    for provider, models in rules["aliases"].items():
        for name, aliases in models.items():
            row = _row(rows, provider, name)
            row["aliases"] = sorted({*row.get("aliases", ()), *aliases})
    _apply(rows, [group for group in rules["groups"] if group["provider"] != "azure"])
    _add_azure(rows, rules["azure"], as_of)
    _apply(rows, [group for group in rules["groups"] if group["provider"] == "azure"])
    _check(rows)
    lines = ",\n".join(msgspec.json.encode(row).decode() for row in rows.values())
    return f'{{"as_of":"{as_of.isoformat()}","models":[\n{lines}\n]}}\n'.encode()


def _from_table(entry: Row, as_of: date) -> Row:
    retires_on = entry.get("retirement") or entry.get("shutdown_date")
    row: Row = {
        "id": entry["model"],
        "provider": entry["provider"],
        "context_window": entry["context_window"],
        "max_output_tokens": entry["max_output_tokens"],
        "capabilities": {"vision": entry["vision"]},
        "parameters": {},
        "price": _price(entry),
        "aliases": entry.get("aliases", []),
    }
    if isinstance(entry["tools"], bool):
        row["capabilities"]["tools"] = entry["tools"]
    if entry["provider"] == "anthropic":
        row["capabilities"]["streaming"] = True
        row["lifecycle"] = entry["status"]
        if retires_on:
            row |= {"retires_on": retires_on, "retires_not_before": entry["retirement_is_lower_bound"]}
    else:
        row |= _lifecycle(retires_on, as_of)
    return _without_nulls(row)


def _lifecycle(retires_on: str | None, as_of: date) -> Row:
    if retires_on is None:
        return {"lifecycle": "active"}
    gone = date.fromisoformat(retires_on) <= as_of
    return {"lifecycle": "retired" if gone else "deprecated", "retires_on": retires_on}


def _price(entry: Row) -> Row:
    price = _rates(entry)
    for column, threshold in _TIERS.items():
        if entry.get(column):
            price |= {"tier_above_tokens": threshold, "tier": _rates(entry[column])}
    return price


def _rates(entry: Row) -> Row:
    rates = {name: entry.get(name) for name in ("input", "output", "cache_read")}
    # Anthropic has two write prices; that of five minutes, its default lifetime, is the plain one.
    rates["cache_write"] = entry.get("cache_write", entry.get("cache_write_5m"))
    rates["cache_write_1h"] = entry.get("cache_write_1h")
    return _without_nulls(rates)


def _add_azure(rows: Rows, rules: Row, as_of: date) -> None:
    dates: dict[str, str] = rules["retires_on"]
    for name in dates:
        _row(rows, rules["facts_of"], name)
    for (provider, name), row in list(rows.items()):
        if provider != rules["facts_of"]:
            continue
        copied = {key: value for key, value in row.items() if key not in ("lifecycle", "retires_on")}
        copied = msgspec.json.decode(msgspec.json.encode(copied)) | {"provider": "azure"}
        if name in dates:
            gone = date.fromisoformat(dates[name]) <= as_of
            copied |= {"lifecycle": "retired" if gone else "active", "retires_on": dates[name]}
        rows["azure", name] = copied


def _add(rows: Rows, provider: str, name: str, facts: Row) -> None:
    if (provider, name) in rows:
        raise ValueError(f"{provider} {name}: the table lists it already")
    rows[provider, name] = {"id": name, "provider": provider, **facts}


def _row(rows: Rows, provider: str, name: str) -> Row:
    if (provider, name) not in rows:
        raise ValueError(f"{provider} {name}: a rule names a model that nobody lists")
    return rows[provider, name]


def _apply(rows: Rows, groups: list[Row]) -> None:
    for group in groups:
        for name in group["models"]:
            _merge(_row(rows, group["provider"], name), group["facts"])


def _merge(row: Row, facts: Row) -> None:
    for key, value in facts.items():
        if isinstance(value, dict):
            row[key] = {**row.get(key, {}), **value}
        else:
            row[key] = value


def _check(rows: Rows) -> None:
    """Every row is a `ModelInfo` without unknown keys, and no name means two models."""
    seen: dict[tuple[str, str], str] = {}
    for (provider, name), row in rows.items():
        known = msgspec.to_builtins(msgspec.convert(row, ModelInfo))
        for key, value in row.items():
            unknown = set(value) - set(known[key]) if isinstance(value, dict) and key != "price" else set()
            if key not in known or unknown:
                raise ValueError(f"{provider} {name}: unknown fact {key} {sorted(unknown)}")
        for alias in (name, *row.get("aliases", ())):
            if seen.setdefault((provider, alias), name) != name:
                raise ValueError(f"{provider} {alias}: means {name} and {seen[provider, alias]}")


def _without_nulls(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    table = msgspec.json.decode(Path(arguments[0]).read_bytes())
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    TARGET.write_bytes(build(table, rules))
    print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
