"""vLLM: its own parameters, its endpoints, and the command line of a server that fits."""

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from caxton_llm import Caxton
from caxton_llm.errors import MalformedResponse, ModelNotFound, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import ProviderAdapter, Quirks
from caxton_llm.providers import vllm
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.types import ChatRequest, FunctionDefinition, Message, RequestSource, Tool
from caxton_llm.wire.openai_chat import client as openai_chat_client
from fakes import FakeVllm

INFO = ModelInfo(id="org/model", provider="vllm")
USER = {"role": "user", "content": "hi"}


def entry(**fields: Any) -> ProviderSettings:
    return ProviderSettings(provider="vllm", model="org/model", **fields)


def from_client(**fields: Any) -> ChatRequest:
    return openai_chat_client.decode_request(
        json.dumps({"model": "org/model", "messages": [USER], **fields}).encode(), {}
    )


def from_library(**fields: Any) -> ChatRequest:
    return ChatRequest(model="org/model", messages=[Message(role="user", content="hi")], extra=fields)


def opened(request: ChatRequest, **fields: Any) -> tuple[Any, Any]:
    info = replace(INFO, server_version=fields.get("api_version"))
    exchange = vllm.adapter(entry(**fields)).open(request, info, stream=False)
    return json.loads(exchange.request.body), exchange.params


def test_the_block_of_the_specification_reaches_the_server_without_what_describes_it() -> None:
    adapter: ProviderAdapter = vllm.adapter(
        entry(
            base_url="http://localhost:8000/v1",
            max_tokens=4096,
            temperature=0.7,
            tensor_parallel_size=2,
            context_window=8192,
        )
    )
    sent = adapter.open(from_library(), INFO, stream=False).request
    assert (str(sent.origin), sent.path) == ("http://localhost:8000", "/v1/chat/completions")
    assert json.loads(sent.body) == {
        "model": "org/model",
        "messages": [USER],
        "temperature": 0.7,
        "max_tokens": 4096,
    }


@pytest.mark.parametrize("make", [from_client, from_library])
def test_vllms_own_parameters_pass_through(make: Any) -> None:
    own = {
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "stop_token_ids": [1, 2],
        "chat_template_kwargs": {"enable_thinking": False},
        "structured_outputs": {"regex": "a+"},
        "priority": 0,
        "vllm_xargs": {"a": 1},
    }
    body, params = opened(make(**own))
    assert {name: body[name] for name in own} == own
    assert (params.mapped, params.dropped) == ({}, {})


@pytest.mark.parametrize("make", [from_client, from_library])
def test_removed_guided_fields_become_structured_outputs_and_are_reported(make: Any) -> None:
    body, params = opened(
        make(guided_json={"type": "object"}, guided_whitespace_pattern=" ", guided_decoding_backend="x")
    )
    assert body["structured_outputs"] == {"json": {"type": "object"}, "whitespace_pattern": " "}
    assert not [name for name in body if name.startswith("guided_")]
    assert params.mapped == {
        "guided_json": "structured_outputs.json",
        "guided_whitespace_pattern": "structured_outputs.whitespace_pattern",
    }
    assert set(params.dropped) == {"guided_decoding_backend"}


def test_the_clients_request_is_not_changed_by_that() -> None:
    request = from_client(guided_choice=["a", "b"])
    opened(request)
    assert request.source is not None
    assert set(request.source.fields) == {"model", "messages", "guided_choice"}


def test_todays_field_wins_over_the_removed_one() -> None:
    body, params = opened(from_client(guided_regex="b+", structured_outputs={"regex": "a+"}))
    assert body["structured_outputs"] == {"regex": "a+"}
    assert set(params.dropped) == {"guided_regex"}


@pytest.mark.parametrize("make", [from_client, from_library])
@pytest.mark.parametrize("version", ["0.10.2", "v0.9.1", "0.8.5.post1"])
def test_a_server_before_structured_outputs_gets_the_fields_that_it_knows(make: Any, version: str) -> None:
    body, params = opened(make(guided_json={"type": "object"}), api_version=version)
    assert body["guided_json"] == {"type": "object"}
    assert "structured_outputs" not in body
    assert (params.mapped, params.dropped) == ({}, {})
    body, params = opened(make(structured_outputs={"regex": "a+", "structural_tag": "t"}), api_version=version)
    assert body["guided_regex"] == "a+"
    assert "structured_outputs" not in body
    assert params.mapped == {"structured_outputs.regex": "guided_regex"}
    assert set(params.dropped) == {"structured_outputs.structural_tag"}


@pytest.mark.parametrize("version", ["0.11.0", "0.11.0rc1", "0.30.0", "1.0", "dev"])
def test_any_other_version_gets_todays_form(version: str) -> None:
    body, _ = opened(from_client(guided_json={"type": "object"}), api_version=version)
    assert body["structured_outputs"] == {"json": {"type": "object"}}


