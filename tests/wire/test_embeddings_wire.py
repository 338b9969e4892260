"""Embeddings over HTTP as bytes: what is sent, and which answers are believed."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import LlmError, MalformedResponse, ProviderError
from caxton_llm.wire.embeddings import EmbeddingDialect, decode_embeddings, encode_embeddings


def openai_answer(*vectors: object, indexes: list[int] | None = None) -> bytes:
    numbers = indexes if indexes is not None else range(len(vectors))
    return json.dumps({"data": [{"index": n, "embedding": v} for n, v in zip(numbers, vectors, strict=True)]}).encode()


def ollama_answer(*vectors: object) -> bytes:
    return json.dumps({"model": "m", "embeddings": vectors}).encode()


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_a_request_has_the_texts_and_dimensions_only_where_they_are_asked_for() -> None:
    body = json.loads(encode_embeddings("openai", ["a", "b"], model="m", dimensions=5))
    assert body == {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 5}
    assert json.loads(encode_embeddings("ollama", ["a"], model="m")) == {"model": "m", "input": ["a"]}


@given(st.text())
def test_any_text_can_be_sent(text: str) -> None:
    (sent,) = json.loads(encode_embeddings("openai", [text], model="m"))["input"]
    assert sent == text.encode("utf-8", "replace").decode()


def test_half_a_character_becomes_a_question_mark() -> None:
    assert json.loads(encode_embeddings("ollama", ["half \ud800"], model="m"))["input"] == ["half ?"]


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=5), st.randoms())
def test_vectors_come_back_in_the_order_of_the_texts_whatever_the_order_of_the_answer(
    vectors: list[list[float]], chance: object
) -> None:
    order = list(range(len(vectors)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    told = openai_answer(*(vectors[number] for number in order), indexes=order)
    for body, dialect in ((told, "openai"), (ollama_answer(*vectors), "ollama")):
        rows = decode_embeddings(dialect, body, count=len(vectors))  # type: ignore[arg-type]
        assert rows.dtype == np.float32
        assert rows.tolist() == vectors


def test_base64_is_read_and_an_answer_without_indexes_is_taken_in_its_order() -> None:
    body = json.dumps({"data": [{"embedding": packed(1, 2)}, {"embedding": [3, 4]}]}).encode()
    assert decode_embeddings("openai", body, count=2).tolist() == [[1, 2], [3, 4]]


BAD: list[tuple[EmbeddingDialect, bytes, str]] = [
    ("openai", b"", "not what the API promises"),
    ("openai", b"<html><title>Sign in</title></html>", "an HTML page"),
    ("openai", b"\xff\xfe", "not what the API promises"),
    ("openai", b"[" * 100_000, "not what the API promises"),
    ("openai", b"{}", "no 'data'"),
    ("ollama", b'{"embedding": [1]}', "no 'embeddings'"),
    ("openai", openai_answer(), "0 vectors for 1 texts"),
    ("openai", openai_answer([1.0], [1.0]), "indexes are not those"),
    ("ollama", ollama_answer([1.0], [1.0]), "2 vectors for 1 texts"),
    ("openai", openai_answer([1.0], indexes=[7]), "indexes are not those"),
    ("openai", openai_answer([]), "differ in length"),
    ("openai", b'{"data": [{"index": 0, "embedding": [NaN]}]}', "not what the API promises"),
    ("openai", openai_answer(packed(float("nan"), 1.0)), "not finite"),
    ("ollama", b'{"embeddings": [[1e300]]}', "not finite"),
    ("ollama", b'{"embeddings": [[1, null]]}', "not what the API promises"),
    ("openai", openai_answer("no base64!"), "not base64"),
    ("openai", openai_answer("AAA="), "not base64"),
]


@pytest.mark.parametrize(("dialect", "body", "message"), BAD, ids=range(len(BAD)))
def test_an_answer_that_cannot_be_right_is_refused(dialect: EmbeddingDialect, body: bytes, message: str) -> None:
    with pytest.raises(MalformedResponse, match=message):
        decode_embeddings(dialect, body, count=1)


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(MalformedResponse, match="differ in length: 1, 2 numbers"):
        decode_embeddings("ollama", ollama_answer([1.0], [1.0, 2.0]), count=2)


def test_an_error_inside_an_answer_is_that_error() -> None:
    body = b'{"error": {"message": "busy", "type": "overloaded_error"}}'
    with pytest.raises(ProviderError, match="no capacity"):
        decode_embeddings("openai", body, count=1)


@given(st.binary(max_size=200), st.sampled_from(["openai", "ollama"]))
def test_whatever_comes_is_vectors_or_an_error_of_this_package(body: bytes, dialect: EmbeddingDialect) -> None:
    try:
        rows = decode_embeddings(dialect, body, count=1)
    except LlmError:
        return
    assert rows.shape[0] == 1
    assert np.isfinite(rows).all()
