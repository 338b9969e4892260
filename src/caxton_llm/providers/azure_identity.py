"""The machine's own identity on Azure: managed identity, workload identity, the developer's sign-in.

Microsoft's library finds out which of these there is and does its own blocking I/O, so it is called in a thread. It comes
with the extra `azure` and is loaded when the first token is needed.
"""

from collections.abc import Callable, Generator

from caxton_llm.errors import Authentication, ConfigurationError, ConfigurationProblem
from caxton_llm.protocols import WireRequest, WireResponse

__all__ = ["MachineIdentity"]

_ASK_AGAIN_S = 60.0
"""The library keeps the token and renews it in time, so asking it costs nothing."""

_TokenSource = Callable[[str], str]
"""Scope -> token; blocks, and raises `LlmError`."""


class MachineIdentity:
    """`BlockingCredentials` for Azure; `client_id` chooses among several managed identities."""

    __slots__ = ("_client_id", "_headers", "_scope", "_source", "_until")

    refreshable = True

    def __init__(self, *, scope: str, client_id: str | None = None, source: _TokenSource | None = None) -> None:
        self._scope = scope
        self._client_id = client_id
        self._source = source
        self._headers: tuple[tuple[str, str], ...] | None = None
        self._until: float | None = None

    def headers(self, now: float) -> tuple[tuple[str, str], ...] | None:
        if self._headers is None:
            return None
        if self._until is None:  # the first look after a refresh
            self._until = now + _ASK_AGAIN_S
        return self._headers if now < self._until else None

    def refresh(self, now: float) -> Generator[WireRequest, WireResponse, None]:  # noqa: ARG002
        """Never used: `refresh_blocking` takes its place."""
        yield from ()

    def refresh_blocking(self) -> None:
        """Ask the library. Raises `ConfigurationError` without the extra, `Authentication` when there is no identity."""
        if self._source is None:
            self._source = _default_source(self._client_id)
        self._headers = (("authorization", f"Bearer {self._source(self._scope)}"),)
        self._until = None

    def invalidate(self) -> None:
        self._headers = None

    def __repr__(self) -> str:
        return "MachineIdentity()"


def _default_source(client_id: str | None) -> _TokenSource:
    try:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - an extra, and slow to load
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415
    except ImportError:
        problem = ConfigurationProblem(
            "without client_secret needs Microsoft's library", path="entra_id", hint="pip install 'caxton-llm[azure]'"
        )
        raise ConfigurationError([problem]) from None
    credential = DefaultAzureCredential(managed_identity_client_id=client_id)

    def token(scope: str) -> str:
        try:
            return credential.get_token(scope).token
        except AzureError as error:  # its text names hosts and files of the machine
            raise Authentication(
                f"this machine has no usable Entra ID identity ({type(error).__name__}); give it one, or set"
                " entra_id.client_secret",
                source="gateway",
            ) from None

    return token
