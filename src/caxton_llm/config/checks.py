"""What values mean together: mistakes that no type of a single value shows.

Every function adds to the problems and none raises, so that one run finds everything. Stand-ins for values that were wrong
by themselves are empty, and empty is never complained about twice.
"""

from collections.abc import Iterator

from caxton_llm.config.addresses import address_fault
from caxton_llm.config.agent_checks import check_agents
from caxton_llm.config.alert_checks import check_alerts
from caxton_llm.config.header_checks import check_headers
from caxton_llm.config.kinds import plugin_kinds
from caxton_llm.config.mcp_checks import check_mcp, requirements_of
from caxton_llm.config.memory_checks import check_memory
from caxton_llm.config.problems import Problems, nearest
from caxton_llm.config.schema import (
    SHARED_KEYS,
    AgentBlock,
    CachingBlock,
    ConfigurationFile,
    LlmBlock,
    ProviderEntry,
    written_entries,
)
from caxton_llm.config.secret_keys import check_secrets
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.providers.settings import APPLIES_TO, BUILT_IN_KINDS, CustomApi, ModelFacts

__all__ = ["check_file", "check_requirements"]

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+-")
_RESERVED_NAMES = frozenset({"default"})
_SIGNED_WITH_KEY = ("bearer", "api_key")
_NEEDS_AIOHTTP = ("proxy", "client_cert", "client_key")
_ENTRY_DEFAULTS = ProviderEntry(provider="")
_LLM_DEFAULTS = LlmBlock()
_LLM_KEYS = frozenset(LlmBlock.__struct_fields__) - frozenset(ProviderEntry.__struct_fields__)


def check_file(document: ConfigurationFile, problems: Problems) -> None:
    """The whole file."""
    if document.llm is not None:
        _check_llm(document.llm, problems)
    for index, agent in enumerate(document.agents):
        _check_agent(agent, f"agents[{index}]", problems)
    _check_unique([agent.name for agent in document.agents], "agents", "agent", problems)
    check_agents(document, problems)
    _check_fallbacks(document, problems)
    if document.memory is not None:
        entries = [entry for path, entry in written_entries(document) if path.startswith("llm")]
        check_memory(document.memory, entries, problems)
    if document.mcp is not None:
        check_mcp(document.mcp, problems)
        for path, requirements in requirements_of(document.mcp):
            check_requirements(requirements, path, problems)


def check_requirements(requirements: ContextRequirements, path: str, problems: Problems) -> None:
    """A tool's context requirements."""
    for kind in requirements.provider_optimization:
        _check_kind(kind, f"{path}.provider_optimization.{kind}", problems)


# -- the llm block ----------------------------------------------------------------------------------------------------------


def _check_llm(llm: LlmBlock, problems: Problems) -> None:
    if llm.caching is not None:
        _check_caching(llm.caching, "llm.caching", problems)
    if llm.monitoring is not None and llm.monitoring.alerts is not None:
        check_alerts(llm.monitoring.alerts, problems)
    if llm.providers is None and llm.provider:
        _check_entry(llm, "llm", problems)
        return
    _check_shared(llm, problems)
    own = [key for key in _given(llm) if key not in _LLM_KEYS and key not in SHARED_KEYS]
    if llm.providers is None:
        if own and not problems.reported("llm.providers"):
            problems.add_missing("llm.provider", f"{own[0]!r} needs to know whose it is")
        return
    for key in own:
        message = f"{key!r} cannot stand beside 'providers'"
        problems.add(message, path=f"llm.{key}", hint="move it into an item of 'providers'")
    if not llm.providers:
        problems.add("the list of providers is empty", path="llm.providers")
    for index, entry in enumerate(llm.providers):
        _check_entry(entry, f"llm.providers[{index}]", problems)
    _check_unique([entry.entry_name for entry in llm.providers], "llm.providers", "provider", problems)


def _check_shared(llm: LlmBlock, problems: Problems) -> None:
    _check_addresses(llm, "llm", problems)
    _check_retry(llm, "llm", problems)
    _check_transport(llm, "llm", problems)


def _check_caching(caching: CachingBlock, path: str, problems: Problems) -> None:
    if None not in (caching.backend, caching.cache_backend) and caching.backend != caching.cache_backend:
        problems.add(
            f"'backend' is {caching.backend} and 'cache_backend' is {caching.cache_backend}",
            path=f"{path}.cache_backend",
            hint="they are two names of one key: give one of them",
        )


