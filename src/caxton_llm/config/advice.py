"""What an operator should know about a configuration that has no mistakes."""

from collections.abc import Iterator
from datetime import date, timedelta

from caxton_llm.config.addresses import host_of, is_this_machine, uses_plain_http
from caxton_llm.config.agent_advice import agent_warnings
from caxton_llm.config.configuration import Entry
from caxton_llm.config.kinds import SIGNING_HEADERS, is_vendor_host
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import ConfigurationFile, ProviderEntry, written_entries
from caxton_llm.errors import ConfigurationProblem
from caxton_llm.model_info import ModelInfo
from caxton_llm.providers.catalog import Catalog, shipped_catalog
from caxton_llm.providers.settings import BUILT_IN_KINDS
from caxton_llm.routing.timeouts import Timeouts

__all__ = [
    "ENTRY_KEYS_NOT_YET_APPLIED",
    "NOT_YET_APPLIED",
    "entry_warnings",
    "file_warnings",
]

NOT_YET_APPLIED = {
    "llm.caching": "answers are not kept yet",
    "llm.security.content_filtering": "content is not filtered yet",
    "llm.security.pii_redaction": "personal data is not taken out yet",
    "llm.security.audit_logging": "no audit log is kept yet",
    "llm.compliance.encryption_at_rest": "conversations and memories are stored in plain text",
    "llm.compliance.network_isolation": "addresses are not restricted yet",
    "llm.monitoring.budget_limit_usd": "the budget is not enforced yet",
}
"""Blocks that are read and checked, and what they do not do in this version. A path counts when its value is set and true."""

ENTRY_KEYS_NOT_YET_APPLIED = {
    "system_context_limit": "prompts are not limited yet",
}
"""The same for keys of an entry."""

_ENTRY_DEFAULTS = ProviderEntry(provider="")
_RETIRES_SOON = timedelta(days=60)
_SIGNING_HEADERS = frozenset(SIGNING_HEADERS.values())
_CATALOGUED = ("openai", "anthropic", "azure")


def file_warnings(document: ConfigurationFile, problems: Problems) -> list[ConfigurationProblem]:
    """What concerns the file as a whole."""
    warnings = []
    for path, what in NOT_YET_APPLIED.items():
        if _is_set(document, path.split(".")):
            warnings.append(problems.at(f"has no effect in this version: {what}", path=path))
    for path, entry in written_entries(document):
        for key, what in ENTRY_KEYS_NOT_YET_APPLIED.items():
            here, value = f"{path}.{key}", getattr(entry, key)
            on = value != getattr(_ENTRY_DEFAULTS, key) and getattr(value, "enabled", True)
            if on and here not in NOT_YET_APPLIED:
                warnings.append(problems.at(f"has no effect in this version: {what}", path=here))
    warnings += agent_warnings(document, problems)
    if document.server is not None and not is_this_machine(document.server.host):
        warnings.append(
            problems.at(
                "whoever reaches this address can use the configured providers: the gateway asks for no key",
                path="server.host",
                hint="listen on 127.0.0.1, or let a proxy check who is calling",
            )
        )
    return warnings


def _is_set(document: ConfigurationFile, keys: list[str]) -> bool:
    value: object = document
    for key in keys:
        value = getattr(value, key)
        if value is None:
            return False
    return getattr(value, "enabled", value) is not False


def entry_warnings(entry: Entry, problems: Problems, today: date) -> list[ConfigurationProblem]:
    """What concerns one provider."""
    settings, path = entry.settings, entry.path
    warnings = [*_key_warnings(settings, path, problems), *_timeout_warnings(entry.timeouts, path, problems)]
    if settings.auto_upgrade is not None and settings.model_version is None:
        message = "has no effect without 'model_version'"
        warnings.append(problems.at(message, path=f"{path}.auto_upgrade"))
    if _checks_nothing(settings):
        message = "has no effect: this provider has no endpoint that could be asked"
        hint = "set test_prompt" + (", or provider_config.health_path" if entry.kind == "custom" else "")
        warnings.append(problems.at(message, path=problems.place(path, "health_check"), hint=hint))
    if entry.kind in _CATALOGUED:
        for model in entry.models:
            text = _model_warning(settings, model, today, shipped_catalog())
            if text:
                warnings.append(problems.at(text, path=_model_path(settings, model, path)))
    return warnings


