"""Addresses in a configuration: whether they can be used, and where they lead."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

__all__ = ["address_fault", "host_of", "is_private_host", "is_this_machine", "uses_plain_http"]

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def address_fault(address: str, *, query: bool = False, credentials: bool = False) -> tuple[str, str]:
    """What is wrong with an http or https address, and a hint; empty when nothing is. The address itself is never quoted,
    because it may hold a password. `query` and `credentials` permit these parts."""
    parts = _split(address)
    if parts is None or any(character.isspace() or not character.isprintable() for character in address):
        return "is not a valid address", "write it as https://host.example.com/path"
    if parts.scheme not in ("http", "https"):
        missing = "://" not in address
        return "is not an http or https address", "put http:// or https:// in front of it" if missing else ""
    if not parts.hostname:
        return "has no host", "write it as https://host.example.com/path"
    if not credentials and (parts.username is not None or parts.password is not None):
        return "contains a user name or a password", "give the key with api_key or headers"
    if parts.fragment or (parts.query and not query):
        return "must end with the path", "remove everything from '?' or '#' on"
    return "", ""


def host_of(address: str) -> str:
    """The host in lower case; empty when there is none."""
    parts = _split(address)
    return (parts.hostname or "") if parts else ""


def uses_plain_http(address: str) -> bool:
    """Whether what is sent there can be read on the way: plain http to a host that is not on a private network."""
    parts = _split(address)
    return parts is not None and parts.scheme == "http" and not is_private_host(parts.hostname or "")


def is_private_host(host: str) -> bool:
    """Whether a host is this machine or on a private network, as far as its name tells."""
    if "." not in host and ":" not in host:
        return True  # `localhost`, and names that only a private network resolves
    if host.endswith(_PRIVATE_SUFFIXES):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches the host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for a port that is no number, or too large
    except ValueError:
        return None
    return parts
