"""Good requests spoiled in any place, for any provider: served or refused in the client's dialect, never a 5xx."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agreeable import ANTHROPIC, COUNT, KINDS, OPENAI, agreeable_gateway, body_of, checked
from fakes import TINY_PNG
from live_gateway import LiveGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[LiveGateway]:
    async with agreeable_gateway() as running:
        yield running


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [CALL]}
USER = {"role": "user", "content": "hello"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CACHED = {"cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eA=="}

OPENAI_TURNS: list[list[Any]] = [
    [{"role": "system", "content": "Be brief."}],
    [{"role": "developer", "content": [{"type": "text", "text": "Be brief.", **CACHED}]}],
    [USER],
    [
        {
            "role": "user",
            "name": "me",
            "content": [{"type": "text", "text": "a", **CACHED}, {"type": "text", "text": "b"}],
        }
    ],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TINY_PNG}"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://x.invalid/a.png", "detail": "low"}}],
        }
    ],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"}}],
        }
    ],
    [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "thinking_blocks": [THOUGHT, REDACTED]}],
    [{"role": "assistant", "content": [{"type": "text", "text": "Hi"}], "refusal": None}],
    [{"role": "assistant", "refusal": "No."}],
    [ASSISTANT, {"role": "tool", "tool_call_id": "c1", "content": "1"}],
    [
        {
            **ASSISTANT,
            "tool_calls": [CALL, {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "[1"}}],
        },
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ],
    [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
]
OPENAI_FIELDS: dict[str, list[Any]] = {
    "max_completion_tokens": [5],
    "temperature": [0, 0.5],
    "top_p": [1],
    "stop": ["x", ["x", "y"]],
    "n": [1, 2],
    "seed": [1],
    "logprobs": [True],
    "logit_bias": [{"5": 1}],
    "user": ["u"],
    "metadata": [{"a": "b"}],
    "reasoning_effort": ["none", "low", "high"],
    "verbosity": ["low"],
    "service_tier": ["auto"],
    "parallel_tool_calls": [False],
    "tools": [[{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}, **CACHED}]],
    "tool_choice": ["auto", "none", "required", {"type": "function", "function": {"name": "f"}}],
    "response_format": [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
    ],
    "functions": [[{"name": "f", "parameters": SCHEMA}]],
    "function_call": ["auto", {"name": "f"}],
    "stream": [True],
    "top_k": [5],
    "thinking": [{"type": "enabled", "budget_tokens": 1024}],
    "guided_json": [SCHEMA],
    "options": [{"num_ctx": 100}],
    "keep_alive": ["5m"],
    "x_unknown": [{"a": 1}],
}
ANTHROPIC_TURNS: list[list[Any]] = [
    [USER],
    [{"role": "user", "content": [{"type": "text", "text": "a", **CACHED}, {"type": "text", "text": "b"}]}],
    [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TINY_PNG}}],
        }
    ],
    [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x.invalid/a.png"}}]}],
    [
        {
            "role": "user",
            "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}],
        }
    ],
    [{"role": "user", "content": [{"type": "document", "title": "t", "source": {"type": "file", "file_id": "f"}}]}],
    [{"role": "system", "content": "Be brief."}],
    [{"role": "assistant", "content": "Hi"}],
    [{"role": "assistant", "content": [THOUGHT, REDACTED, {"type": "text", "text": "Hi", "citations": None}]}],
    [{"role": "assistant", "content": [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}]}],
    [
        USE,
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1", "is_error": True}]},
    ],
    [
        USE,
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "1", **CACHED}]},
                {"type": "text", "text": "and?"},
            ],
        },
    ],
]
ANTHROPIC_FIELDS: dict[str, list[Any]] = {
    "system": ["Be brief.", [{"type": "text", "text": "Be brief.", **CACHED}]],
    "temperature": [0, 0.5],
    "top_p": [1],
    "top_k": [5],
    "stop_sequences": [["x"]],
    "metadata": [{"user_id": "u"}],
    "tools": [
        [{"name": "f", "input_schema": SCHEMA, **CACHED}],
        [{"type": "web_search_20250305", "name": "web_search"}],
    ],
    "tool_choice": [
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "any"},
        {"type": "tool", "name": "f"},
    ],
    "thinking": [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}, {"type": "disabled"}],
    "output_config": [{"effort": "low"}, {"format": {"type": "json_schema", "schema": SCHEMA}}],
    "service_tier": ["auto"],
    "stream": [True],
    "container": ["c"],
    "x_unknown": [{"a": 1}],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key of it, at any depth."""
    found: list[tuple[Any, Any]] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += [(value, key), *places_in(item)]
    return found


@st.composite
def requests_to(draw: st.DrawFn, path: str) -> dict[str, Any]:
    """A good request with up to two places spoiled: another value, or none."""
    turns, fields = (OPENAI_TURNS, OPENAI_FIELDS) if path == OPENAI else (ANTHROPIC_TURNS, ANTHROPIC_FIELDS)
    chosen = draw(st.lists(st.sampled_from(turns), max_size=3))
    body = body_of(path, messages=[USER, *(message for turn in chosen for message in turn)])
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True)):
        body[name] = draw(st.sampled_from(fields[name]))
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(0, 2))):
        container, key = draw(st.sampled_from(places_in(body)))
        if draw(st.booleans()):
            container[key] = draw(JSON)
        else:
            del container[key]
        if not body:
            break
    return {**body, "model": draw(st.sampled_from(["builtin", *KINDS]))}


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_whatever_comes_is_served_or_refused_but_never_breaks(
    http: httpx.AsyncClient, path: str, data: st.DataObject
) -> None:
    response = await http.post(path, content=json.dumps(data.draw(requests_to(path))).encode())
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        checked(response, path, response.status_code)