def _checks_nothing(entry: ProviderEntry) -> bool:
    """Plug-ins and the builtin provider have nothing to ask but the model itself, custom ones only a `health_path`."""
    check, api = entry.health_check, entry.provider_config
    if check is None or not check.enabled or check.test_prompt:
        return False
    if entry.provider == "custom":
        return api is None or api.health_path is None
    return entry.provider == "builtin" or entry.provider not in BUILT_IN_KINDS


def _key_warnings(entry: ProviderEntry, path: str, problems: Problems) -> list[ConfigurationProblem]:
    warnings = []
    for key, address, seen in _secret_ways(entry):
        if address and uses_plain_http(address):
            message = f"plain http: {seen} can be read on the way"
            warnings.append(problems.at(message, path=f"{path}.{key}", hint="use https"))
    return warnings


def _secret_ways(entry: ProviderEntry) -> Iterator[tuple[str, str | None, str]]:
    """Key and address of every place that a secret of the entry is sent to, and what else goes there."""
    api, entra = entry.provider_config, entry.entra_id
    headers = {name.lower() for name in entry.headers}
    signed = bool(entry.api_key or entry.api_keys or entra) or not headers.isdisjoint(_SIGNING_HEADERS)
    if api is not None:
        if signed or api.auth_type != "none":
            yield "provider_config.base_url", api.base_url, "the key and all requests"
        yield "provider_config.token_url", api.token_url, "the client's secret"
        return
    for key in ("base_url", "endpoint"):
        address = getattr(entry, key)
        if signed or (address and is_vendor_host(entry.provider, host_of(address))):
            yield key, address, "the key and all requests"
    if entra is not None and entra.client_secret is not None:
        yield "entra_id.authority", entra.authority, "the client's secret"


def _timeout_warnings(timeouts: Timeouts, path: str, problems: Problems) -> list[ConfigurationProblem]:
    if timeouts.attempt_s <= timeouts.deadline_s:
        return []
    message = f"is longer than the deadline of {timeouts.deadline_s:g} s, which ends the request first"
    return [problems.at(message, path=f"{path}.timeout_seconds", hint="raise deadline_seconds")]


def _model_path(entry: ProviderEntry, model: str, path: str) -> str:
    for key in ("model_version", "model", "deployment_name"):
        if getattr(entry, key) == model:
            return f"{path}.{key}"
    return f"{path}.models[{entry.models.index(model)}]"


def _model_warning(entry: ProviderEntry, model: str, today: date, catalogue: Catalog) -> str:
    if not catalogue.knows(entry.provider, catalogue.base_model(entry, model)):
        return _unknown_model(entry, model)
    info = catalogue.describe(entry, model)
    if info.parameters.chat_completions is False:
        return f"{model} answers on OpenAI's Responses API only, which is not supported"
    return _retirement(info, today)


def _unknown_model(entry: ProviderEntry, model: str) -> str:
    if entry.model_facts is not None and entry.model_facts.context_window is not None:
        return ""
    if entry.provider == "azure":
        return f"which model is behind {model} is not known, so its limits and its price are not: set model_facts.base_model"
    host = host_of(entry.base_url or "")
    if host and not is_vendor_host(entry.provider, host):
        return ""
    return f"{model} is not in the catalogue: its limits and its price are not known (model_facts can tell them)"


def _retirement(info: ModelInfo, today: date) -> str:
    if info.retires_on is None or info.retires_not_before:
        return f"{info.id} is retired" if info.lifecycle == "retired" else ""
    day = date.fromisoformat(info.retires_on)
    if day <= today:
        return f"{info.id} was retired on {day}: requests for it fail"
    return f"{info.id} will be retired on {day}" if day - today <= _RETIRES_SOON else ""
