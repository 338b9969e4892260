"""What a text API answers: whole answers and streams, and everything that is neither."""

from itertools import pairwise
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.errors import (
    Authentication,
    ContextWindowExceeded,
    InvalidRequest,
    LlmError,
    MalformedResponse,
    ProviderError,
    ProviderFailure,
    RateLimited,
    StreamInterrupted,
)
from caxton_llm.protocols import WireResponse
from caxton_llm.types import ChatChunk, ChatResponse
from caxton_llm.wire.text import TextApi, TextDialect
from caxton_llm.wire.text.answer import TextAnswers, TextRestore
from caxton_llm.wire.text.stream import TextStreamDecoder, TextStreamShape

RESTORE = TextRestore(model="custom-model-v1")
FULL = TextAnswers(
    text="result.text",
    error="fault.reason",
    finish="result.why",
    finish_map={"EOS": "stop", "LEN": "length", "BAD": "content_filter"},
    prompt_tokens="usage.in",
    completion_tokens="usage.out",
)


def decoded(
    body: Any, answers: TextAnswers | None = None, *, content_type: str = "application/json", status: int = 200
) -> ChatResponse:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    response = WireResponse(status=status, headers={"content-type": content_type}, body=raw)
    return TextDialect(TextApi(answers=answers or TextAnswers())).decode_response(response, RESTORE)


def failure(body: Any, answers: TextAnswers | None = None, **how: Any) -> LlmError:
    with pytest.raises(LlmError) as caught:
        decoded(body, answers, **how)
    return caught.value


# -- whole answers ------------------------------------------------------------------------------------------------------


def test_text_finish_and_usage_come_from_their_paths() -> None:
    response = decoded({"result": {"text": "Hi", "why": "LEN"}, "usage": {"in": 7, "out": 2}}, FULL)
    assert response.text == "Hi"
    assert response.model == "custom-model-v1"
    assert response.choices[0].finish_reason == "length"
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens) == (7, 2, 9)


@pytest.mark.parametrize(
    ("why", "meant"),
    [
        ("EOS", "stop"),
        ("BAD", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("odd", "stop"),
    ],
)
def test_reasons_are_mapped_by_the_configuration_first(why: str, meant: str) -> None:
    assert decoded({"result": {"text": "", "why": why}}, FULL).choices[0].finish_reason == meant


@pytest.mark.parametrize("usage", [{}, {"in": None, "out": "7"}, {"in": True}, {"in": -1}])
def test_usage_that_is_not_told_is_unknown(usage: dict[str, Any]) -> None:
    assert decoded({"result": {"text": "Hi"}, "usage": usage}, FULL).usage is None
    half = decoded({"result": {"text": "Hi"}, "usage": {"in": 7}}, FULL).usage
    assert half is not None
    assert (half.prompt_tokens, half.completion_tokens, half.total_tokens) == (7, None, None)


def test_a_list_of_texts_is_joined() -> None:
    assert decoded({"text": ["He", "llo"]}).text == "Hello"
    assert decoded([{"generated_text": "Hello"}], TextAnswers(text="0.generated_text")).text == "Hello"


def test_plain_text_is_the_answer_when_the_server_says_so_or_no_path_is_configured() -> None:
    assert decoded("Hé {not json".encode(), content_type="text/plain; charset=utf-8").text == "Hé {not json"
    assert decoded(b'{"a": 1}', content_type="text/plain").text == '{"a": 1}'
    assert decoded(b'{"text": "Hello"}', content_type="text/plain").text == "Hello"  # JSON under a wrong name
    assert decoded(b"Hello", TextAnswers(text="")).text == "Hello"
    assert decoded("Hello", TextAnswers(text="")).text == "Hello"  # a JSON string


def test_a_missing_text_names_the_path_and_the_keys_that_are_there() -> None:
    error = failure({"result": {"answer": "private"}}, FULL)
    assert type(error) is MalformedResponse
    assert "'result.text'" in error.message
    assert "answer" in error.message
    assert "private" not in error.message


@pytest.mark.parametrize("value", [None, 7, {"a": 1}, ["a", 1]])
def test_a_text_of_another_type_is_malformed(value: Any) -> None:
    error = failure({"text": value})
    assert type(error) is MalformedResponse
    assert "'text'" in error.message


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><html><title>Login</title>", b"plainly not JSON", b"", b'{"text":', b"\xff"]
)
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    error = failure(body)
    assert type(error) is MalformedResponse
    assert "plainly" not in error.message


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>Login</html>", b"\xff\xfe"])
def test_a_page_or_binary_is_no_plain_text(body: bytes) -> None:
    assert type(failure(body, TextAnswers(text=""), content_type="text/plain")) is MalformedResponse


