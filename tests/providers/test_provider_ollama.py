"""The `ollama` provider: addresses, settings that become fields, model info, and where a model runs."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import ConfigurationError, LlmError, MalformedResponse, ModelNotFound
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Origin, ProviderAdapter, WireResponse
from caxton_llm.providers.catalog import merge
from caxton_llm.providers.ollama import OllamaAdapter, adapter, credentials
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest, Message
from recorded import interactions

INFO = ModelInfo(id="llama3.1:8b", provider="ollama")
HELLO = ChatRequest(model="llama3.1:8b", messages=[Message(role="user", content="Hello")])


def made(**settings: Any) -> OllamaAdapter:
    return adapter(ProviderSettings(**{"provider": "ollama", "model": "llama3.1:8b", **settings}))


def sent(request: ChatRequest = HELLO, info: ModelInfo = INFO, **settings: Any) -> Any:
    return msgspec.json.decode(made(**settings).open(request, info, stream=False).request.body)


def test_it_is_an_adapter_of_the_native_api() -> None:
    provider: ProviderAdapter = made(name="local")
    assert (provider.name, provider.kind, provider.dialect) == ("local", "ollama", "ollama_chat")
    assert provider.inline_images


@pytest.mark.parametrize(
    ("base_url", "origin", "path"),
    [
        (None, Origin("http", "localhost", 11434), "/api/chat"),
        ("http://localhost:11434", Origin("http", "localhost", 11434), "/api/chat"),
        ("http://localhost:11434/v1/", Origin("http", "localhost", 11434), "/api/chat"),
        ("https://ollama.com", Origin("https", "ollama.com", 443), "/api/chat"),
        ("https://proxy.example.com/ollama/v1", Origin("https", "proxy.example.com", 443), "/ollama/api/chat"),
    ],
)
def test_addresses_with_and_without_v1(base_url: str | None, origin: Origin, path: str) -> None:
    request = made(base_url=base_url).open(HELLO, INFO, stream=True).request
    assert (request.method, request.origin, request.path) == ("POST", origin, path)
    assert dict(request.headers)["content-type"] == "application/json"


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        made(base_url="localhost:11434")


def test_the_specifications_block_becomes_fields_and_options() -> None:
    body = sent(
        base_url="http://localhost:11434", max_tokens=2048, temperature=0.7, context_window=8192, gpu_acceleration=True
    )
    assert body == {
        "model": "llama3.1:8b",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
        "options": {"num_ctx": 8192, "num_predict": 2048, "temperature": 0.7},
    }


def test_no_gpu_keep_alive_and_further_fields() -> None:
    body = sent(gpu_acceleration=False, keep_alive=-1, extra_body={"top_k": 5, "truncate": False}, top_p=0.5)
    assert body["options"] == {"num_gpu": 0, "top_k": 5, "top_p": 0.5, "num_ctx": 8192}
    assert body["keep_alive"] == -1
    assert body["truncate"] is False


def test_a_pinned_version_is_what_is_sent() -> None:
    assert sent(model_version="llama3.1:8b-instruct-q4_K_M")["model"] == "llama3.1:8b-instruct-q4_K_M"


def test_the_window_that_was_configured_is_what_truncation_is_measured_by() -> None:
    exchange = made(context_window=30).open(HELLO, INFO, stream=False)
    body = b'{"model":"m","message":{"content":"Hi"},"done":true,"prompt_eval_count":28,"eval_count":2}'
    response = exchange.decode(WireResponse(status=200, headers={}, body=body))
    assert len(response.warnings) == 1
    decoder = exchange.decoder()
    assert [chunk.usage.total_tokens for chunk in decoder.feed(body + b"\n") if chunk.usage] == [30]
    assert decoder.done
    assert exchange.params.dropped == {}


def test_a_refusal_is_classified() -> None:
    exchange = made().open(HELLO, INFO, stream=False)
    body = b'{"error":"model \\"x\\" not found, try pulling it first"}'
    error: LlmError = exchange.classify(WireResponse(status=404, headers={}, body=body))
    assert type(error) is ModelNotFound
    assert "try pulling it first" in error.message


# -- keys ---------------------------------------------------------------------------------------------------------------


def test_a_key_is_optional_and_signs_as_a_bearer_token() -> None:
    settings = ProviderSettings(provider="ollama")
    assert credentials(settings, None).headers(0.0) == ()
    assert credentials(settings, "abc").headers(0.0) == (("authorization", "Bearer abc"),)


def test_configured_headers_travel_with_every_request_and_never_show() -> None:
    provider = made(headers={"X-Proxy-Key": "hidden"})
    for request in (
        provider.open(HELLO, INFO, stream=False).request,
        provider.probe(),
        provider.model_info_request("m"),
    ):
        assert dict(request.headers)["x-proxy-key"] == "hidden"
        assert "hidden" not in repr(request)


# -- other endpoints ----------------------------------------------------------------------------------------------------


def test_the_probe_is_the_version() -> None:
    request = made().probe()
    assert (request.method, request.path, request.body) == ("GET", "/api/version", b"")


def show(body: dict[str, Any]) -> ModelInfo:
    return made().decode_model_info("m", msgspec.json.encode(body))


def test_model_info_tells_window_and_capabilities() -> None:
    request = made().model_info_request("qwen3:8b")
    assert (request.method, request.path) == ("POST", "/api/show")
    assert msgspec.json.decode(request.body) == {"model": "qwen3:8b"}
    info = show(
        {
            "parameters": 'temperature 0.7\nstop "<|im_end|>"',
            "details": {"family": "qwen3"},
            "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960, "qwen3.block_count": 36},
            "capabilities": ["completion", "tools", "thinking"],
        }
    )
    assert info.context_window == 40960
    assert (info.capabilities.tools, info.capabilities.reasoning, info.capabilities.vision) == (True, True, False)
    known = merge(INFO, info)
    assert known.sources["context_window"] == "provider"
    assert known.sources["capabilities.tools"] == "provider"


@pytest.mark.parametrize(
    ("body", "window"),
    [
        (
            {"model_info": {"general.architecture": "a", "a.context_length": 40960}, "parameters": "num_ctx   4096"},
            4096,
        ),
        ({"model_info": {}, "parameters": "num_ctx 4096"}, 4096),
        ({"model_info": {"general.architecture": "a", "a.context_length": 2048}, "parameters": "num_ctx 4096"}, 2048),
        ({"model_info": {"general.architecture": "a"}}, None),
        ({}, None),
    ],
)
def test_the_smaller_window_counts_and_an_unknown_one_is_unknown(body: dict[str, Any], window: int | None) -> None:
    assert show(body).context_window == window


def test_old_servers_tell_no_capabilities() -> None:
    capabilities = show({"model_info": {}}).capabilities
    assert capabilities.tools is None
    assert capabilities.vision is None


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff", b'{"capabilities":7}'])
def test_an_answer_that_is_no_model_info_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponse, match="/api/show"):
        made().decode_model_info("m", body)


def test_tokens_are_not_counted_in_advance() -> None:
    provider: ProviderAdapter = made()
    assert provider.count_request(HELLO, INFO) is None


# -- gpu_acceleration ---------------------------------------------------------------------------------------------------


def running(**model: Any) -> bytes:
    return msgspec.json.encode({"models": [{"name": "other:1b", "size": 9, "size_vram": 9}, model]})


def test_the_use_of_the_gpu_is_asked_for_only_when_it_is_wanted() -> None:
    request = made(gpu_acceleration=True).gpu_check()
    assert request is not None
    assert (request.method, request.path) == ("GET", "/api/ps")
    assert made().gpu_check() is None
    assert made(gpu_acceleration=False).gpu_check() is None


@pytest.mark.parametrize(("size_vram", "warned"), [(0, True), (400, True), (600, False), (1000, False)])
def test_a_model_that_runs_on_the_cpu_is_warned_about(size_vram: int, warned: bool) -> None:
    body = running(name="llama3:latest", model="llama3:latest", size=1000, size_vram=size_vram)
    warning = made(gpu_acceleration=True).decode_gpu_use(body, "llama3")
    assert (warning is not None) is warned
    assert warning is None or ("gpu_acceleration" in warning and "llama3" in warning)


def test_a_model_that_is_not_loaded_says_nothing() -> None:
    assert made().decode_gpu_use(running(name="llama3:8b", size=1000), "llama3") is None
    assert made().decode_gpu_use(b'{"models":[]}', "llama3") is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"models":7}'])
def test_an_answer_that_is_no_list_of_processes_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponse, match="/api/ps"):
        made().decode_gpu_use(body, "m")


# -- recordings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recording", ["ollama__test_ollama_cloud_tool_output", "ollama__test_ollama_local_native_output_uses_json_schema"]
)
def test_the_recorded_traffic_is_of_the_other_api_and_is_not_mistaken_for_ours(recording: str) -> None:
    """Both recordings were made on Ollama's OpenAI-compatible endpoint, which this provider never uses."""
    for exchange in interactions(recording):
        assert exchange.uri.endswith("/v1/chat/completions")
        ours = made().open(HELLO, INFO, stream=False)
        with pytest.raises(MalformedResponse):
            ours.decode(WireResponse(status=exchange.status, headers=exchange.headers, body=exchange.body))