def _check_agent(agent: AgentBlock, path: str, problems: Problems) -> None:
    _check_name(agent.name, f"{path}.name", problems)
    for index, capability in enumerate(agent.capabilities):
        here = f"{path}.capabilities[{index}]"
        if isinstance(capability, str):
            _check_name(capability, here, problems)
        else:
            _check_name(capability.name, f"{here}.name", problems)
    if agent.llm is not None:
        if agent.llm.name is not None:
            problems.add("an agent's provider has no name of its own", path=f"{path}.llm.name", hint="remove it")
        _check_entry(agent.llm, f"{path}.llm", problems)


def _check_fallbacks(document: ConfigurationFile, problems: Problems) -> None:
    """Every name in `fallbacks` must be an entry under `llm`, and another one."""
    written = list(written_entries(document))
    names = [entry.entry_name for path, entry in written if path.startswith("llm")]
    for path, entry in written:
        for index, name in enumerate(entry.fallbacks or ()):
            here = f"{path}.fallbacks[{index}]"
            if name == entry.entry_name:
                problems.add("an entry cannot stand in for itself", path=here, hint="remove it")
            elif name not in names and not problems.reported(here):
                problems.add(f"no entry under 'llm' is called {name!r}", path=here, hint=nearest(name, names))


def _check_unique(names: list[str], path: str, what: str, problems: Problems) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name and first.setdefault(name, index) != index:
            where = problems.where(f"{path}[{first[name]}]")
            problems.add(
                f"two {what}s are called {name!r}, the first{where}",
                path=f"{path}[{index}]",
                hint="give each a 'name' of its own",
            )


# -- one entry --------------------------------------------------------------------------------------------------------------


def _check_entry(entry: ProviderEntry, path: str, problems: Problems) -> None:
    if entry.provider:
        _check_kind(entry.provider, f"{path}.provider", problems)
    if entry.name is not None:
        _check_name(entry.name, f"{path}.name", problems)
    if entry.provider in BUILT_IN_KINDS:
        _check_applies(entry, path, problems)
        _check_needs(entry, path, problems)
    _check_addresses(entry, path, problems)
    check_headers(entry, path, problems)
    _check_retry(entry, path, problems)
    _check_transport(entry, path, problems)
    check_secrets(entry, path, problems)
    if entry.model_facts is not None:
        _check_facts(entry.model_facts, f"{path}.model_facts", problems)


def _check_kind(kind: str, path: str, problems: Problems) -> None:
    if kind not in BUILT_IN_KINDS:
        plugins = plugin_kinds()
        if kind not in plugins:
            hint = nearest(kind, [*BUILT_IN_KINDS, *sorted(plugins)])
            problems.add(f"there is no provider {kind!r}", path=path, hint=hint)


def _check_name(name: str, path: str, problems: Problems) -> None:
    if not name:
        if not problems.reported(path):
            problems.add("a name must not be empty", path=path)
    elif not set(name) <= _NAME_CHARACTERS:
        problems.add("a name has letters, digits and . _ / @ + - only", path=path)
    elif name in _RESERVED_NAMES:
        problems.add(f"the name {name!r} is taken: it means the first provider", path=path)


def _check_applies(entry: ProviderEntry, path: str, problems: Problems) -> None:
    for key in _given(entry):
        kinds = APPLIES_TO.get(key)
        if kinds is not None and entry.provider not in kinds:
            only = " and ".join(sorted(kinds))
            problems.add(f"{key!r} applies only to {only}; this provider is {entry.provider}", path=f"{path}.{key}")


def _check_needs(entry: ProviderEntry, path: str, problems: Problems) -> None:
    if entry.provider == "azure":
        if not entry.endpoint and not entry.base_url:
            problems.add_missing(f"{path}.endpoint", "the address of the resource: https://name.openai.azure.com")
        _check_one_address(entry, "endpoint", entry.endpoint, path, problems)
    if entry.provider == "custom":
        if entry.provider_config is None:
            problems.add_missing(f"{path}.provider_config", "how to speak to the API")
        else:
            _check_shared_with_entry(entry, entry.provider_config, path, problems)
            _check_custom(entry, entry.provider_config, f"{path}.provider_config", problems)


def _check_one_address(entry: ProviderEntry, key: str, address: str | None, path: str, problems: Problems) -> None:
    if address and entry.base_url and address.rstrip("/") != entry.base_url.rstrip("/"):
        message = f"'base_url' and {key!r} are two different addresses"
        problems.add(message, path=f"{path}.base_url", hint="give one of them")


