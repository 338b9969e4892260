"""The kinds of provider that a configuration may name, and what each needs.

Third parties add kinds by an entry point of the group `caxton_llm.providers`; of those only the common keys are checked.
"""

__all__ = ["API_KEY_VARIABLES", "SIGNING_HEADERS", "is_vendor_host", "plugin_kinds"]

API_KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY",
    "ollama": "OLLAMA_API_KEY",
}
"""Where the key of an entry without `api_key` is read from."""

SIGNING_HEADERS = {
    "openai": "authorization",
    "anthropic": "x-api-key",
    "azure": "api-key",
    "ollama": "authorization",
    "vllm": "authorization",
}
"""The header that carries the key."""

_VENDOR_HOSTS = {
    "openai": ("api.openai.com",),
    "anthropic": ("api.anthropic.com",),
    "ollama": ("ollama.com",),
}


def is_vendor_host(kind: str, host: str) -> bool:
    """Whether the host belongs to the vendor of that kind, so that the vendor's usual key may be sent to it."""
    return any(host == known or host.endswith(f".{known}") for known in _VENDOR_HOSTS.get(kind, ()))


def plugin_kinds() -> frozenset[str]:
    """Kinds that installed packages add."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    return frozenset(point.name for point in entry_points(group="caxton_llm.providers"))