@pytest.mark.parametrize("configured", [None, "0.30.0"])
async def test_the_version_is_learned_where_the_model_is_and_the_configuration_knows_better(
    configured: str | None,
) -> None:
    async with FakeVllm(version="0.10.2") as fake:
        settings = {"provider": "vllm", "base_url": fake.base_url, "api_key": fake.api_key}
        if configured is not None:
            settings["api_version"] = configured
        model = next(iter(fake.models))
        request = from_library(guided_choice=["a", "b"])
        async with Caxton.from_dict({"llm": {**settings, "model": model}}, environ={}) as caxton:
            await caxton.complete_chat(replace(request, model="default"))
            info = await caxton.get_model_info("default")
            await caxton.complete_chat(replace(request, model="default"))
        sent = [json.loads(received.body) for received in fake.requests if received.method == "POST"]
    assert info.server_version == (configured or "0.10.2")
    assert "structured_outputs" in sent[0]
    assert ("guided_choice" in sent[1]) is (configured is None)
    assert [received.method for received in fake.requests] == ["POST", "GET", "GET", "POST"]


def test_strict_refuses_a_field_that_has_no_successor() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        opened(from_client(guided_decoding_backend="x"), parameters="strict")
    assert caught.value.param == "guided_decoding_backend"


def test_functions_are_refused_because_the_server_would_ignore_them() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        opened(from_client(functions=[{"name": "f", "parameters": {"type": "object"}}]))
    assert caught.value.param == "functions"


def test_parameters_that_other_dialects_share_are_sent() -> None:
    request = ChatRequest(
        model="org/model",
        messages=[Message(role="user", content="hi")],
        extra={"top_k": msgspec.Raw(b"5"), "thinking": {"type": "enabled"}},
        source=RequestSource("anthropic_messages", {}),
    )
    body, params = opened(request)
    assert body["top_k"] == 5
    assert set(params.dropped) == {"thinking"}


@pytest.mark.parametrize("request_of", ["client", "library"])
def test_neighbours_of_one_role_are_one_message_because_templates_demand_alternating_roles(request_of: str) -> None:
    turns = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER, {**USER, "content": "you"}]
    if request_of == "client":
        request = from_client(messages=turns)
    else:
        request = ChatRequest(model="org/model", messages=msgspec.convert(turns, list[Message]))
    body, params = opened(request)
    assert body["messages"] == [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "hi\n\nyou"}]
    assert params.mapped == {"messages": "neighbouring messages of one role are sent as one"}
    body, params = opened(request, quirks=Quirks(merge_turns=False))
    assert (body["messages"], params.mapped) == (turns, {})


def test_the_limit_is_max_tokens_unless_a_quirk_says_otherwise() -> None:
    assert opened(from_client(max_completion_tokens=5))[0]["max_tokens"] == 5
    body, _ = opened(from_client(max_tokens=5), quirks=Quirks(output_limit_field="max_completion_tokens"))
    assert body["max_completion_tokens"] == 5


@pytest.mark.parametrize("url", ["http://gpu:9000/v1", "http://gpu:9000", "http://gpu:9000/v1/"])
def test_health_version_and_tokenize_are_beside_v1(url: str) -> None:
    adapter = vllm.adapter(entry(base_url=url))
    assert adapter.probe().path == "/health"
    assert adapter.version_request().path == "/version"
    assert adapter.model_info_request("org/model").path == "/v1/models"
    assert adapter.count_request(from_library(), INFO).path == "/tokenize"


def test_the_version_is_read() -> None:
    adapter = vllm.adapter(entry())
    assert adapter.decode_version(b'{"version":"0.30.0"}') == "0.30.0"
    with pytest.raises(MalformedResponse):
        adapter.decode_version(b"<html>")


def test_the_window_is_what_the_server_was_started_with() -> None:
    body = {
        "object": "list",
        "data": [
            {"id": "adapter-1", "object": "model", "parent": "org/model", "max_model_len": 40960},
            {"id": "org/model", "object": "model", "owned_by": "vllm", "parent": None, "max_model_len": 40960},
        ],
    }
    found = vllm.adapter(entry()).decode_model_info("org/model", json.dumps(body).encode())
    assert (found.context_window, found.sources) == (40960, {"context_window": "provider"})
    with pytest.raises(ModelNotFound):
        vllm.adapter(entry()).decode_model_info("something else", json.dumps(body).encode())


def test_the_server_counts_the_prompt_with_its_tools() -> None:
    adapter = vllm.adapter(entry())
    request = ChatRequest(
        model="org/model",
        messages=[Message(role="user", content="hi")],
        tools=[Tool(type="function", function=FunctionDefinition(name="f"))],
        temperature=0.5,
        extra={"chat_template_kwargs": {"enable_thinking": False}},
    )
    body = json.loads(adapter.count_request(request, INFO).body)
    assert set(body) == {"model", "messages", "tools", "chat_template_kwargs"}
    assert adapter.decode_count(b'{"count":12,"max_model_len":40960,"tokens":[1]}') == 12
    with pytest.raises(MalformedResponse):
        adapter.decode_count(b'{"tokens":[]}')


def test_the_key_is_a_bearer_token_where_there_is_one() -> None:
    assert vllm.credentials(entry(), "k").headers(0.0) == (("authorization", "Bearer k"),)
    assert vllm.credentials(entry(), None).headers(0.0) == ()


def test_the_command_line_fits_the_block_and_shows_no_key() -> None:
    command = vllm.serve_command(
        entry(base_url="http://gpu:9000/v1", tensor_parallel_size=2, context_window=8192, api_key="secret")
    )
    first = command.splitlines()[0]
    assert (
        first
        == 'vllm serve org/model --port 9000 --tensor-parallel-size 2 --max-model-len 8192 --api-key "$VLLM_API_KEY"'
    )
    assert "secret" not in command
    assert vllm.serve_command(entry()).splitlines()[0] == "vllm serve org/model"
