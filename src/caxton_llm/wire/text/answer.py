"""What a text API answers: the text at a configured path, and whatever else is told."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec
from msgspec import Struct

from caxton_llm.errors import MalformedResponse
from caxton_llm.protocols import Restore
from caxton_llm.types import ChatResponse, Choice, FinishReason, Json, Message, Usage
from caxton_llm.wire.error_body import describe_html
from caxton_llm.wire.failures import classify_error_value
from caxton_llm.wire.finish import unknown_reasons
from caxton_llm.wire.half_characters import HALVED, without_halves
from caxton_llm.wire.text.paths import ABSENT, missing, read
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["TextAnswers", "TextRestore", "as_text", "decode_json", "identity"]

_USUAL_REASONS: Mapping[str, FinishReason] = {
    "content_filter": "content_filter",
    "length": "length",
    "max_length": "length",
    "max_tokens": "length",
    "safety": "content_filter",
}
"""What APIs usually call it; whatever else they say is an ordinary end."""


class TextRestore(Restore, kw_only=True):
    """`model` is what was asked for: a text API seldom says what answered."""

    model: str = ""


class TextAnswers(Struct, frozen=True, kw_only=True):
    """Dotted paths into an answer; `None`: the API does not tell. With an empty `text` the whole body is the text."""

    text: str = "text"
    error: str | None = None
    finish: str | None = None
    finish_map: Mapping[str, FinishReason] = {}
    prompt_tokens: str | None = None
    completion_tokens: str | None = None

    def decode(self, body: bytes, restore: Restore) -> ChatResponse:
        """Raises the error that a 200 may carry, or `MalformedResponse`."""
        warnings: list[str] = []
        document = decode_json(body, warnings)
        if document is not ABSENT:
            self.raise_error(document)
        if self.text == "":
            text = document if isinstance(document, str) else _plain_text(body)
        elif document is ABSENT:
            kind = describe_html(body) or "no JSON"
            raise MalformedResponse(
                f"the answer is {kind}; JSON with {self.text!r} was expected: check base_url and path"
            )
        else:
            text = self.text_of(document)
        return ChatResponse(
            id=f"chatcmpl-{identity(body)}",
            model=restore.model if isinstance(restore, TextRestore) else "",
            choices=[
                Choice(
                    index=0,
                    message=Message(role="assistant", content=text),
                    finish_reason=self.finish_of(document) or "stop",
                )
            ],
            usage=self.usage_of(document),
            warnings=warnings + self.warnings_of(document),
            dialect="text",
            wire=body,
        )

    def raise_error(self, document: Json) -> None:
        """Raises the error that the document is, if it is one."""
        error = read(document, self.error) if self.error else ABSENT
        if (error is ABSENT or not error) and (not self.text or read(document, self.text) is ABSENT):
            error = read(document, "error")
        if error is not ABSENT and error:
            raise classify_error_value(error)

    def text_of(self, document: Json) -> str:
        """The text: a string, or a list of strings joined. Raises `MalformedResponse`."""
        return as_text(document, self.text)

    def finish_of(self, document: Json) -> FinishReason | None:
        """Why the answer ended, if the document tells."""
        reason = self._reason(document)
        if reason is None:
            return None
        mapped = self.finish_map.get(reason)
        return mapped if mapped is not None else _USUAL_REASONS.get(reason.lower(), "stop")

    def warnings_of(self, document: Json) -> list[str]:
        """What the caller should know of the end: that nobody knows the word for it (`provider_config.finish_map` may)."""
        reason = self._reason(document)
        return [] if reason in self.finish_map else unknown_reasons(reason, _USUAL_REASONS)

    def _reason(self, document: Json) -> str | None:
        reason = read(document, self.finish) if self.finish else ABSENT
        return reason if isinstance(reason, str) and reason else None

    def usage_of(self, document: Json) -> Usage | None:
        """The counted tokens, if the document tells."""
        prompt = _count(document, self.prompt_tokens)
        completion = _count(document, self.completion_tokens)
        if prompt is None and completion is None:
            return None
        total = prompt + completion if prompt is not None and completion is not None else None
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def as_text(document: Json, path: str) -> str:
    """The text at `path`: a string, or a list of strings joined. Raises `MalformedResponse`."""
    value = read(document, path)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "".join(value)
    if value is ABSENT:
        raise MalformedResponse(f"the answer lacks its text: {missing(document, path)}")
    raise MalformedResponse(f"what stands at {path!r} of the answer is neither a text nor a list of texts")


def decode_json(body: bytes, warnings: list[str]) -> Json:
    """The body as a value, `ABSENT` when it is not JSON. A character that was cut in two is told in `warnings`."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        whole = without_halves(body)
    if whole is None:
        return ABSENT
    try:
        document = msgspec.json.decode(whole)
    except UNREADABLE:
        return ABSENT
    if HALVED not in warnings:
        warnings.append(HALVED)
    return document


def identity(data: bytes) -> str:
    """Stands in for the id that the API does not give."""
    return blake2b(data, digest_size=12).hexdigest()


def _plain_text(body: bytes) -> str:
    html = describe_html(body)
    if html:
        raise MalformedResponse(f"the answer is {html}: check base_url and path")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise MalformedResponse("the answer is not UTF-8 text") from None


def _count(document: Json, path: str | None) -> int | None:
    value = read(document, path) if path else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
