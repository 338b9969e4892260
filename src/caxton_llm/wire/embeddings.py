"""Embeddings over HTTP, two dialects: OpenAI's `/v1/embeddings`, which many servers speak, and Ollama's `/api/embed`.

Pure: a list of texts becomes the body of a request, the body of an answer a matrix with a row for each text. An answer is
believed only when it has one vector for each text, all of one length and all finite.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Literal, TypeVar, cast

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from caxton_llm.errors import MalformedResponse
from caxton_llm.resolved import resolved
from caxton_llm.types import Json
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["EmbeddingDialect", "decode_embeddings", "encode_embeddings"]

EmbeddingDialect = Literal["openai", "ollama"]
Matrix = NDArray[np.float32]

_ENDPOINTS: dict[EmbeddingDialect, str] = {"openai": "/v1/embeddings", "ollama": "/api/embed"}


class _Item(Struct):
    """One vector of OpenAI's answer. Numbers, or base64 of little-endian floats, which some servers send unasked."""

    embedding: list[float] | str
    index: int | None = None


@resolved
class _OpenAI(Struct):
    data: list[_Item] | None = None
    error: Json = None


@resolved
class _Ollama(Struct):
    embeddings: list[list[float]] | None = None
    error: Json = None


_Answer = TypeVar("_Answer", _OpenAI, _Ollama)


def encode_embeddings(
    dialect: EmbeddingDialect, texts: Sequence[str], *, model: str, dimensions: int | None = None
) -> bytes:
    """The body of a request. A half character, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    sound = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    body: dict[str, Json] = {"model": model, "input": sound}
    if dialect == "openai":
        body["encoding_format"] = "float"
    if dimensions is not None:
        body["dimensions"] = dimensions
    return msgspec.json.encode(body)


def decode_embeddings(dialect: EmbeddingDialect, body: bytes, *, count: int) -> Matrix:
    """`count` rows in the order of the texts, as the server gave them. Raises `MalformedResponse`, which says what is wrong
    and quotes nothing, or what an error inside the answer means."""
    rows = _openai_rows(body, count) if dialect == "openai" else _ollama_rows(body)
    if len(rows) != count:
        raise MalformedResponse(f"the answer has {len(rows)} vectors for {count} texts")
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1 or not lengths[0]:
        raise MalformedResponse(
            f"the vectors of one answer differ in length: {', '.join(map(str, lengths[:5]))} numbers"
        )
    with np.errstate(over="ignore"):  # what does not fit is found by the next line
        matrix = np.asarray(rows, np.float32)
    if not np.isfinite(matrix).all():
        raise MalformedResponse("a vector of the answer has a number that is not finite")
    return matrix


def _openai_rows(body: bytes, count: int) -> list[Sequence[float]]:
    answer = _read(body, _OpenAI, "openai")
    items = answer.data
    if items is None:
        raise _without_vectors(answer.error, "data", "openai")
    if any(item.index is not None for item in items):
        if sorted(-1 if item.index is None else item.index for item in items) != list(range(count)):
            raise MalformedResponse(f"the answer's indexes are not those of {count} texts")
        items = sorted(items, key=lambda item: item.index or 0)
    return [_floats(item.embedding) if isinstance(item.embedding, str) else item.embedding for item in items]


def _ollama_rows(body: bytes) -> list[Sequence[float]]:
    answer = _read(body, _Ollama, "ollama")
    if answer.embeddings is None:
        raise _without_vectors(answer.error, "embeddings", "ollama")
    return list(answer.embeddings)


def _read(body: bytes, kind: type[_Answer], dialect: EmbeddingDialect) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE:
        found = describe_html(body) or "not what the API promises"
        message = f"the answer of {_ENDPOINTS[dialect]} is {found}; check base_url and model"
        raise MalformedResponse(message) from None


def _without_vectors(error: Json, field: str, dialect: EmbeddingDialect) -> Exception:
    if error:
        return classify_error_value(error)
    return MalformedResponse(f"the answer of {_ENDPOINTS[dialect]} has no {field!r}; check base_url and model")


def _floats(text: str) -> Sequence[float]:
    try:
        packed = base64.b64decode(text, validate=True)
        return cast("list[float]", np.frombuffer(packed, "<f4").tolist())
    except (binascii.Error, ValueError):
        raise MalformedResponse("a vector of the answer is text, and not base64 of 32-bit numbers") from None
