"""Whole answers of Ollama's native API, and its errors."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import (
    Authentication,
    ContextWindowExceeded,
    InvalidRequest,
    LlmError,
    MalformedResponse,
    ModelNotFound,
    Overloaded,
    ProviderFailure,
    QuotaExhausted,
    RateLimited,
)
from caxton_llm.protocols import Restore, WireResponse
from caxton_llm.types import ChatResponse
from caxton_llm.wire import ollama_chat
from caxton_llm.wire.ollama_chat.encode import OllamaRestore


def answer(message: dict[str, Any] | None = None, **fields: Any) -> bytes:
    whole = {
        "model": "qwen3:8b",
        "created_at": "2026-08-21T10:00:00.123456789Z",
        "message": {"role": "assistant", "content": "Hello.", **(message or {})},
        "done": True,
        "done_reason": "stop",
        "total_duration": 512000000,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 130000000,
        "eval_count": 298,
    }
    return msgspec.json.encode({name: value for name, value in (whole | fields).items() if value is not None})


def decoded(body: bytes, restore: Restore | None = None) -> ChatResponse:
    return ollama_chat.decode_chat(body, restore or Restore())


def test_a_plain_answer() -> None:
    response = decoded(answer())
    assert response.text == "Hello."
    assert response.model == "qwen3:8b"
    assert response.created == 1787306400
    assert response.id.startswith("chatcmpl-")
    assert response.choices[0].finish_reason == "stop"
    assert response.choices[0].message.tool_calls is None
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens) == (
        26,
        298,
        324,
    )
    assert response.usage.reasoning_tokens is None
    assert response.warnings == []


def test_tool_calls_have_text_as_arguments_an_id_of_their_own_and_the_reason_tool_calls() -> None:
    calls = [
        {"function": {"name": "f", "arguments": {"x": 1, "big": 12345678901234567890123}}},
        {"id": "call_7", "function": {"index": 1, "name": "f", "arguments": {}}},
        {"function": {"name": "g"}},
        {"id": "", "function": {"name": "g", "arguments": '{"already": "text"}'}},
    ]
    body = answer({"content": "", "tool_calls": calls[1:]}).replace(
        b'"tool_calls":[',
        b'"tool_calls":[{"function":{"name":"f","arguments":{ "x" : 1, "big":12345678901234567890123}}},',
    )
    response = decoded(body)
    assert [call.function.arguments for call in response.tool_calls if call.function] == [
        '{"x":1,"big":12345678901234567890123}',
        "{}",
        "{}",
        '{"already": "text"}',
    ]
    ids = [call.id for call in response.tool_calls]
    assert ids[1] == "call_7"
    assert all(ids)
    assert len(set(ids)) == 4
    assert response.choices[0].finish_reason == "tool_calls"
    assert response.choices[0].message.content is None


def test_ids_of_calls_differ_from_answer_to_answer() -> None:
    call = {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    first = decoded(answer(call))
    second = decoded(answer(call, created_at="2026-08-21T10:00:00.123456790Z"))
    assert first.tool_calls[0].id != second.tool_calls[0].id
    assert decoded(answer(call)).tool_calls[0].id == first.tool_calls[0].id


@pytest.mark.parametrize(("said", "meant"), [("stop", "stop"), ("length", "length"), ("load", "stop"), (None, "stop")])
def test_reasons_of_the_end(said: str | None, meant: str) -> None:
    assert decoded(answer(done_reason=said)).choices[0].finish_reason == meant


def test_thinking_is_reasoning() -> None:
    message = decoded(answer({"thinking": "Hm."})).choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "Hello.")


def test_think_tags_are_taken_apart_where_the_entry_says_so() -> None:
    body = answer({"content": "<think>Hm.</think>Hello."})
    message = decoded(body, OllamaRestore(think_tags=True)).choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "Hello.")
    assert decoded(body).text == "<think>Hm.</think>Hello."


def test_counters_that_are_left_out_are_unknown_not_zero() -> None:
    usage = decoded(answer(prompt_eval_count=None)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (None, 298, None)
    assert decoded(answer(prompt_eval_count=None, eval_count=None)).usage is None


def test_log_probabilities_have_the_common_shape() -> None:
    entries = [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]
    assert decoded(answer(logprobs=entries)).choices[0].logprobs == {"content": entries, "refusal": None}


@pytest.mark.parametrize("created_at", ["", "yesterday", None])
def test_an_unreadable_time_is_unknown(created_at: str | None) -> None:
    assert decoded(answer(created_at=created_at)).created == 0


def test_times_with_an_offset_are_understood() -> None:
    assert decoded(answer(created_at="2026-08-21T12:00:00.5+02:00")).created == 1787306400


# -- silent truncation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counters", "text_bytes", "warned"),
    [
        ({"prompt_eval_count": 4000, "eval_count": 50}, 12_000, False),
        ({"prompt_eval_count": 4090, "eval_count": 1}, 12_000, True),
        ({"prompt_eval_count": 4000, "eval_count": 96}, 12_000, True),  # prompt and answer fill the window
        ({"prompt_eval_count": 2050, "eval_count": 10}, 6000, True),  # cut at half of the window and two
        ({"prompt_eval_count": 3000, "eval_count": 10}, 40_000, True),  # whole messages were left out
        ({"prompt_eval_count": 3500, "eval_count": 10}, 14_000, False),
        ({"prompt_eval_count": 30, "eval_count": 10}, 9000, False),  # old servers do not count what they remember
        ({"eval_count": 10, "prompt_eval_count": None}, 40_000, False),
    ],
)
def test_a_prompt_that_was_cut_is_told_about(counters: dict[str, Any], text_bytes: int, warned: bool) -> None:
    response = decoded(answer(**counters), OllamaRestore(context_window=4096, text_bytes=text_bytes))
    assert bool(response.warnings) is warned
    assert all("context_window" in warning and "4096" in warning for warning in response.warnings)


def test_without_a_known_window_nothing_is_guessed() -> None:
    assert decoded(answer(), OllamaRestore()).warnings == []


# -- what is no answer --------------------------------------------------------------------------------------------------


def failure(body: bytes) -> LlmError:
    with pytest.raises(LlmError) as caught:
        decoded(body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>proxy</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"model":"m","done":true}',
        b'{"message":{"content":["a"]},"done":true}',
        b'{"message":{"tool_calls":[{"function":{}}]},"done":true}',
        b'{"message":{"content":"\xff"},"done":true}',
        b'{"x":' + b"[" * 100_000,
        answer(done=False),
        answer()[:-20],
        answer() + answer(),
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    error = failure(body)
    assert type(error) is MalformedResponse
    assert "proxy" not in error.message


def test_an_error_inside_a_200_is_an_error() -> None:
    assert type(failure(b'{"error":"an error was encountered while running the model"}')) is ProviderFailure


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "model is required", InvalidRequest),
        (400, '"llama3" does not support tools', InvalidRequest),
        (400, '"llama3" does not support thinking', InvalidRequest),
        (
            400,
            "input length (9000 tokens) exceeds the model's maximum context length (8192 tokens)",
            ContextWindowExceeded,
        ),
        (500, "the prompt is longer than the context length currently available to the model", ContextWindowExceeded),
        (401, "unauthorized", Authentication),
        (402, "plan limit", QuotaExhausted),
        (404, "model 'x' not found", ModelNotFound),
        (404, 'model "x" not found, try pulling it first', ModelNotFound),
        (429, "too many requests", RateLimited),
        (500, "model requires more system memory (9 GiB) than is available (3 GiB)", ProviderFailure),
        (502, "upstream", ProviderFailure),
        (503, "server busy, please try again.  maximum pending requests exceeded", Overloaded),
    ],
)
def test_refusals_are_classified(status: int, text: str, kind: type[LlmError]) -> None:
    response = WireResponse(status=status, headers={}, body=msgspec.json.encode({"error": text}))
    error = ollama_chat.classify(response)
    assert type(error) is kind
    assert error.status == status
