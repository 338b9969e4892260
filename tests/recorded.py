"""Recorded HTTP exchanges with real providers, from `../shared/recordings` beside the repository.

The recordings are not part of the project: where the folder is absent, the tests that need it are skipped.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__ = ["RECORDINGS", "Interaction", "cuts", "interactions"]

RECORDINGS = Path(__file__).parents[1].parent / "shared" / "recordings"


@dataclass(frozen=True)
class Interaction:
    """One request and its answer. Header names are lower case; repeated headers are joined with `, `."""

    method: str
    uri: str
    request: Any
    """The JSON body that was sent; `None` when there was none."""
    status: int
    headers: dict[str, str]
    body: bytes


def interactions(name: str) -> list[Interaction]:
    """The exchanges of `<name>.yaml`; skips the test when the recordings are absent."""
    path = RECORDINGS / f"{name}.yaml"
    if not path.is_file():
        pytest.skip(f"recording {path.name} is not here")
    return list(_load(path))


@functools.cache
def _load(path: Path) -> tuple[Interaction, ...]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(_interaction(item) for item in document["interactions"])


def _interaction(item: dict[str, Any]) -> Interaction:
    request, response = item["request"], item["response"]
    sent = request.get("parsed_body")
    if sent is None and (raw := _raw_body(request)):
        sent = json.loads(raw)
    return Interaction(
        method=request["method"],
        uri=request["uri"],
        request=sent,
        status=int(response["status"]["code"]),
        headers={key.lower(): ", ".join(value) for key, value in (response.get("headers") or {}).items()},
        body=_response_body(response),
    )


def _response_body(response: dict[str, Any]) -> bytes:
    if "parsed_body" in response:
        return json.dumps(response["parsed_body"], ensure_ascii=False, separators=(",", ":")).encode()
    return _raw_body(response)


def _raw_body(message: dict[str, Any]) -> bytes:
    body = message.get("body")
    text = body.get("string") if isinstance(body, dict) else body
    if text is None:
        return b""
    return text if isinstance(text, bytes) else str(text).encode()


def cuts(body: bytes, *, before: bytes) -> Iterator[bytes]:
    """Every proper beginning of `body` that ends before the last occurrence of `before` (the end marker) is complete."""
    end = body.rindex(before)
    for length in range(end + 1):
        yield body[:length]
