"""TLS settings for connections to providers: always verified, HTTP/1.1 only."""

import ssl

from caxton_llm.errors import ConfigurationError, ConfigurationProblem

__all__ = ["require_verification", "tls_context"]


def tls_context(
    *, ca_file: str | None = None, client_cert: str | None = None, client_key: str | None = None
) -> ssl.SSLContext:
    """A verifying context. `ca_file` (PEM) replaces the system's authorities; `client_cert` (PEM) is shown to the server,
    with its key in `client_key` or in the same file. Raises `ConfigurationError`."""
    if client_key is not None and client_cert is None:
        raise ConfigurationError("`client_key` is given without `client_cert`")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("`ca_file`", error, ca_file, path="ca_file") from None
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert, client_key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("`client_cert` and `client_key`", error, client_cert, path="client_cert") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def require_verification(context: ssl.SSLContext) -> None:
    """Refuse a context that would accept any certificate. Raises `ConfigurationError`."""
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError("TLS certificates are always verified; set `ca_file` to trust a private authority")


def _no_password() -> str:
    """Instead of a prompt on the terminal: an encrypted key is an error."""
    return ""


def _unusable(what: str, error: OSError, file: str | None, *, path: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(f"{what} cannot be used: {_reason(error)} ({file})", path=path)])


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no usable PEM certificate or key"
    return error.strerror or type(error).__name__
