"""vLLM's OpenAI-compatible server.

Its own parameters pass through as they are. Constraints are sent in the form that the server's version knows, `guided_json`
and its like before 0.11 and `structured_outputs` since, because a server ignores what it does not know, and a lost constraint
is a wrong answer. A server whose version is not known counts as a new one.
"""

import re
import shlex
from collections.abc import Set
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from caxton_llm.errors import MalformedResponse, UnsupportedFeature
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Quirks, WireRequest
from caxton_llm.providers.base_url import parse_base_url
from caxton_llm.providers.chat_options import JSON_BODY, ChatOptions, entry_headers, sent_model
from caxton_llm.providers.credentials import StaticCredentials, bearer
from caxton_llm.providers.exchange import ChatExchange
from caxton_llm.providers.model_listing import decode_listed_model
from caxton_llm.providers.settings import ProviderSettings
from caxton_llm.resolved import resolved
from caxton_llm.types import ChatRequest, Json
from caxton_llm.wire import openai_chat
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.unreadable import UNREADABLE

__all__ = ["VllmAdapter", "adapter", "credentials", "serve_command"]

_DEFAULT_URL = "http://localhost:8000/v1"
_USUAL_PORT = 8000

_GUIDED = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "guided_whitespace_pattern": "whitespace_pattern",
}
"""Fields that vLLM removed in 0.12 -> their names inside `structured_outputs`."""

_STRUCTURED_OUTPUTS_SINCE = (0, 11)

_SHARED_WITH_OTHERS = frozenset({"add_generation_prompt", "continue_final_message", "min_p", "top_k"})
"""Parameters outside the common model that are sent whatever the client's dialect: none means anything else by them."""

_COUNTED_FIELDS = (
    "messages",
    "tools",
    "chat_template",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "mm_processor_kwargs",
)
"""What `/tokenize` takes of a chat request: all that decides how the template is filled."""


_Answer = TypeVar("_Answer", bound=Struct)


@resolved
class _Count(Struct):
    count: int


@resolved
class _Version(Struct):
    version: str


def adapter(settings: ProviderSettings) -> "VllmAdapter":
    """The adapter of one entry. Raises `ConfigurationError` for a `base_url` that is none."""
    return VllmAdapter(settings)


def credentials(settings: ProviderSettings, api_key: str | None) -> StaticCredentials:  # noqa: ARG001
    """A bearer token when there is a key; the server needs one only with `--api-key`."""
    return bearer(api_key) if api_key else StaticCredentials(())


