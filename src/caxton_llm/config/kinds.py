"""The kinds of provider that a configuration may name, and what each needs.

Third parties add kinds by an entry point of the group `caxton_llm.providers`; of those only the common keys are checked.
"""

from importlib.metadata import entry_points

__all__ = ["API_KEY_VARIABLES", "BUILT_IN_KINDS", "VENDOR_HOSTS", "plugin_kinds"]

BUILT_IN_KINDS = ("openai", "anthropic", "azure", "ollama", "vllm", "custom", "builtin")

API_KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY",
    "ollama": "OLLAMA_API_KEY",
}
"""Where the key of an entry without `api_key` is read from."""

VENDOR_HOSTS = {
    "openai": ("api.openai.com",),
    "anthropic": ("api.anthropic.com",),
    "ollama": ("ollama.com",),
}
"""Hosts (and their subdomains) that such a key may be sent to. Azure's hosts are named by the operator in any case."""


def plugin_kinds() -> frozenset[str]:
    """Kinds that installed packages add."""
    return frozenset(point.name for point in entry_points(group="caxton_llm.providers"))
