"""Addresses of providers as people write them."""

import pytest

from caxton_llm.errors import ConfigurationError
from caxton_llm.protocols import Origin
from caxton_llm.providers.base_url import parse_base_url

API = Origin("https", "api.example.com", 443)


@pytest.mark.parametrize(
    ("url", "default", "expected"),
    [
        ("https://api.example.com", "/v1", (API, "/v1")),
        ("https://api.example.com/", "/v1", (API, "/v1")),
        ("https://api.example.com/v1", "/v1", (API, "/v1")),
        ("https://api.example.com/v1/", "/v1", (API, "/v1")),
        (" https://API.example.com:443/v1 ", "/v1", (API, "/v1")),
        ("https://api.example.com/openai/v1", "/v1", (API, "/openai/v1")),
        ("https://api.example.com/v1beta/openai/", "/v1", (API, "/v1beta/openai")),
        ("https://api.example.com/v1", "", (API, "")),
        ("https://api.example.com/v1/", "", (API, "")),
        ("https://api.example.com/proxy/v1", "", (API, "/proxy")),
        ("https://api.example.com/proxy", "", (API, "/proxy")),
        ("https://api.example.com/v1/", None, (API, "/v1")),
        ("http://localhost:8000", "/v1", (Origin("http", "localhost", 8000), "/v1")),
        ("http://[::1]:8000/v1", "/v1", (Origin("http", "::1", 8000), "/v1")),
        ("http://10.0.0.1", "", (Origin("http", "10.0.0.1", 80), "")),
        ("https://bücher.example/v1", "/v1", (Origin("https", "xn--bcher-kva.example", 443), "/v1")),
    ],
)
def test_an_address_is_understood_with_and_without_v1(
    url: str, default: str | None, expected: tuple[Origin, str]
) -> None:
    assert parse_base_url(url, default_path=default) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "localhost:8000",
        "ftp://api.example.com",
        "https://",
        "https://host:99999",
        "https://host:port",
        "https://[::1",
        "https://api.example.com/v1?x=1",
        "https://api.example.com/v1#x",
        "https://api.example.com/a b",
        "https://user:secret@api.example.com",
    ],
)
def test_what_is_no_address_is_the_operators_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url(url, default_path="/v1")
    assert caught.value.problems[0].path == "base_url"
    assert "secret" not in str(caught.value)