class VllmAdapter:
    """The `ProviderAdapter` of one entry. `tensor_parallel_size` describes the server and is never sent."""

    kind = "vllm"
    dialect = openai_chat.name
    inline_images = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.entry_name
        self._settings = settings
        self._origin, self._prefix = parse_base_url(settings.base_url or _DEFAULT_URL, default_path="/v1")
        self._root = self._prefix.removesuffix("/v1")
        self._headers = entry_headers(settings)
        self._strict = settings.parameters == "strict"
        quirks = settings.quirks or Quirks()
        if quirks.output_limit_field is None:
            quirks = replace(quirks, output_limit_field="max_tokens")  # understood by every version
        if quirks.merge_turns is None:
            quirks = replace(quirks, merge_turns=True)  # many templates answer a repeated role with an error
        self._options = ChatOptions(settings, quirks)

    def open(self, request: ChatRequest, info: ModelInfo, *, stream: bool) -> ChatExchange:
        """Raises `InvalidRequest` or `UnsupportedFeature` before anything is sent."""
        if request.source is not None and "functions" in request.source.fields:
            raise UnsupportedFeature("vLLM ignores the deprecated functions; send them as tools", param="functions")
        notes = ParameterNotes(self._strict)
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = openai_chat.encode_chat(
            _with_constraint(request, notes, info.server_version),
            options,
            stream=stream,
            foreign_extras=_SHARED_WITH_OTHERS,
        )
        guided = notes.report()
        encoded.report.mapped.update(guided.mapped)
        encoded.report.dropped.update(guided.dropped)
        wire = self._post(f"{self._prefix}/chat/completions", encoded.body, encoded.headers)
        return ChatExchange(openai_chat, wire, encoded)

    def probe(self) -> WireRequest:
        """`GET /health`: 200 while the engine lives; asks for no key."""
        return self._get(f"{self._root}/health")

    def version_request(self) -> WireRequest:
        """`GET /version`."""
        return self._get(f"{self._root}/version")

    def decode_version(self, body: bytes) -> str:
        """The server's version, such as `0.30.0`. Raises `MalformedResponse`."""
        return _decoded(body, _Version, "/version").version

    def model_info_request(self, model: str) -> WireRequest:  # noqa: ARG002
        """`GET /v1/models`: the server lists its model and its adapters."""
        return self._get(f"{self._prefix}/models")

    def decode_model_info(self, model: str, body: bytes) -> ModelInfo:
        """`max_model_len` is the window. Raises `ModelNotFound` when the server serves something else."""
        return decode_listed_model(self.kind, model, body)

    def count_request(self, request: ChatRequest, info: ModelInfo) -> WireRequest:
        """`POST /tokenize`, with the model's chat template applied. An image counts as its placeholder only."""
        options = self._options.of(info, send_model=sent_model(self._settings, info.id))
        encoded = openai_chat.encode_chat(request, options, stream=False, foreign_extras=_SHARED_WITH_OTHERS)
        fields = msgspec.json.decode(encoded.body, type=dict[str, Raw])
        body: dict[str, Json] = {"model": options.send_model}
        body |= {name: fields[name] for name in _COUNTED_FIELDS if name in fields}
        return self._post(f"{self._root}/tokenize", msgspec.json.encode(body))

    def decode_count(self, body: bytes) -> int:
        """The number of prompt tokens. Raises `MalformedResponse`."""
        return _decoded(body, _Count, "/tokenize").count

    def _get(self, path: str) -> WireRequest:
        return WireRequest(method="GET", origin=self._origin, path=path, headers=self._headers)

    def _post(self, path: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> WireRequest:
        return WireRequest(
            method="POST", origin=self._origin, path=path, headers=JSON_BODY + self._headers + headers, body=body
        )


def _decoded(body: bytes, kind: type[_Answer], path: str) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE:
        raise MalformedResponse(f"the answer of {path} is not what vLLM promises; check base_url") from None


def _with_constraint(request: ChatRequest, notes: ParameterNotes, version: str | None) -> ChatRequest:
    """`request` with its constraint in the form that the server knows; itself when that is how it came."""
    if version is not None and _is_before_structured_outputs(version):
        return _with_guided_fields(request, notes)
    return _with_structured_outputs(request, notes)


def _is_before_structured_outputs(version: str) -> bool:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < _STRUCTURED_OUTPUTS_SINCE


def _with_guided_fields(request: ChatRequest, notes: ParameterNotes) -> ChatRequest:
    outputs = request.extra_value("structured_outputs")
    if not isinstance(outputs, dict):
        return request
    names = {inner: outer for outer, inner in _GUIDED.items()}
    fields: dict[str, Raw] = {}
    for name, value in outputs.items():
        if name in names and value is not None:
            fields[names[name]] = Raw(msgspec.json.encode(value))
            notes.map(f"structured_outputs.{name}", names[name])
        elif value is not None:
            notes.drop(f"structured_outputs.{name}", "vLLM before 0.11 has no such field")
    return _replaced(request, {"structured_outputs"}, fields)


def _with_structured_outputs(request: ChatRequest, notes: ParameterNotes) -> ChatRequest:
    old = [name for name in request.extra if name.startswith("guided_")]
    if not old:
        return request
    outputs: dict[str, Json] = {}
    for name in old:
        if name in _GUIDED and "structured_outputs" not in request.extra:
            outputs[_GUIDED[name]] = request.extra[name]
            notes.map(name, f"structured_outputs.{_GUIDED[name]}")
        else:
            notes.drop(name, "today's vLLM has no such field")
    return _replaced(request, set(old), {"structured_outputs": Raw(msgspec.json.encode(outputs))} if outputs else {})


def _replaced(request: ChatRequest, old: Set[str], new: dict[str, Raw]) -> ChatRequest:
    """`request` with the fields `new` instead of `old`, in its source too."""
    extra = {name: value for name, value in request.extra.items() if name not in old} | new
    source = request.source
    if source is not None and source.dialect == openai_chat.name:
        fields = {name: value for name, value in source.fields.items() if name not in old} | new
        source = replace(source, fields=fields)
    return replace(request, extra=extra, source=source)


def serve_command(settings: ProviderSettings) -> str:
    """The `vllm serve` command line of a server that fits the entry. The key is named by a variable, never written out."""
    origin, _ = parse_base_url(settings.base_url or _DEFAULT_URL, default_path="/v1")
    words = ["vllm", "serve", shlex.quote(settings.main_model or "MODEL")]
    if origin.port != _USUAL_PORT:
        words += ["--port", str(origin.port)]
    if settings.tensor_parallel_size is not None:
        words += ["--tensor-parallel-size", str(settings.tensor_parallel_size)]
    if settings.context_window is not None:
        words += ["--max-model-len", str(settings.context_window)]
    if settings.api_key is not None:
        words += ["--api-key", '"$VLLM_API_KEY"']
    hint = "# for tools add: --enable-auto-tool-choice --tool-call-parser PARSER (the one that fits the model)"
    return f"{' '.join(words)}\n{hint}"
