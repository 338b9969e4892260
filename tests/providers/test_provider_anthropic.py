"""The provider `anthropic`: addresses, headers, what it tells of a model, and counting."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import ConfigurationError, MalformedResponse, ModelNotFound
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import ProviderAdapter, Quirks, WireRequest, WireResponse
from caxton_llm.providers import anthropic
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest, FunctionDefinition, Message, Tool
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client
from recorded import interactions

INFO = ModelInfo(id="claude-haiku-4-5", provider="anthropic", max_output_tokens=64_000)
HI = ChatRequest(model="claude-haiku-4-5", messages=[Message(role="user", content="Hi")])


def made(**settings: Any) -> anthropic.AnthropicAdapter:
    return anthropic.adapter(ProviderSettings(provider="anthropic", **settings))


def sent(request: ChatRequest = HI, info: ModelInfo = INFO, *, stream: bool = False, **settings: Any) -> WireRequest:
    return made(**settings).open(request, info, stream=stream).request


def from_client(headers: dict[str, str], **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return anthropic_messages_client.decode_request(msgspec.json.encode(body), headers)


def test_it_is_a_provider_adapter() -> None:
    adapter: ProviderAdapter = made(name="primary")
    assert (adapter.name, adapter.kind, adapter.dialect) == ("primary", "anthropic", "anthropic_messages")
    assert adapter.inline_images is False


def test_a_request_goes_to_the_messages_endpoint_with_version_and_type() -> None:
    request = sent()
    assert (request.method, str(request.origin), request.path) == ("POST", "https://api.anthropic.com", "/v1/messages")
    assert dict(request.headers) == {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    assert msgspec.json.decode(request.body)["model"] == "claude-haiku-4-5"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://proxy.example.com", "/v1/messages"),
        ("https://proxy.example.com/", "/v1/messages"),
        ("https://proxy.example.com/v1", "/v1/messages"),
        ("https://proxy.example.com/v1/", "/v1/messages"),
        ("https://proxy.example.com/anthropic", "/anthropic/v1/messages"),
        ("https://proxy.example.com/anthropic/v1", "/anthropic/v1/messages"),
    ],
)
def test_an_address_is_understood_with_and_without_its_version(base_url: str, path: str) -> None:
    request = sent(base_url=base_url)
    assert (str(request.origin), request.path) == ("https://proxy.example.com", path)


def test_an_address_that_is_none_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigurationError):
        made(base_url="api.anthropic.com")


def test_the_key_is_a_header_of_its_own_and_nowhere_else() -> None:
    settings = ProviderSettings(provider="anthropic", api_key="sk-ant-secret")
    credentials = anthropic.credentials(settings, "sk-ant-secret")
    assert credentials.headers(0.0) == (("x-api-key", "sk-ant-secret"),)
    assert "secret" not in repr(credentials)
    assert anthropic.credentials(settings, None).headers(0.0) == ()


def test_configured_and_forwarded_betas_are_one_header() -> None:
    request = from_client({"anthropic-beta": "files-api-2025-04-14,interleaved-thinking-2025-05-14"})
    wire = sent(request, anthropic_beta=("interleaved-thinking-2025-05-14",), headers={"Anthropic-Beta": "own-beta"})
    assert [value for name, value in wire.headers if name == "anthropic-beta"] == [
        "interleaved-thinking-2025-05-14,own-beta,files-api-2025-04-14"
    ]


def test_betas_of_one_request_do_not_reach_the_next() -> None:
    adapter = made(anthropic_beta=("compact-2026-01-12",))
    first = adapter.open(from_client({"anthropic-beta": "files-api-2025-04-14"}), INFO, stream=False)
    second = adapter.open(HI, INFO, stream=False)
    assert dict(first.request.headers)["anthropic-beta"] == "compact-2026-01-12,files-api-2025-04-14"
    assert dict(second.request.headers)["anthropic-beta"] == "compact-2026-01-12"


def test_the_clients_version_does_not_replace_ours() -> None:
    wire = sent(from_client({"anthropic-version": "2026-10-21"}, temperature=0.5))
    assert dict(wire.headers)["anthropic-version"] == "2023-06-01"
    assert msgspec.json.decode(wire.body)["temperature"] == 0.5


def test_the_newer_version_drops_sampling_and_says_so() -> None:
    adapter = made(anthropic_version="2026-10-21", temperature=0.7, quirks=Quirks(drop=("seed",)))
    for request in (
        msgspec.structs.replace(HI, temperature=0.5, seed=1),
        from_client({}, temperature=0.5, top_k=3),
    ):
        exchange = adapter.open(request, INFO, stream=False)
        assert dict(exchange.request.headers)["anthropic-version"] == "2026-10-21"
        body = msgspec.json.decode(exchange.request.body)
        assert body.keys().isdisjoint({"temperature", "top_p", "top_k", "seed"})
        assert "temperature" in exchange.params.dropped


def test_configured_headers_travel_on_every_request() -> None:
    adapter = made(headers={"X-Team": "blue", "anthropic-version": "2024-01-01"})
    for request in (adapter.open(HI, INFO, stream=False).request, adapter.probe()):
        assert dict(request.headers)["x-team"] == "blue"
        assert dict(request.headers)["anthropic-version"] == "2024-01-01"


def test_settings_of_the_entry_fill_what_the_caller_left_open() -> None:
    body = msgspec.json.decode(
        sent(max_tokens=4096, temperature=0.7, extra_body={"service_tier": "standard_only"}, stream=True).body
    )
    assert (body["max_tokens"], body["temperature"]) == (4096, 0.7)
    assert (body["service_tier"], body["stream"]) == ("standard_only", True)


def test_a_pinned_version_is_what_is_sent() -> None:
    wire = sent(
        info=ModelInfo(id="claude-haiku-4-5", provider="anthropic"),
        model="claude-haiku-4-5",
        model_version="claude-haiku-4-5-20251001",
    )
    assert msgspec.json.decode(wire.body)["model"] == "claude-haiku-4-5-20251001"


def test_the_probe_is_the_shortest_list_of_models() -> None:
    probe = made(base_url="http://localhost:9/v1").probe()
    assert (probe.method, probe.path, str(probe.origin)) == ("GET", "/v1/models?limit=1", "http://localhost:9")


def test_a_model_is_asked_for_by_its_name() -> None:
    assert made().model_info_request("claude/odd name").path == "/v1/models/claude%2Fodd%20name"


def supported(*names: str, among: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"supported": name in names} for name in among}


def test_what_the_provider_tells_of_a_model() -> None:
    told = {
        "type": "model",
        "id": "claude-opus-5",
        "display_name": "Claude Opus 5",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "lifecycle": "deprecated",
        "retires_at": "2027-07-24T00:00:00Z",
        "capabilities": {
            "batch": {"supported": True},
            "effort": {
                "supported": True,
                **supported("low", "max", among=("low", "medium", "high", "max")),
                "xhigh": None,
            },
            "image_input": {"supported": True},
            "pdf_input": {"supported": False},
            "structured_outputs": {"supported": True},
            "thinking": {
                "supported": True,
                "types": supported("adaptive", "disabled", among=("adaptive", "between_tools", "disabled", "enabled")),
            },
        },
    }
    info = made().decode_model_info("claude-opus-5", msgspec.json.encode(told))
    assert (info.id, info.provider, info.lifecycle, info.retires_on) == (
        "claude-opus-5",
        "anthropic",
        "deprecated",
        "2027-07-24",
    )
    assert (info.context_window, info.max_input_tokens, info.max_output_tokens) == (1_000_000, 1_000_000, 128_000)
    capabilities = info.capabilities
    assert (capabilities.vision, capabilities.pdf, capabilities.json_schema, capabilities.reasoning) == (
        True,
        False,
        True,
        True,
    )
    assert capabilities.tools is None
    assert info.parameters.thinking == ["adaptive", "disabled"]
    assert info.parameters.efforts == ["low", "max"]


def test_what_the_provider_does_not_tell_stays_unknown() -> None:
    info = made().decode_model_info("m", b'{"id":"m","capabilities":{"effort":{"supported":false},"thinking":{}}}')
    assert info.parameters.efforts == []
    assert info.parameters.thinking is None


@pytest.mark.parametrize(
    "capabilities",
    [
        {"effort": {"supported": True}, "thinking": {"supported": True, "types": {}}},
        {"effort": {}, "thinking": {"types": {"sometimes": {"supported": True}}}},
        {"effort": {"low": {}}, "thinking": {"types": {"adaptive": {"supported": None}}}},
    ],
)
def test_what_is_not_told_of_efforts_and_thinking_is_unknown_and_not_none_at_all(capabilities: Any) -> None:
    info = made().decode_model_info("m", msgspec.json.encode({"id": "m", "capabilities": capabilities}))
    assert (info.parameters.efforts, info.parameters.thinking) == (None, None)
    bare = made().decode_model_info("m", b'{"id":"m"}')
    assert (bare.context_window, bare.max_output_tokens, bare.lifecycle, bare.retires_on) == (None,) * 4
    assert bare.capabilities.vision is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"max_tokens":"many"}', b"\xff", b"[" * 5000])
def test_an_answer_that_is_no_model_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        made().decode_model_info("m", body)
    with pytest.raises(MalformedResponse):
        made().decode_count(body)


def test_counting_asks_the_endpoint_made_for_it() -> None:
    request = made().count_request(msgspec.structs.replace(HI, temperature=0.5, max_tokens=3), INFO)
    assert (request.method, request.path) == ("POST", "/v1/messages/count_tokens")
    assert msgspec.json.decode(request.body) == {
        "model": "claude-haiku-4-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert made().decode_count(b'{"input_tokens":42}') == 42


def test_counting_is_asked_for_as_recorded() -> None:
    (recorded,) = interactions("anthropic__test_anthropic_count_tokens_error")
    hello = ChatRequest(messages=[Message(role="user", content="hello")])
    info = ModelInfo(id=recorded.request["model"], provider="anthropic")
    request = made().count_request(hello, info)
    assert msgspec.json.decode(request.body) == recorded.request
    exchange = made().open(hello, info, stream=False)
    failure = exchange.classify(WireResponse(status=recorded.status, headers=recorded.headers, body=recorded.body))
    assert isinstance(failure, ModelNotFound)


def test_an_exchange_reads_what_its_request_changed() -> None:
    request = msgspec.structs.replace(HI, tools=[Tool(type="function", function=FunctionDefinition(name="files/read"))])
    exchange = made().open(request, INFO, stream=False)
    (wire_tool,) = msgspec.json.decode(exchange.request.body)["tools"]
    answer = {
        "id": "msg_1",
        "model": "claude",
        "content": [{"type": "tool_use", "id": "t", "name": wire_tool["name"], "input": {}}],
        "stop_reason": "tool_use",
    }
    response = exchange.decode(WireResponse(status=200, headers={}, body=msgspec.json.encode(answer)))
    (call,) = response.tool_calls
    assert call.function is not None
    assert call.function.name == "files/read"


def test_neither_key_nor_prompt_is_in_the_text_of_a_request() -> None:
    request = sent().with_headers(("x-api-key", "sk-ant-secret"))
    assert "secret" not in repr(request)
    assert "Hi" not in repr(request)
