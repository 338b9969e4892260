"""The keys of an entry that hold secrets: where they are, and whether what stands there can be one."""

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from caxton_llm.config.addresses import address_fault
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.providers.settings import CustomApi, EntraId, SecretReference

__all__ = ["check_reference", "check_secrets", "replace_secrets"]

Secret = str | SecretReference
Read = Callable[[Secret, str], Secret | None]

_Entry = TypeVar("_Entry", bound=ProviderEntry)
_Block = TypeVar("_Block", CustomApi, EntraId)

_NEEDED = {
    "env": ("name",),
    "file": ("path",),
    "vault": ("path",),
    "aws_secrets": (),
    "azure_keyvault": ("vault_url", "secret_name"),
}
_READ = {
    "env": {"name"},
    "file": {"path"},
    "vault": {"vault_url", "mount", "path", "key"},
    "aws_secrets": {"path", "secret_name", "key", "region"},
    "azure_keyvault": {"vault_url", "secret_name"},
}


def replace_secrets(entry: _Entry, path: str, read: Read) -> _Entry:
    """The entry with every secret replaced by what `read(secret, path)` makes of it."""
    changes: dict[str, object] = {}
    if entry.api_key is not None:
        changes["api_key"] = read(entry.api_key, f"{path}.api_key")
    if entry.api_keys:
        keys = [read(key, f"{path}.api_keys[{index}]") for index, key in enumerate(entry.api_keys)]
        changes["api_keys"] = tuple(key for key in keys if key is not None)
    if entry.provider_config is not None:
        changes["provider_config"] = _replaced(
            entry.provider_config, ("auth_token", "client_secret"), f"{path}.provider_config", read
        )
    if entry.entra_id is not None:
        changes["entra_id"] = _replaced(entry.entra_id, ("client_secret",), f"{path}.entra_id", read)
    return replace(entry, **changes) if changes else entry


def _replaced(block: _Block, keys: tuple[str, ...], path: str, read: Read) -> _Block:
    changes = {key: read(getattr(block, key), f"{path}.{key}") for key in keys if getattr(block, key) is not None}
    return replace(block, **changes) if changes else block


def check_secrets(entry: ProviderEntry, path: str, problems: Problems) -> None:
    """Secrets that cannot be read as they stand, and ways to sign that exclude each other."""

    def check(secret: Secret, where: str) -> Secret:
        if isinstance(secret, SecretReference):
            check_reference(secret, where, problems)
        else:
            _check_literal(secret, where, problems)
        return secret

    replace_secrets(entry, path, check)
    if entry.api_key is not None and entry.api_keys:
        problems.add("'api_key' and 'api_keys' exclude each other", path=f"{path}.api_keys")
    if entry.entra_id is not None:
        if entry.api_key is not None or entry.api_keys:
            problems.add("'entra_id' and a key exclude each other", path=f"{path}.entra_id", hint="remove one of them")
        if entry.entra_id.client_secret is not None:
            for key in ("tenant_id", "client_id"):
                if not getattr(entry.entra_id, key):
                    problems.add_missing(f"{path}.entra_id.{key}", "it goes with 'client_secret'")


def check_reference(reference: SecretReference, path: str, problems: Problems) -> None:
    """A reference that lacks what its source needs, or says what its source does not read."""
    source = reference.source
    if problems.reported(f"{path}.source"):
        return
    for key in _NEEDED[source]:
        if not getattr(reference, key):
            problems.add_missing(f"{path}.{key}", f"the source {source} needs it")
    if source == "aws_secrets" and not (reference.path or reference.secret_name):
        problems.add_missing(f"{path}.secret_name", "the source aws_secrets needs it")
    defaults = SecretReference(source=source)
    for key in reference.__struct_fields__:
        if key != "source" and key not in _READ[source] and getattr(reference, key) != getattr(defaults, key):
            problems.add(f"{key!r} is not read by the source {source}", path=f"{path}.{key}")
    if reference.vault_url:
        message, hint = address_fault(reference.vault_url)
        if message:
            problems.add(message, path=f"{path}.vault_url", hint=hint)


def _check_literal(secret: str, path: str, problems: Problems) -> None:
    name = secret.removeprefix("$")
    if secret.startswith("$") and name.isidentifier():
        problems.add("this is the name of a variable, not a key", path=path, hint=f"write ${{{name}}}")
    elif not secret.strip().isascii() or not secret.strip().isprintable():
        problems.add("contains a character that no header may contain (the value is not shown)", path=path)
