"""Azure OpenAI: classic deployments with an `api_version`, and the newer `/openai/v1` without one.

The deployment decides what answers, and its name says nothing; which model it is tells the `model` of the answer, or the
`model` key and `model_facts.base_model` of the configuration.
"""

from typing import NoReturn
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import ConfigurationError, ConfigurationProblem, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Credentials, Origin, Quirks, WireRequest
from caxton_llm.providers.azure_identity import MachineIdentity
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.blocks import within
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers
from caxton_llm.providers.credentials import OAuth2ClientCredentials, StaticCredentials
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.settings import EntraId, ProviderSettings, SecretReference
from caxton_llm.types import ChatRequest
from caxton_llm.wire import openai_chat

__all__ = ["AzureAdapter", "adapter", "credentials"]

_NEWER_FIELDS_SINCE = "2024-09-01"
"""Date of the first api-version that takes `stream_options` and `max_completion_tokens`; older ones answer 400."""


def adapter(settings: ProviderSettings) -> "AzureAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for an endpoint or a version that cannot work."""
    return AzureAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> Credentials:
    """Entra ID where the block has it, else the key, else what `headers` say. Raises `ConfigurationError` without any."""
    if settings.entra_id is not None:
        return _entra(settings.entra_id)
    if not api_key:
        if not {"api-key", "authorization"}.isdisjoint(name.lower() for name in settings.headers):
            return StaticCredentials(())
        raise ConfigurationError(
            [ConfigurationProblem("is missing", path="api_key", hint="or sign with Microsoft Entra ID: entra_id")]
        )
    return StaticCredentials((("api-key", api_key),))


def _entra(entra: EntraId) -> Credentials:
    secret = entra.client_secret
    if isinstance(secret, SecretReference):
        raise ConfigurationError([ConfigurationProblem("was not fetched", path="entra_id.client_secret")])
    if secret is None:
        return MachineIdentity(scope=entra.scope, client_id=entra.client_id)
    missing = [name for name in ("tenant_id", "client_id") if not getattr(entra, name)]
    if missing:
        raise ConfigurationError(
            [
                ConfigurationProblem(
                    "is needed with client_secret", path=f"entra_id.{name}", hint="see the app registration"
                )
                for name in missing
            ]
        )
    with within("entra_id", {"token_url": "authority"}):
        return OAuth2ClientCredentials(
            token_url=f"{entra.authority.rstrip('/')}/{quote(entra.tenant_id or '', safe='')}/oauth2/v2.0/token",
            client_id=entra.client_id or "",
            client_secret=secret,
            scope=entra.scope,
            client_auth="post",
        )


class _Address(Struct, frozen=True):
    """What an endpoint says, be it the resource, one of the API's roots, or the full URL of a deployment."""

    origin: Origin
    prefix: str
    """A gateway's path before `/openai`."""
    deployment: str | None
    api_version: str | None
    v1: bool


class AzureAdapter:
    """The `ProviderAdapter` of one entry."""

    kind = "azure"
    dialect = openai_chat.name
    inline_images = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.entry_name
        address = _parse_endpoint(settings.endpoint or settings.base_url)
        self._settings = settings
        self._address = address
        self._api_version = settings.api_version or address.api_version
        self._classic = self._api_version is not None and not address.v1
        if address.deployment is not None and not self._classic:
            raise _endpoint_problem("is the URL of a classic deployment, which needs a version", "set api_version")
        self._deployment = settings.deployment_name or address.deployment
        self._headers = entry_headers(settings)
        self._options = ChatOptions(settings, self._quirks(settings.quirks or Quirks()))

    def _quirks(self, quirks: Quirks) -> Quirks:
        quirks = replace(quirks, content_key=True)
        if not self._classic or (self._api_version or "")[:10] >= _NEWER_FIELDS_SINCE:
            return quirks
        return replace(quirks, output_limit_field=quirks.output_limit_field or "max_tokens", stream_usage=False)

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> ChatExchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        deployment = self._deployment_of(info.id)
        options = self._options.of(info, send_model=deployment, no_documents=self._classic)
        encoded = openai_chat.encode_chat(request, options, stream=stream)
        path = f"/deployments/{quote(deployment, safe='')}" if self._classic else "/v1"
        wire = WireRequest(
            method="POST",
            origin=self._address.origin,
            path=self._path(f"{path}/chat/completions"),
            headers=JSON_BODY + self._headers + encoded.headers,
            body=encoded.body,
        )
        return ChatExchange(openai_chat, wire, encoded)

    def probe(self) -> WireRequest:
        """The list of models: free, and needs good credentials."""
        return WireRequest(
            method="GET",
            origin=self._address.origin,
            path=self._path("/models" if self._classic else "/v1/models"),
            headers=self._headers,
        )

    def model_info_request(self, model: str) -> None:  # noqa: ARG002
        """Azure lists base models, not deployments: it does not tell what is behind one."""
        return

    def decode_model_info(self, model: str, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `model_info_request` is `None`."""
        raise UnsupportedFeature("Azure does not tell what is behind a deployment")

    def count_request(self, request: ChatRequest, info: ModelInfo) -> None:  # noqa: ARG002
        """The chat API counts no tokens in advance."""
        return

    def decode_count(self, body: bytes) -> NoReturn:  # noqa: ARG002
        """Never called, because `count_request` is `None`."""
        raise UnsupportedFeature("Azure's chat API counts no tokens in advance")

    def _deployment_of(self, model: str) -> str:
        """The deployment for a model of this entry: the configured one for the entry's own, else the model's name."""
        settings = self._settings
        own = (settings.model, settings.model_version, self._deployment, "", None)
        return self._deployment if self._deployment and model in own else model

    def _path(self, path: str) -> str:
        query = f"?api-version={quote(self._api_version, safe='')}" if self._api_version else ""
        return f"{self._address.prefix}/openai{path}{query}"


def _parse_endpoint(url: str | None) -> _Address:
    if not url:
        raise _endpoint_problem("is missing", "it looks like https://name.openai.azure.com")
    plain, _, query = url.partition("?")
    try:
        origin, path = parse_base_url(plain, default_path=None)
    except ConfigurationError as error:
        raise _endpoint_problem(error.problems[0].message, "it looks like https://name.openai.azure.com") from None
    path = path.removesuffix("/chat/completions")
    version = next(iter(parse_qs(urlsplit(f"?{query}").query).get("api-version", [])), None)
    before, classic, deployment = path.partition("/openai/deployments/")
    if classic:
        return _Address(origin, before, unquote(deployment.split("/")[0]), version, v1=False)
    v1 = path.endswith("/openai/v1")
    prefix = path.removesuffix("/v1" if v1 else "").removesuffix("/openai")
    return _Address(origin, prefix, None, version, v1)


def _endpoint_problem(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(message, path="endpoint", hint=hint)])
