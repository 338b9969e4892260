"""What is known of models: windows, limits, capabilities, parameter rules, prices, retirement dates.

The facts are data (`models.json`, made by `scripts/build_catalog.py`). A model is found by its exact name or by an alias that
the data lists; nothing is ever read out of the shape of a name. What is not known is `None`. Every known fact says where it
came from, and the order of precedence is: configuration, provider, catalogue.
"""

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import LlmError
from caxton_llm.model_info import Capabilities, ModelInfo, ModelPrice, ParameterRules
from caxton_llm.providers.settings import ModelFacts, ProviderSettings
from caxton_llm.resolved import resolved
from caxton_llm.types import Json

__all__ = ["Catalog", "EntryModels", "merge", "shipped_catalog", "with_overrides"]

_Source = Literal["catalogue", "configuration", "provider"]
_Group = TypeVar("_Group", Capabilities, ParameterRules)

_PLAIN_FACTS = (
    "context_window",
    "max_input_tokens",
    "max_output_tokens",
    "usual_output_tokens",
    "price",
    "lifecycle",
    "retires_on",
    "server_version",
)
_GROUPS = ("capabilities", "parameters")
_CAPABILITY_FACTS = ("tools", "vision", "json_schema", "reasoning")
_WINDOW_FACTS = ("context_window", "max_input_tokens", "max_output_tokens")
_REMEMBERED_MODELS = 1024


class Catalog:
    """Models by provider and name. Lookups are dictionary reads; nothing is loaded before `shipped_catalog` is called."""

    def __init__(self, models: Iterable[ModelInfo]) -> None:
        self._models: list[ModelInfo] = []
        self._by_name: dict[tuple[str, str], ModelInfo] = {}
        for model in models:
            known = _sourced(model, "catalogue")
            self._models.append(known)
            names = (model.id, *model.aliases)
            for name in names:
                others = tuple(other for other in names if other != name)
                self._by_name[model.provider, name] = replace(known, id=name, aliases=others)

    def find(self, provider: str, model: str) -> ModelInfo:
        """What is known of `model`, which may be an alias; every fact is `None` for a model that is not listed.

        `id` of the answer is the name that was asked for. `provider` is the `provider` key of the configuration.
        """
        found = self._by_name.get((provider, model))
        return found if found is not None else ModelInfo(id=model, provider=provider)

    def knows(self, provider: str, model: str) -> bool:
        """Whether the model is listed, by its name or by an alias."""
        return (provider, model) in self._by_name

    def models(self, provider: str | None = None) -> list[ModelInfo]:
        """Every listed model once, under its main name."""
        return [model for model in self._models if provider is None or model.provider == provider]

    def describe(self, settings: ProviderSettings, model: str) -> ModelInfo:
        """What is known of `model` when the entry `settings` serves it: the catalogue's facts of the model behind it, with
        the facts of the configuration over them. `id` is `model`, also when the facts are a base model's."""
        facts = settings.model_facts
        found = self._by_name.get((settings.provider, self.base_model(settings, model)))
        if found is None and facts is not None and facts.base_model:
            found = self._anywhere(facts.base_model)
        info = replace(found, id=model, provider=settings.provider) if found else self.find(settings.provider, model)
        if facts is not None:
            info = with_overrides(info, facts)
        return _with_facts(info, _facts_of_entry(settings), "configuration")

    def base_model(self, settings: ProviderSettings, model: str) -> str:
        """The name under which the catalogue and the price lists may know what answers as `model`.

        `model_facts.base_model` where it is given. On Azure the `model` key names what is behind `deployment_name`.
        """
        if settings.model_facts is not None and settings.model_facts.base_model:
            return settings.model_facts.base_model
        if settings.provider == "azure" and model == settings.deployment_name and settings.model:
            return settings.model
        return model

    def _anywhere(self, base: str) -> ModelInfo | None:
        """A base model that another vendor serves: `base_model: gpt-4o` behind an API of one's own."""
        for provider in ("openai", "anthropic"):
            found = self._by_name.get((provider, base))
            if found is not None:
                return found
        return None


