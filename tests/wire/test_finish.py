"""A reason for the end of an answer that nobody knows counts as a natural end, and the caller is told of it."""

from typing import Any

import msgspec
import pytest

from caxton_llm.protocols import Restore, StreamDecoder
from caxton_llm.types import ChatResponse
from caxton_llm.wire import ollama_chat, openai_chat
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.answer import TextAnswers
from caxton_llm.wire.text.stream import TextStreamShape

TEXT = TextDialect(TextApi(answers=TextAnswers(finish="why", finish_map={"LEN": "length"}), stream=TextStreamShape()))
DIALECTS = pytest.mark.parametrize("dialect", [openai_chat, ollama_chat, TEXT], ids=["openai", "ollama", "text"])


def whole(dialect: Any, reason: str) -> ChatResponse:
    message = {"role": "assistant", "content": "Hi"}
    body = {
        "openai_chat": {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": reason}]},
        "ollama_chat": {"model": "m", "message": message, "done": True, "done_reason": reason},
        "text": {"text": "Hi", "why": reason},
    }[dialect.name]
    response: ChatResponse = dialect.decode_chat(msgspec.json.encode(body), Restore())
    return response


def streamed(dialect: Any, reason: str) -> Any:
    encode = msgspec.json.encode
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": reason}
    body = {
        "openai_chat": b"data: " + encode({"id": "1", "choices": [choice]}) + b"\n\ndata: [DONE]\n\n",
        "ollama_chat": encode({"message": {"content": "Hi"}, "done": True, "done_reason": reason}) + b"\n",
        "text": b"data: " + encode({"text": "Hi", "why": reason}) + b"\n\ndata: [DONE]\n\n",
    }[dialect.name]
    decoder: StreamDecoder = dialect.stream_decoder(Restore())
    chunks = decoder.feed(body) + decoder.close()
    assert decoder.failure is None
    assert "stop" in [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return decoder


@DIALECTS
def test_an_unknown_reason_is_told_and_a_usual_one_is_not(dialect: Any) -> None:
    response = whole(dialect, "coffee_break")
    assert response.choices[0].finish_reason == "stop"
    (warning,) = response.warnings
    assert "'coffee_break'" in warning
    assert streamed(dialect, "coffee_break").warnings == [warning]
    for usual in ("stop", "STOP", "eos", ""):
        assert whole(dialect, usual).warnings == []
    assert streamed(dialect, "stop").warnings == []


def test_a_reason_that_the_configuration_explains_is_known() -> None:
    assert whole(TEXT, "LEN").warnings == []


def test_a_reason_is_shown_short_and_in_plain_letters() -> None:
    (warning,) = whole(openai_chat, "ü\n" * 100).warnings
    assert warning.isascii()
    assert "\n" not in warning
    assert len(warning) < 300
