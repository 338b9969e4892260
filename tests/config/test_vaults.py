"""Secret stores over the network, spoken to by their vendors' own clients."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient

from caxton_llm.config.load import load_text
from caxton_llm.config.secrets import resolve_secrets
from caxton_llm.config.vaults import AwsSecretsSource, AzureKeyVaultSource, VaultSource
from caxton_llm.errors import ConfigurationError
from secret_stores import SECRET, TOKEN, AwsHandler, AzureHandler, VaultHandler, serving, write_authority


@pytest.fixture(scope="module")
def vault() -> Iterator[str]:
    with serving(VaultHandler) as address:
        yield address


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with serving(AwsHandler) as address:
        yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": address, "AWS_REGION": "eu-central-1"}


def failure(source: VaultSource | AwsSecretsSource | AzureKeyVaultSource, **reference: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        source.read(reference)
    assert SECRET not in str(caught.value)
    return str(caught.value)


# -- HashiCorp Vault --------------------------------------------------------------------------------------------------------


def test_the_specifications_vault_block_gets_its_key(vault: str) -> None:
    text = Path(__file__).with_name("spec_blocks").joinpath("11_secrets.yaml").read_text(encoding="utf-8")
    configuration = load_text(f"{text}  model: gpt-5.4\n", environ={})
    ready = resolve_secrets(configuration, environ={"VAULT_ADDR": vault, "VAULT_TOKEN": TOKEN})
    assert ready.entries[0].settings.api_key == SECRET


def test_vault_reads_another_mount_and_the_only_value_of_a_secret(vault: str) -> None:
    source = VaultSource({"VAULT_TOKEN": TOKEN})
    assert source.read({"vault_url": vault, "mount": "team/kv", "path": "only"}).strip() == SECRET


def test_vault_says_why_a_secret_cannot_be_read(vault: str) -> None:
    source = VaultSource({"VAULT_ADDR": vault, "VAULT_TOKEN": TOKEN})
    openai = "caxton/llm/openai"
    assert failure(source, mount="secret", path="none") == ("there is no secret secret/none (check 'mount' and 'path')")
    assert failure(source, mount="secret", path=openai) == (
        "secret/caxton/llm/openai holds 2 values (say which with 'key')"
    )
    assert failure(source, mount="secret", path=openai, key="k") == (
        "secret/caxton/llm/openai has no text under the key 'k'"
    )
    assert failure(source, mount="secret", path="number", key="api_key") == (
        "secret/number has no text under the key 'api_key'"
    )
    assert failure(source, mount="secret", path="broken") == f"secret/broken could not be read from {vault}: TypeError"
    refused = VaultSource({"VAULT_ADDR": vault, "VAULT_TOKEN": "wrong"})
    assert failure(refused, mount="secret", path=openai) == (
        "the token may not read secret/caxton/llm/openai (check VAULT_TOKEN and its policies)"
    )


def test_a_vault_that_is_not_there_is_named() -> None:
    with serving(VaultHandler) as address:
        pass
    gone = VaultSource({"VAULT_ADDR": address, "VAULT_TOKEN": TOKEN})
    assert failure(gone, mount="secret", path="p") == f"secret/p could not be read from {address}: ConnectionError"
    assert failure(VaultSource({}), mount="secret", path="p") == "the server's address is missing (set VAULT_ADDR)"


# -- AWS Secrets Manager ----------------------------------------------------------------------------------------------------


def test_aws_reads_a_value_of_an_object_or_the_whole_text(aws: dict[str, str]) -> None:
    source = AwsSecretsSource(aws)
    assert source.read({"secret_name": "caxton/openai", "key": "api_key"}) == SECRET
    assert source.read({"path": "plain", "region": "us-east-1"}) == SECRET


def test_aws_says_why_a_secret_cannot_be_read(aws: dict[str, str]) -> None:
    source = AwsSecretsSource(aws)
    assert failure(source, path="none") == "none could not be read: ResourceNotFoundException"
    assert failure(source, path="binary") == "binary is binary, not text"
    assert failure(source, path="plain", key="k") == ("plain is not a JSON object, so it has no keys (leave out 'key')")
    assert failure(source, path="caxton/openai", key="k") == "caxton/openai has no text under the key 'k'"


def test_aws_without_a_region_says_so(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    assert failure(AwsSecretsSource({}), path="p") == "AWS's client cannot start: NoRegionError (set 'region')"


# -- Azure Key Vault --------------------------------------------------------------------------------------------------------


class FixedToken:
    """An identity whose token is given."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(self._token, 4102444800)


@pytest.fixture(scope="module")
def key_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    authority = trustme.CA()
    trusted = write_authority(authority, tmp_path_factory.mktemp("azure"))
    with serving(AzureHandler, authority.issue_cert("127.0.0.1")) as address:
        yield address, trusted


def azure_source(trusted: Path, token: str = TOKEN) -> AzureKeyVaultSource:
    def open_client(address: str) -> SecretClient:
        return SecretClient(
            address,
            FixedToken(token),
            connection_verify=str(trusted),
            verify_challenge_resource=False,  # the vault is not at vault.azure.net
            retry_total=0,
        )

    return AzureKeyVaultSource(open_client)


def test_azure_reads_a_secret(key_vault: tuple[str, Path]) -> None:
    address, trusted = key_vault
    reference = {"vault_url": address, "secret_name": "openai-api-key"}
    assert azure_source(trusted).read(reference) == SECRET


def test_azure_says_why_a_secret_cannot_be_read(key_vault: tuple[str, Path]) -> None:
    address, trusted = key_vault
    source = azure_source(trusted)
    assert failure(source, vault_url=address, secret_name="none") == f"there is no secret none in {address}"
    refused = azure_source(trusted, "wrong")
    assert failure(refused, vault_url=address, secret_name="openai-api-key") == (
        f"{address} does not accept this machine's identity (try 'az login')"
    )
    plain = address.replace("https", "http")
    assert "could not be read from" in failure(source, vault_url=plain, secret_name="s")


# -- missing packages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "extra", "reference"),
    [
        ("hvac", "vault", "source: vault, path: p"),
        ("boto3", "aws", "source: aws_secrets, path: p"),
        ("azure.core.exceptions", "azure", "source: azure_keyvault, vault_url: 'https://v.example', secret_name: s"),
    ],
)
def test_a_store_whose_package_is_not_installed_says_how_to_install_it(
    package: str, extra: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    configuration = load_text(f"llm: {{provider: openai, model: m, api_key: {{{reference}}}}}", environ={})
    with pytest.raises(ConfigurationError) as caught:
        resolve_secrets(configuration, environ={})
    assert f"the package {package!r} is not installed (pip install 'caxton-llm[{extra}]')" in str(caught.value)
