"""Odd requests: valid JSON with numbers that no type holds, and text that is none. The caller's mistake, never a crash."""

from typing import Any

import pytest

from caxton_llm.caxton import Caxton
from caxton_llm.errors import InvalidRequest
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import EncodeOptions, ProviderDialect, Quirks
from caxton_llm.types import ChatRequest, Message
from caxton_llm.wire import anthropic_messages, ollama_chat, openai_chat
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.stream import TextStreamShape

HUGE = (b"1e999", b"1" * 5000)
DIALECTS: list[ProviderDialect] = [
    openai_chat,
    anthropic_messages,
    ollama_chat,
    TextDialect(TextApi(stream=TextStreamShape())),
]


def encode(request: ChatRequest, dialect: ProviderDialect = openai_chat, quirks: Quirks | None = None) -> bytes:
    model = ModelInfo(id="m-1", provider="p")
    options = EncodeOptions(model=model, send_model="m-1", quirks=quirks or Quirks())
    return dialect.encode_chat(request, options, stream=True).body


def refused(body: bytes, quirks: Quirks | None = None) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        encode(openai_client.decode_request(body, {}), quirks=quirks)
    assert b"1111" not in caught.value.message.encode()
    return caught.value.param


@pytest.mark.parametrize("number", HUGE, ids=["exponent", "digits"])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"messages":[{"role":"user","content":"q"}],"top_k":%s}', "top_k"),
        (b'{"messages":[{"role":"user","content":"q"}],"odd":{"a":[0,{"b":%s}]}}', "odd.a[1].b"),
        (
            b'{"messages":[{"role":"user","content":"q"},{"role":"developer","content":"d","odd":%s}]}',
            "messages[1].odd",
        ),
        (b'{"messages":[{"role":"user","content":"q","odd":%s},{"role":"user","content":"r"}]}', "messages[0].odd"),
        (
            b'{"messages":[{"role":"user","content":"q","odd":%s},{"role":"user","content":"r"},'
            b'{"role":"developer","content":"d"}]}',
            "messages[0].odd",
        ),
        (
            b'{"messages":[{"role":"user","content":"q"}],"tools":'
            b'[{"type":"function","odd":%s,"cache_control":{"type":"ephemeral"},"function":{"name":"f"}}]}',
            "tools[0].odd",
        ),
        (
            b'{"messages":[{"role":"user","content":"q"}],"stream":true,"stream_options":{"odd":%s}}',
            "stream_options.odd",
        ),
    ],
)
def test_a_number_that_no_type_holds_is_named_by_its_path(body: bytes, path: str, number: bytes) -> None:
    assert refused(body % number, Quirks(merge_turns=True, system_role="system")) == path


def test_a_message_that_stays_as_it_is_is_not_looked_into() -> None:
    body = b'{"messages":[{"role":"user","content":"q","odd":1e999}]}'
    assert b'"odd":1e999' in encode(openai_client.decode_request(body, {}))


@pytest.mark.parametrize("number", HUGE, ids=["exponent", "digits"])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            b'"messages":[{"role":"user","content":"q","odd":%s},'
            b'{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"text","text":"a"}]},'
            b'{"role":"user","content":"r"}]',
            "messages",
        ),
        (
            b'"messages":[{"role":"user","content":"q"}],"output_config":{"format":'
            b'{"type":"json_schema","schema":{"type":"object"},"odd":%s}}',
            "output_config.format.odd",
        ),
    ],
)
def test_a_forwarded_anthropic_request_is_read_with_the_same_care(fields: bytes, param: str, number: bytes) -> None:
    request = anthropic_client.decode_request(b'{"model":"m","max_tokens":9,' + fields % number + b"}", {})
    with pytest.raises(InvalidRequest) as caught:
        encode(request, anthropic_messages)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        ({"type": "function", "function": {"name": ["a.b"]}}, "tool_choice.function.name"),
        ({"type": "function", "function": {"name": {}}}, "tool_choice.function.name"),
        ({"type": "custom", "custom": {"name": 5}}, "tool_choice.custom.name"),
        ({"type": "allowed_tools", "allowed_tools": {"tools": 5}}, "tool_choice.allowed_tools.tools"),
    ],
)
def test_a_tool_choice_that_names_no_tool_is_refused(choice: dict[str, Any], path: str) -> None:
    tool = {"type": "function", "function": {"name": "needs.another/name"}}
    request = {"messages": [{"role": "user", "content": "q"}], "tools": [tool], "tool_choice": choice}
    with pytest.raises(InvalidRequest) as caught:
        Caxton.from_dict({"llm": {"provider": "builtin"}}).stream_chat(**request)
    assert caught.value.param == path


def test_an_odd_tool_choice_of_the_librarys_is_sent_as_it_is() -> None:
    for choice in ({"function": {"name": ["a.b"]}}, {"allowed_tools": {"tools": 5}}):
        request = openai_client.decode_request(
            b'{"messages":[{"role":"user","content":"q"}],"tools":[{"type":"function","function":{"name":"a.b"}}]}', {}
        )
        request.tool_choice, request.source = choice, None
        assert b'"tool_choice"' in encode(request)


@pytest.mark.parametrize("dialect", DIALECTS, ids=["openai", "anthropic", "ollama", "text"])
def test_half_a_surrogate_pair_is_the_callers_mistake_in_every_dialect(dialect: ProviderDialect) -> None:
    with pytest.raises(InvalidRequest, match="surrogate"):
        encode(ChatRequest(messages=[Message(role="user", content="\ud83d")]), dialect)


async def test_half_a_surrogate_pair_is_the_callers_mistake_in_the_library() -> None:
    async with Caxton.from_dict({"llm": {"provider": "builtin"}}) as caxton:
        with pytest.raises(InvalidRequest, match="surrogate"):
            await caxton.complete_chat(messages=[{"role": "user", "content": "\ud83d"}])
        with pytest.raises(InvalidRequest, match="surrogate"):
            await caxton.complete_chat(ChatRequest(messages=[Message(role="user", content="\ud83d")]))
