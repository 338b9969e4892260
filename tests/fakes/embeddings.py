"""A server of embeddings that speaks two APIs: OpenAI's `/v1/embeddings` and Ollama's `/api/embed`.

Each word has a direction of its own, and a text is three times the sum of its words' directions: nobody may count on vectors
of length 1. Stricter than the originals in one way: a field that the API does not document is refused.
"""

import base64
import random
import struct
import zlib
from collections.abc import Iterator

from fakes.http_server import Json, Received, Response
from fakes.openai import FakeOpenAI
from fakes.provider import Refusal, json_response

__all__ = ["FakeEmbeddings"]

_OPENAI_FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
_OLLAMA_FIELDS = {"model", "input", "truncate", "dimensions", "options", "keep_alive"}


class FakeEmbeddings(FakeOpenAI):
    """`base_url` ends with `/v1`, `root_url` is for Ollama's API. `sizes` has the models and their dimensions."""

    def __init__(self, *, api_key: str = "sk-fake-embeddings-1") -> None:
        super().__init__(api_key=api_key)
        self.sizes = {"embed-small": 8, "embed-large": 16}
        self.needs_key = True
        self.longest = 8_000
        """Characters of a text above which the model refuses it."""
        self.shuffles = False
        """OpenAI promises no order, only indexes."""
        self.texts: list[str] = []
        """What has been embedded, in order."""

    def route(self, request: Received) -> Response:
        if self.needs_key:
            self.authorize(request)
        match request.method, request.path:
            case "POST", "/v1/embeddings":
                return self.scripted(request, lambda: self._openai(self.body_of(request)))
            case "POST", "/api/embed":
                return self.scripted(request, lambda: self._ollama(request.json))
        raise self.refusal(404, f"Invalid URL ({request.method} {request.path})")

    def vector(self, text: str, size: int) -> list[float]:
        """What the server gives for a text."""
        total = [0.0] * size
        for word in text.casefold().split():
            direction = random.Random(zlib.crc32(word.strip(".,?!").encode()))
            total = [number + 3 * direction.gauss(0, 1) for number in total]
        return total

    def _openai(self, body: Json) -> Response:
        if unknown := set(body) - _OPENAI_FIELDS:
            raise self.refusal(400, f"Unrecognized request argument supplied: {sorted(unknown)}")
        if body["model"] not in self.sizes:
            raise self.refusal(404, f"The model `{body['model']}` does not exist", code="model_not_found")
        if body.get("encoding_format", "float") not in ("float", "base64"):
            raise self.refusal(400, "Invalid encoding_format")
        texts = self._texts(body["input"])
        for text in texts:
            if len(text) > self.longest:
                message = (
                    f"This model's maximum context length is 8192 tokens, however you requested {len(text)} tokens"
                )
                raise self.refusal(400, message)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, body)}
            for index, vector in enumerate(self._vectors(texts, body))
        ]
        if self.shuffles:
            data.reverse()
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def _ollama(self, body: Json) -> Response:
        if unknown := set(body) - _OLLAMA_FIELDS:
            raise Refusal(json_response({"error": f"unknown fields {sorted(unknown)}"}, status=400))
        if body["model"] not in self.sizes:
            raise Refusal(json_response({"error": f"model '{body['model']}' not found"}, status=404))
        vectors = list(self._vectors(self._texts(body["input"]), body))
        counts = {"total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": 8}
        return json_response({"model": body["model"], "embeddings": vectors, **counts})

    def _texts(self, given: Json) -> list[str]:
        texts = [given] if isinstance(given, str) else given
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise self.refusal(400, "'$.input' is invalid.")
        return list(texts)

    def _vectors(self, texts: list[str], body: Json) -> Iterator[list[float]]:
        size = body.get("dimensions") or self.sizes[body["model"]]
        for text in texts:
            self.texts.append(text)
            yield self.vector(text, size)


def _encoded(vector: list[float], body: Json) -> Json:
    if body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