class EntryModels:
    """`Catalog.describe` of one entry, remembered: cheap enough to be called for every request."""

    def __init__(self, catalog: Catalog, settings: ProviderSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._described: dict[str, ModelInfo] = {}

    def __call__(self, model: str) -> ModelInfo:
        info = self._described.get(model)
        if info is None:
            if len(self._described) >= _REMEMBERED_MODELS:
                self._described.clear()
            info = self._described[model] = self._catalog.describe(self._settings, model)
        return info

    def learn(self, from_provider: ModelInfo) -> ModelInfo:
        """Keep what the provider said of a model, by `merge`; returns what is known now."""
        info = merge(self(from_provider.id), from_provider)
        self._described[from_provider.id] = info
        return info


@cache
def shipped_catalog() -> Catalog:
    """The catalogue that comes with the package; read once. Raises `LlmError` when the package is incomplete."""
    data = pkgutil.get_data("caxton_llm.providers", "models.json")
    if data is None:
        raise LlmError("models.json is missing from the installed package caxton_llm: install it again")
    return Catalog(msgspec.json.decode(data, type=_File).models)


@resolved
class _File(Struct, frozen=True):
    as_of: str
    models: list[ModelInfo]


def with_overrides(info: ModelInfo, facts: ModelFacts) -> ModelInfo:
    """The facts of the configuration over whatever is known."""
    said: dict[str, Json] = {name: getattr(facts, name) for name in _WINDOW_FACTS}
    said |= {f"capabilities.{name}": getattr(facts, name) for name in _CAPABILITY_FACTS}
    if facts.refuses is not None:
        said["parameters.refuses"] = list(facts.refuses)
    if facts.input_usd_per_million is not None and facts.output_usd_per_million is not None:
        said["price"] = ModelPrice(input=facts.input_usd_per_million, output=facts.output_usd_per_million)
    return _with_facts(info, said, "configuration")


def merge(base: ModelInfo, from_provider: ModelInfo) -> ModelInfo:
    """What the provider itself says, over the catalogue and under the configuration."""
    said = {name: value for name, value in _facts(from_provider) if base.sources.get(name) != "configuration"}
    merged = _with_facts(base, said, "provider")
    if said.get("retires_on") is not None:
        merged = replace(merged, retires_not_before=from_provider.retires_not_before)
    return merged


def _facts_of_entry(settings: ProviderSettings) -> dict[str, Json]:
    return {
        "context_window": settings.context_window,
        "max_input_tokens": settings.system_context_limit,
        "usual_output_tokens": settings.max_tokens,
        "server_version": settings.api_version if settings.provider == "vllm" else None,
    }


def _sourced(info: ModelInfo, source: _Source) -> ModelInfo:
    return replace(info, sources={name: source for name, value in _facts(info) if value is not None})


def _facts(info: ModelInfo) -> Iterator[tuple[str, Json]]:
    """Every fact by the name that `ModelInfo.sources` uses: `context_window`, `capabilities.tools`, `parameters.efforts`."""
    for name in _PLAIN_FACTS:
        yield name, getattr(info, name)
    for group in _GROUPS:
        values = getattr(info, group)
        for name in values.__struct_fields__:
            yield f"{group}.{name}", getattr(values, name)


def _with_facts(info: ModelInfo, facts: Mapping[str, Json], source: _Source) -> ModelInfo:
    """`info` with those facts that are not `None`, each marked with its source."""
    said = {name: value for name, value in facts.items() if value is not None}
    if not said:
        return info
    plain: dict[str, Json] = {name: value for name, value in said.items() if "." not in name}
    return replace(
        info,
        **plain,
        capabilities=_group(info.capabilities, "capabilities", said),
        parameters=_group(info.parameters, "parameters", said),
        sources={**info.sources, **dict.fromkeys(said, source)},
    )


def _group(values: _Group, group: str, said: Mapping[str, Json]) -> _Group:
    prefix = f"{group}."
    changed = {name.removeprefix(prefix): value for name, value in said.items() if name.startswith(prefix)}
    return replace(values, **changed) if changed else values