def _check_shared_with_entry(entry: ProviderEntry, api: CustomApi, path: str, problems: Problems) -> None:
    """`base_url` and the key may stand in the entry, as with every provider, or in the block, but not both."""
    if not api.base_url and not entry.base_url and not problems.reported(f"{path}.base_url"):
        problems.add_missing(f"{path}.provider_config.base_url", "the address of the API")
    _check_one_address(entry, "provider_config.base_url", api.base_url, path, problems)
    key = "api_key" if entry.api_key else "api_keys" if entry.api_keys else ""
    if not key:
        return
    if api.auth_type not in _SIGNED_WITH_KEY:
        problems.add(f"is not sent with 'auth_type: {api.auth_type}'", path=f"{path}.{key}", hint="remove it")
    elif api.auth_token and api.auth_token != entry.api_key:
        message = f"{key!r} and 'provider_config.auth_token' are two different keys"
        problems.add(message, path=f"{path}.{key}", hint="give one of them")


def _check_custom(entry: ProviderEntry, api: CustomApi, path: str, problems: Problems) -> None:
    if api.auth_type in _SIGNED_WITH_KEY and not (api.auth_token or entry.api_key or entry.api_keys):
        problems.add_missing(
            f"{path}.auth_token", f"auth_type {api.auth_type} sends it; 'auth_type: none' sends nothing"
        )
    if api.auth_type == "oauth2":
        for key in ("token_url", "client_id", "client_secret"):
            if not getattr(api, key):
                problems.add_missing(f"{path}.{key}", "auth_type oauth2 needs it")
    if api.auth_type != "oauth2":
        for key in ("token_url", "client_id", "client_secret", "scope", "token_params"):
            if getattr(api, key):
                problems.add(f"{key!r} is read only with 'auth_type: oauth2'", path=f"{path}.{key}")


def _check_addresses(entry: ProviderEntry, path: str, problems: Problems) -> None:
    for key, address, parts in _addresses(entry):
        message, hint = address_fault(address, query="query" in parts, credentials="credentials" in parts)
        if message:
            problems.add(message, path=f"{path}.{key}", hint=hint)


def _addresses(entry: ProviderEntry) -> Iterator[tuple[str, str, str]]:
    """Key, address, and the parts that the address may have besides host and path."""
    api, entra = entry.provider_config, entry.entra_id
    found = (
        ("base_url", entry.base_url, ""),
        ("endpoint", entry.endpoint, "query"),
        ("proxy", entry.proxy, "credentials"),
        ("provider_config.base_url", api.base_url if api else None, ""),
        ("provider_config.token_url", api.token_url if api else None, "query"),
        ("entra_id.authority", entra.authority if entra else None, ""),
    )
    for key, address, parts in found:
        if address:
            yield key, address, parts


def _check_retry(entry: ProviderEntry, path: str, problems: Problems) -> None:
    policy = entry.retry_policy
    if policy is None:
        return
    for older, newer in (("retry_attempts", "max_attempts"), ("retry_delay_ms", "initial_delay_ms")):
        old, new = getattr(entry, older), getattr(policy, newer)
        if None not in (old, new) and old != new:
            problems.add(
                f"{older!r} is {old:g} and 'retry_policy.{newer}' is {new:g}",
                path=f"{path}.{older}",
                hint="they are two names of one key: give the newer one only",
            )
    first, longest = policy.initial_delay_ms, policy.max_delay_ms
    if first is not None and longest is not None and longest < first:
        message = f"must not be shorter than initial_delay_ms ({first:g}), found {longest:g}"
        problems.add(message, path=f"{path}.retry_policy.max_delay_ms")


def _check_transport(entry: ProviderEntry, path: str, problems: Problems) -> None:
    if entry.transport == "lean":
        for key in _NEEDS_AIOHTTP:
            if getattr(entry, key) is not None:
                problems.add(f"{key!r} needs 'transport: aiohttp'", path=f"{path}.{key}")
    if entry.client_key is not None and entry.client_cert is None:
        problems.add("'client_key' goes with 'client_cert', which is missing", path=f"{path}.client_key")


def _check_facts(facts: ModelFacts, path: str, problems: Problems) -> None:
    rates = ("input_usd_per_million", "output_usd_per_million")
    for given, other in (rates, rates[::-1]):
        if getattr(facts, given) is not None and getattr(facts, other) is None:
            problems.add(f"{given!r} goes with {other!r}, which is missing", path=f"{path}.{given}")


def _given(entry: ProviderEntry) -> list[str]:
    """Keys whose value is not the default."""
    defaults = _LLM_DEFAULTS if isinstance(entry, LlmBlock) else _ENTRY_DEFAULTS
    return [key for key in entry.__struct_fields__ if getattr(entry, key) != getattr(defaults, key)]
