"""A request that came in this dialect and goes out in it: the caller's bytes, field by field.

Providers' prompt caches depend on the bytes, and the caller may use what this project does not know. So a field is touched
only where the target would answer it with an error (a tool's name among others), where the caller is silent and the
configuration is not, and where a thinking block stands that Anthropic never signed (another vendor's reasoning, which came
back in the conversation).
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from caxton_llm.protocols import EncodeOptions
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire.anthropic_messages.renaming import renamed_fields
from caxton_llm.wire.anthropic_messages.settings import SAMPLING, Settings
from caxton_llm.wire.anthropic_messages.turns import is_replayable
from caxton_llm.wire.client_json import read_raw
from caxton_llm.wire.parameters import ParameterNotes

__all__ = ["forwarded_betas", "passed_fields"]

_encode = msgspec.json.Encoder().encode

_FIELD_NAMES = {"stop": "stop_sequences", "user": "metadata", "reasoning_effort": "thinking"}
"""Fields that are called otherwise here than in the common model."""

_BETAS = frozenset(
    {
        "advisor-tool",
        "cache-diagnosis",
        "code-execution",
        "compact",
        "computer-use",
        "context-management",
        "dev-full-thinking",
        "extended-cache-ttl",
        "fallback-credit",
        "fast-mode",
        "files-api",
        "fine-grained-tool-streaming",
        "inline-tools",
        "interleaved-thinking",
        "mcp-client",
        "mcp-tunnels",
        "message-threads",
        "mid-conversation-output-config",
        "mid-conversation-system-clear-at",
        "mid-conversation-tool-changes",
        "model-context-window-exceeded",
        "output-128k",
        "output-300k",
        "pdfs",
        "prompt-caching",
        "server-side-fallback",
        "skills",
        "structured-outputs",
        "task-budgets",
        "thinking-binding-controls",
        "thinking-display-updates",
        "thinking-token-count",
        "token-counting",
        "token-efficient-tools",
        "user-profiles",
    }
)
"""Betas that concern messages, without their dates. Anthropic answers one that it does not know with an error."""

_DATE_LENGTH = len("-2025-05-14")


def forwarded_betas(headers: Mapping[str, str], notes: ParameterNotes) -> list[str]:
    """The client's `anthropic-beta` values that may travel on; the others are reported."""
    kept = []
    for beta in map(str.strip, headers.get("anthropic-beta", "").split(",")):
        if beta and beta[:-_DATE_LENGTH] in _BETAS:
            kept.append(beta)
        elif beta:
            notes.strip(f"anthropic-beta {beta[:60]}", "not among the betas that are passed on (see anthropic_beta)")
    return kept


def passed_fields(
    request: ChatRequest,
    fields: dict[str, Raw],
    options: EncodeOptions,
    notes: ParameterNotes,
    *,
    settings: Settings,
    refused: frozenset[str],
    names: dict[str, str],
) -> dict[str, Json]:
    """The body's fields in the caller's order, without `model` and `stream`; `names` are those of tools on the wire."""
    body: dict[str, Json] = dict(fields)
    if names:
        body.update(renamed_fields(fields, names))
    for name in refused:
        body.pop(_FIELD_NAMES.get(name, name), None)
    if "response_format" in refused:
        _drop_format(body)
    if request.output_limit != settings.max_tokens:
        body["max_tokens"] = settings.max_tokens
    asked = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.extra_value("top_k")}
    for name in SAMPLING:
        if name not in settings.sampling:
            body.pop(name, None)
        elif settings.sampling[name] != asked[name]:
            body[name] = settings.sampling[name]
    _put_thinking(body, request, settings)
    for name, value in options.defaults.extra.items():
        body.setdefault(name, value)
    if any(_has_foreign_thinking(message.thinking_blocks) for message in request.messages):
        body["messages"] = _without_foreign_thinking(body["messages"])
        notes.strip("messages[].thinking_blocks", "not signed by Anthropic")
    return body


def _drop_format(body: dict[str, Json]) -> None:
    said = body.get("output_config")
    config = msgspec.json.decode(said) if isinstance(said, Raw) else None
    if isinstance(config, dict) and config.pop("format", None) is not None:
        body["output_config"] = Raw(_encode(config))
        if not config:
            del body["output_config"]


def _put_thinking(body: dict[str, Json], request: ChatRequest, settings: Settings) -> None:
    plan = settings.thinking
    if plan.thinking != request.extra_value("thinking"):
        if plan.thinking is None:
            body.pop("thinking", None)
        else:
            body["thinking"] = plan.thinking
    said = body.get("output_config")
    config = read_raw(said, "output_config") if isinstance(said, Raw) else None
    config = config if isinstance(config, dict) else {}
    if plan.effort == config.get("effort"):
        return
    if plan.effort is None:
        del config["effort"]
    else:
        config["effort"] = plan.effort
    body["output_config"] = config
    if not config:
        del body["output_config"]


def _has_foreign_thinking(blocks: list[Json] | None) -> bool:
    return bool(blocks) and not all(is_replayable(block) for block in blocks or ())


def _without_foreign_thinking(raw: Raw) -> Raw:
    # The path is the client's own, which an error's `param` is not yet.
    messages = read_raw(raw, "messages", param="messages")
    for message in messages:
        if isinstance(message.get("content"), list):
            message["content"] = [block for block in message["content"] if not _is_foreign(block)]
    return Raw(_encode([message for message in messages if message.get("content") != []]))


def _is_foreign(block: Json) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and not is_replayable(block)