def test_an_error_inside_a_200_is_an_error() -> None:
    assert (
        type(failure({"fault": {"reason": "prompt is too long"}, "result": {"text": ""}}, FULL))
        is not MalformedResponse
    )
    assert isinstance(failure({"error": {"message": "boom", "code": 429}}), RateLimited)
    assert type(failure({"error": "boom"})) is ProviderFailure
    assert decoded({"text": "fine", "error": "a field of its own"}).text == "fine"
    assert decoded({"text": "fine", "error": None}).text == "fine"
    assert isinstance(failure(b'{"error": "boom"}', content_type="text/plain"), ProviderFailure)


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"fault": {"reason": "prompt is too long"}}, ContextWindowExceeded),
        (400, {"title": "Bad request", "detail": "no", "status": 400, "type": "about:blank"}, InvalidRequest),
        (401, {"fault": {"reason": "no"}}, Authentication),
        (429, {"fault": {"reason": "slow down"}}, RateLimited),
        (500, "oops", ProviderFailure),
    ],
)
def test_refusals_are_classified_by_status_and_the_configured_error_field(
    status: int, body: Any, kind: type[LlmError]
) -> None:
    response = WireResponse(status=status, headers={"retry-after": "3"}, body=msgspec.json.encode(body))
    error = TextDialect(TextApi(answers=FULL)).classify(response)
    assert type(error) is kind
    assert error.status == status
    if isinstance(body, dict) and "fault" in body:
        assert body["fault"]["reason"] in error.message
    assert error.retry_after_s == 3.0


# -- streams ------------------------------------------------------------------------------------------------------------


class Told:
    """Everything that one stream told."""

    def __init__(self, chunks: list[ChatChunk], decoder: TextStreamDecoder) -> None:
        self.chunks = chunks
        self.failure: LlmError | None = decoder.failure
        self.done = decoder.done
        self.text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        self.reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


def told(shape: TextStreamShape, *parts: bytes, answers: TextAnswers | None = None) -> Told:
    api = TextApi(answers=answers or TextAnswers(text="token"), stream=shape)
    decoder = TextDialect(api).stream_decoder(RESTORE)
    chunks = [chunk for part in parts for chunk in decoder.feed(part)]
    return Told(chunks + decoder.close(), decoder)


def sse(*documents: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(document) + b"\n\n" for document in documents) + end


def ndjson(*documents: Any) -> bytes:
    return b"".join(msgspec.json.encode(document) + b"\n" for document in documents)


DELTAS = TextStreamShape(text="token")
LINES = TextStreamShape(text="token", format="ndjson", end="", end_field="last")
SSE_BODY = sse({"token": "Hé"}, {"other": 1}, {"token": "llo"}, {"token": ["!", "!"]})
LINES_BODY = ndjson({"token": "Hé"}, {"token": "llo"}, {"token": "!!", "last": True})


@pytest.mark.parametrize(("shape", "body"), [(DELTAS, SSE_BODY), (LINES, LINES_BODY)])
def test_pieces_are_joined_and_the_end_is_marked(shape: TextStreamShape, body: bytes) -> None:
    stream = told(shape, body)
    assert stream.text == "Héllo!!"
    assert stream.reasons == ["stop"]
    assert stream.failure is None
    assert stream.done
    assert [chunk.choices[0].delta.role for chunk in stream.chunks][:2] == ["assistant", None]
    assert {(chunk.id, chunk.model) for chunk in stream.chunks} == {(stream.chunks[0].id, "custom-model-v1")}


@pytest.mark.parametrize(("shape", "body"), [(DELTAS, SSE_BODY), (LINES, LINES_BODY)])
def test_one_byte_at_a_time_tells_the_same(shape: TextStreamShape, body: bytes) -> None:
    pieces = (body[place : place + 1] for place in range(len(body)))
    assert told(shape, *pieces).chunks == told(shape, body).chunks


@pytest.mark.parametrize(
    ("shape", "body", "end"), [(DELTAS, SSE_BODY, len(SSE_BODY)), (LINES, LINES_BODY, len(LINES_BODY) - 1)]
)
def test_a_stream_cut_anywhere_before_its_end_is_an_error(shape: TextStreamShape, body: bytes, end: int) -> None:
    for length in range(end):
        stream = told(shape, body[:length])
        assert type(stream.failure) is StreamInterrupted, length
        assert not stream.done
        assert stream.reasons == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=6),
    st.lists(st.integers(0, 10_000), max_size=10),
    st.sampled_from(["sse", "ndjson"]),
    st.sampled_from(["delta", "cumulative"]),
)
def test_cuts_between_bytes_never_change_a_stream(
    pieces: list[str],
    cuts: list[int],
    framing: Literal["sse", "ndjson"],
    mode: Literal["delta", "cumulative"],
) -> None:
    shape = TextStreamShape(text="token", format=framing, mode=mode, end_field="last")
    texts = pieces if mode == "delta" else ["".join(pieces[: count + 1]) for count in range(len(pieces))]
    documents = [{"token": text, "last": number == len(texts) - 1} for number, text in enumerate(texts)]
    body = sse(*documents) if framing == "sse" else ndjson(*documents)
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    parts = [body[begin:end] for begin, end in pairwise(places)]
    assert told(shape, *parts).chunks == told(shape, body).chunks
    assert told(shape, *parts).text == "".join(pieces)


