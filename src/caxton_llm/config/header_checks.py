"""Headers that a configuration asks for: whether they can be sent, and whether a request would carry one twice."""

from collections.abc import Iterator

from caxton_llm.config.kinds import SIGNING_HEADERS
from caxton_llm.config.problems import Problems
from caxton_llm.config.schema import ProviderEntry

__all__ = ["check_header", "check_headers"]

_ALWAYS_SET = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding"})
_UNSENDABLE = "the value of a header must be printable ASCII text"


def check_headers(entry: ProviderEntry, path: str, problems: Problems) -> None:
    """Add what is wrong with the headers of one entry."""
    signing, key = _signature(entry)
    for name, value in entry.headers.items():
        here = f"{path}.headers.{name}"
        check_header(name, value, here, problems)
        if name.lower() == signing:
            problems.add(f"this header is sent for {key!r} already", path=here, hint="remove one of the two")
    for sent_for, value in _values(entry):
        if not _is_sendable(value):
            problems.add(f"is sent as a header: {_UNSENDABLE}", path=f"{path}.{sent_for}")
    api = entry.provider_config
    if api is not None and api.auth_type == "api_key":
        _check_name(api.auth_header, f"{path}.provider_config.auth_header", problems)


def check_header(name: str, value: str, path: str, problems: Problems) -> None:
    """Add what is wrong with one header."""
    _check_name(name, path, problems)
    if not _is_sendable(value):
        problems.add(_UNSENDABLE, path=path)


def _check_name(name: str, path: str, problems: Problems) -> None:
    if not (name.isascii() and name and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)):
        problems.add("is not the name of a header", path=path)
    elif name.lower() in _ALWAYS_SET:
        problems.add("this header is set for every request and cannot be configured", path=path)


def _values(entry: ProviderEntry) -> Iterator[tuple[str, str]]:
    for key in ("organization", "project", "anthropic_version"):
        value = getattr(entry, key)
        if value is not None:
            yield key, value
    for index, beta in enumerate(entry.anthropic_beta):
        yield f"anthropic_beta[{index}]", beta


def _is_sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _signature(entry: ProviderEntry) -> tuple[str, str]:
    """The header that signs the requests of an entry, and the key that it is sent for; empty when it has no key."""
    api = entry.provider_config
    if api is not None and api.auth_type != "none":
        header = api.auth_header.lower() if api.auth_type == "api_key" else "authorization"
        return header, "provider_config.auth_type"
    if entry.entra_id is not None:
        return "authorization", "entra_id"
    if entry.api_key or entry.api_keys:
        return SIGNING_HEADERS.get(entry.provider, ""), "api_key" if entry.api_key else "api_keys"
    return "", ""
