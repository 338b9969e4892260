"""Addresses of providers as people write them, with and without a trailing slash or `/v1`."""

from urllib.parse import SplitResult, urlsplit

from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import Origin

__all__ = ["parse_base_url"]

_EXAMPLE = "write it as https://host.example.com/v1"


def parse_base_url(url: str, *, default_path: str | None) -> tuple[Origin, str]:
    """Where to connect, and what every path begins with (no slash at its end).

    `default_path` is the vendor's own: `/v1` is added to an address without a path, `""` takes a trailing `/v1` away, and
    `None` leaves the path as it is written. Raises `ConfigurationError` for anything that is no plain http or https address.
    """
    parts = _split(url)
    path = parts.path.rstrip("/")
    if default_path and not path:
        path = default_path
    elif default_path == "":
        path = path.removesuffix("/v1")
    return _origin(parts), path


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises for what is no port
    except ValueError:
        raise _problem("is not an address: host or port cannot be read", _EXAMPLE) from None
    if parts.scheme not in ("http", "https"):
        raise _problem("must begin with http:// or https://", _EXAMPLE)
    if not parts.hostname:
        raise _problem("names no host", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise _problem("contains credentials", "put the key into api_key")
    if parts.query or parts.fragment:
        raise _problem("must end before ? and #", "further parameters have keys of their own")
    if not all("!" <= character <= "~" for character in parts.path):
        raise _problem("contains a space or another character that no address has", "percent-encode it")
    return parts


def _origin(parts: SplitResult) -> Origin:
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise _problem("names a host that cannot exist", _EXAMPLE) from None
    return Origin(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))


def _problem(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(message, path="base_url", hint=hint)])