def test_cumulative_texts_give_their_suffix() -> None:
    shape = TextStreamShape(text="token", mode="cumulative")
    stream = told(shape, sse({"token": "He"}, {"token": "He"}, {"token": "Hello"}))
    assert stream.text == "Hello"
    assert [chunk.choices[0].delta.content for chunk in stream.chunks] == ["He", "llo", None]


def test_a_replaced_text_is_an_error_not_a_repetition() -> None:
    stream = told(TextStreamShape(text="token", mode="cumulative"), sse({"token": "Hello"}, {"token": "Good day"}))
    assert stream.text == "Hello"
    assert type(stream.failure) is MalformedResponse
    assert "Good" not in stream.failure.message


def test_reason_and_usage_of_a_stream() -> None:
    shape = TextStreamShape(text="result.text")
    stream = told(
        shape,
        sse({"result": {"text": "Hi"}}, {"result": {"why": "LEN"}}, {"usage": {"in": 3, "out": 1}}),
        answers=FULL,
    )
    assert stream.reasons == ["length"]
    usage = stream.chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == 4
    assert told(DELTAS, SSE_BODY).chunks[-1].usage is None


def test_a_told_reason_is_an_end_even_without_the_marker() -> None:
    stream = told(
        TextStreamShape(text="result.text"), sse({"result": {"text": "Hi", "why": "EOS"}}, end=b""), answers=FULL
    )
    assert stream.failure is None
    assert stream.done
    assert stream.reasons == ["stop"]


def test_without_any_marker_the_end_of_the_body_is_the_end() -> None:
    shape = TextStreamShape(text="token", format="ndjson", end="")
    assert told(shape, ndjson({"token": "Hi"})).failure is None
    cut = told(shape, ndjson({"token": "Hi"}) + b'{"tok')
    assert type(cut.failure) is StreamInterrupted


def test_events_can_be_the_text_itself() -> None:
    shape = TextStreamShape(text="")
    stream = told(shape, b'data: Hel\n\ndata: lo\n\ndata:  you\n\ndata: "!"\n\ndata: [DONE]\n\n')
    assert stream.text == "Hello you!"
    nothing = told(shape, b"data: [DONE]\n\n")
    assert nothing.chunks[0].choices[0].delta.role == "assistant"
    assert nothing.reasons == ["stop"]


def test_a_marker_of_ones_own_ends_the_stream() -> None:
    shape = TextStreamShape(text="token", format="ndjson", end="END")
    stream = told(shape, ndjson({"token": "Hi"}) + b"END")
    assert stream.failure is None
    assert stream.done
    assert stream.text == "Hi"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'data: {"error":{"message":"boom","code":429}}\n\n', RateLimited),
        (b'data: {"fault":{"reason":"boom"}}\n\n', ProviderFailure),
        (b"event: error\ndata: boom\n\n", ProviderFailure),
        (b'event: error\ndata: {"message":"boom","type":"overloaded_error"}\n\n', ProviderError),
        (b"data: not json\n\n", MalformedResponse),
        (b'data: {"result":{"text":7}}\n\n', MalformedResponse),
    ],
)
def test_errors_inside_a_stream_end_it_after_what_came_before(event: bytes, kind: type[LlmError]) -> None:
    shape = TextStreamShape(text="result.text")
    stream = told(shape, sse({"result": {"text": "Hi"}}, end=event) + sse({"result": {"text": "more"}}), answers=FULL)
    assert stream.text == "Hi"
    assert isinstance(stream.failure, kind)
    assert not stream.done


def test_a_stream_without_the_text_names_the_path_and_the_keys_that_are_there() -> None:
    stream = told(DELTAS, sse({"delta": "private"}))
    assert type(stream.failure) is MalformedResponse
    assert "'token'" in stream.failure.message
    assert "delta" in stream.failure.message
    assert "private" not in stream.failure.message
    assert type(told(DELTAS, b"data: [DONE]\n\n").failure) is MalformedResponse


def test_a_whole_answer_instead_of_a_stream_is_taken() -> None:
    stream = told(DELTAS, b' {"tok', b'en":"Hello"}')
    assert stream.text == "Hello"
    assert stream.failure is None
    assert stream.done
    assert stream.reasons == ["stop"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"error":{"message":"boom","code":429}}', RateLimited), (b"<html>proxy</html>", MalformedResponse)],
)
def test_an_error_or_a_page_instead_of_a_stream_is_what_it_is(body: bytes, kind: type[LlmError]) -> None:
    assert type(told(DELTAS, body).failure) is kind


def test_nothing_is_read_after_the_end_or_a_failure() -> None:
    assert told(DELTAS, SSE_BODY, sse({"token": "more"})).text == "Héllo!!"
    assert told(DELTAS, b"data: garbage\n\n", SSE_BODY).text == ""
