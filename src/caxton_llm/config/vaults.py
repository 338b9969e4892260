"""Secret stores reached over the network, each by its vendor's client, which is imported when it is first needed.

Messages say which secret could not be read and why, in the words of a short list or of the client's error code; what a store
answered is never quoted.
"""

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.types import Json

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

__all__ = ["AwsSecretsSource", "AzureKeyVaultSource", "VaultSource"]

_TIMEOUT_S = 10


class VaultSource:
    """`source: vault`: HashiCorp Vault or OpenBao, the key-value engine version 2.

    The server is `vault_url` or `VAULT_ADDR`, the token `VAULT_TOKEN` (or `~/.vault-token`), the namespace `VAULT_NAMESPACE`,
    the certificate authorities `VAULT_CACERT`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, reference: Mapping[str, str]) -> str:
        hvac = _extra("hvac", "vault")
        requests = _extra("requests", "vault")
        address = reference.get("vault_url") or self._environ.get("VAULT_ADDR")
        mount, path = reference["mount"], reference["path"]
        if not address:
            raise ConfigurationError([ConfigurationProblem("the server's address is missing", hint="set VAULT_ADDR")])
        client = hvac.Client(
            url=address,
            token=self._environ.get("VAULT_TOKEN"),
            namespace=self._environ.get("VAULT_NAMESPACE"),
            verify=self._environ.get("VAULT_CACERT") or True,
            timeout=_TIMEOUT_S,
        )
        try:
            answer = client.secrets.kv.v2.read_secret_version(
                path=path, mount_point=mount, raise_on_deleted_version=True
            )
            values = answer["data"]["data"]
        except hvac.exceptions.Forbidden:
            raise _failure(f"the token may not read {mount}/{path}", "check VAULT_TOKEN and its policies") from None
        except hvac.exceptions.InvalidPath:
            raise _failure(f"there is no secret {mount}/{path}", "check 'mount' and 'path'") from None
        except (hvac.exceptions.VaultError, requests.RequestException, KeyError, TypeError, ValueError) as error:
            raise _failure(f"{mount}/{path} could not be read from {address}: {type(error).__name__}") from None
        finally:
            client.adapter.close()
        return _one_value(values, reference.get("key"), f"{mount}/{path}")


class AwsSecretsSource:
    """`source: aws_secrets`: AWS Secrets Manager, with the credentials that AWS's client finds by itself.

    With `key` the secret is a JSON object and one of its values is taken; without it the whole text is the secret.
    `AWS_ENDPOINT_URL_SECRETS_MANAGER` leads to another endpoint.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, reference: Mapping[str, str]) -> str:
        boto3 = _extra("boto3", "aws")
        config, exceptions = _extra("botocore.config", "aws"), _extra("botocore.exceptions", "aws")
        name = reference.get("secret_name") or reference["path"]
        options = config.Config(
            connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"total_max_attempts": 2, "mode": "standard"}
        )
        try:
            client = boto3.client(
                "secretsmanager",
                region_name=reference.get("region") or self._environ.get("AWS_REGION"),
                endpoint_url=self._environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
                config=options,
            )
        except (exceptions.BotoCoreError, ValueError) as error:
            raise _failure(f"AWS's client cannot start: {type(error).__name__}", "set 'region'") from None
        try:
            text = client.get_secret_value(SecretId=name).get("SecretString")
        except exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown error")
            raise _failure(f"{name} could not be read: {code}") from None
        except exceptions.BotoCoreError as error:
            raise _failure(f"{name} could not be read: {type(error).__name__}") from None
        finally:
            client.close()
        if not isinstance(text, str):
            raise _failure(f"{name} is binary, not text")
        key = reference.get("key")
        return text if key is None else _one_value(_json_object(text, name), key, name)


class AzureKeyVaultSource:
    """`source: azure_keyvault`: Azure Key Vault, with the identity that Azure's client finds by itself.

    `open_client` makes the client for a vault's address, for identities and networks of one's own.
    """

    def __init__(self, open_client: "Callable[[str], SecretClient] | None" = None) -> None:
        self._open_client = open_client or _azure_client

    def read(self, reference: Mapping[str, str]) -> str:
        errors = _extra("azure.core.exceptions", "azure")
        vault, name = reference["vault_url"], reference["secret_name"]
        try:
            with self._open_client(vault) as client:
                value = client.get_secret(name).value
        except errors.ResourceNotFoundError:
            raise _failure(f"there is no secret {name} in {vault}") from None
        except errors.ClientAuthenticationError:
            raise _failure(f"{vault} does not accept this machine's identity", "try 'az login'") from None
        except (errors.AzureError, ValueError) as error:
            raise _failure(f"{name} could not be read from {vault}: {type(error).__name__}") from None
        if value is None:
            raise _failure(f"{name} in {vault} has no value")
        return str(value)


def _azure_client(vault: str) -> "SecretClient":
    identity, secrets = _extra("azure.identity", "azure"), _extra("azure.keyvault.secrets", "azure")
    client: SecretClient = secrets.SecretClient(vault_url=vault, credential=identity.DefaultAzureCredential())
    return client


def _extra(module: str, extra: str) -> ModuleType:
    """An optional dependency. Raises `ConfigurationError` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _failure(f"the package {module!r} is not installed", f"pip install 'caxton-llm[{extra}]'") from None


def _failure(message: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(message, hint=hint)])


def _json_object(text: str, name: str) -> dict[str, Json]:
    try:
        return msgspec.json.decode(text, type=dict[str, Json])
    except msgspec.DecodeError:
        raise _failure(f"{name} is not a JSON object, so it has no keys", "leave out 'key'") from None


def _one_value(values: Mapping[str, Json], key: str | None, name: str) -> str:
    """The value under `key`, or the only one."""
    if key is None:
        if len(values) != 1:
            raise _failure(f"{name} holds {len(values)} values", "say which with 'key'")
        key = next(iter(values))
    value = values.get(key)
    if not isinstance(value, str):
        raise _failure(f"{name} has no text under the key {key!r}")
    return value
