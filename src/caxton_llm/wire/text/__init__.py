"""Text APIs of one's own: a prompt goes in at one dotted path, the answer comes out at another. The dialect `text`.

Rules kept here: a request is built from values, never by joining JSON text; what plain text cannot carry (tools, images, a
JSON schema) is refused; an answer that lacks the configured field is an error that names the field and the keys there are.
"""

from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.errors import InvalidRequest, LlmError, UnsupportedFeature
from caxton_llm.protocols import EncodedChat, EncodeOptions, Restore, WireResponse
from caxton_llm.types import ChatRequest, ChatResponse, Json
from caxton_llm.wire.accepted import without_refused
from caxton_llm.wire.failures import classify_failure
from caxton_llm.wire.foreign import note_anthropics_own
from caxton_llm.wire.parameters import ParameterNotes
from caxton_llm.wire.text.answer import TextAnswers, TextRestore, decode_json
from caxton_llm.wire.text.paths import ABSENT, build, read
from caxton_llm.wire.text.prompt import Turn, read_turns, split_system, transcript
from caxton_llm.wire.text.stream import TextStreamDecoder, TextStreamShape
from caxton_llm.wire.written import written

__all__ = ["TextApi", "TextDialect"]

_TUNING_ONLY = (
    "frequency_penalty",
    "logit_bias",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "top_p",
    "user",
    "verbosity",
)


class TextApi(Struct, frozen=True, kw_only=True):
    """Where things are in an API; every field is a dotted path unless it says otherwise. Empty or `None`: there is none.

    `prompt_style`: `transcript` (see `text_prompt`), `last_user` (only the last user message) or `messages` (a list of
    objects with `role` and `content`).
    """

    model: str = "model"
    prompt: str = "prompt"
    prompt_style: Literal["transcript", "last_user", "messages"] = "transcript"
    system: str | None = None
    max_tokens: str | None = None
    temperature: str | None = None
    stop: str | None = None
    stream_flag: str | None = None
    answers: TextAnswers = TextAnswers()
    stream: TextStreamShape | None = None


class TextDialect:
    """The `ProviderDialect` of one text API. Raises `ConfigurationError` when two paths of the request exclude each other."""

    name = "text"

    def __init__(self, api: TextApi) -> None:
        self._api = api
        fields = (api.model, api.prompt, api.system, api.max_tokens, api.temperature, api.stop, api.stream_flag)
        paths = [path for path in fields if path]
        self._roots = frozenset(path.split(".")[0] for path in paths)
        build(((path, "") for path in paths), {})

    def encode_chat(self, request: ChatRequest, options: EncodeOptions, *, stream: bool) -> EncodedChat:
        """Raises `InvalidRequest` or `UnsupportedFeature` with the path of the field."""
        api = self._api
        if stream and api.stream is None:
            raise UnsupportedFeature(
                "this API does not stream: provider_config.stream_field is not set", param="stream"
            )
        notes = ParameterNotes(options.strict)
        request = without_refused(request, options, notes)
        _refuse_what_changes_meaning(request, notes)
        extras = self._extras(request, options, notes)
        values = self._prompt(request, notes) + self._knobs(request, options, notes)
        if api.model:
            values.append((api.model, options.send_model))
        if api.stream is not None and api.stream_flag:
            values.append((api.stream_flag, stream))
        body = build(values, {**options.defaults.extra, **extras})
        _report_dropped(request, notes)
        return EncodedChat(
            body=written(body),
            report=notes.report(),
            restore=TextRestore(model=options.send_model),
        )

    def decode_chat(self, body: bytes, restore: Restore) -> ChatResponse:
        """A JSON answer. Raises the error that a 200 may carry, or `MalformedResponse`."""
        return self._api.answers.decode(body, restore)

    def decode_response(self, response: WireResponse, restore: Restore) -> ChatResponse:
        """Like `decode_chat`, but an answer of type text/plain is the text itself, unless it is the expected JSON."""
        answers = self._api.answers
        plain = response.headers.get("content-type", "").lower().startswith("text/plain")
        if plain and read(decode_json(response.body, []), answers.text) is ABSENT:
            answers = replace(answers, text="")
        return answers.decode(response.body, restore)

    def stream_decoder(self, restore: Restore) -> TextStreamDecoder:
        """A decoder for one streamed answer."""
        return TextStreamDecoder(self._api.stream or TextStreamShape(), self._api.answers, restore)

    def classify(self, response: WireResponse) -> LlmError:
        """An answer outside 2xx; what stands at the configured error field is taken as its error."""
        path = self._api.answers.error
        value = read(decode_json(response.body, []), path) if path else ABSENT
        if value is not ABSENT and value:
            response = replace(response, body=msgspec.json.encode({"error": value}))
        return classify_failure(response)

    def _prompt(self, request: ChatRequest, notes: ParameterNotes) -> list[tuple[str, Json]]:
        turns = read_turns(request.messages)
        values: list[tuple[str, Json]] = []
        if self._api.system:
            system, turns = split_system(turns)
            if system:
                values.append((self._api.system, system))
        values.append((self._api.prompt, self._conversation(turns, notes)))
        return values

    def _conversation(self, turns: list[Turn], notes: ParameterNotes) -> Json:
        if self._api.prompt_style == "messages":
            return [{"role": role, "content": text} for role, text in turns]
        if self._api.prompt_style == "transcript":
            return transcript(turns)
        spoken = [text for role, text in turns if role == "user"]
        if not spoken:
            raise InvalidRequest("this API is sent the last user message, and there is none", param="messages")
        if len(turns) > 1:
            notes.strip("messages", "only the last user message is sent (prompt_style: last_user)")
        return spoken[-1]

    def _knobs(self, request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> list[tuple[str, Json]]:
        api, defaults = self._api, options.defaults
        limit_name = "max_completion_tokens" if request.max_completion_tokens is not None else "max_tokens"
        values: list[tuple[str, Json]] = []
        for name, path, value, default in (
            (limit_name, api.max_tokens, request.output_limit, defaults.max_tokens),
            ("temperature", api.temperature, request.temperature, defaults.temperature),
            ("stop", api.stop, [request.stop] if isinstance(request.stop, str) else request.stop, None),
        ):
            if path and (value is not None or default is not None):
                values.append((path, value if value is not None else default))
            if value is not None and path and path != name:
                notes.map(name, path)
            elif value is not None and not path:
                setting = f"provider_config.{_SETTINGS.get(name, name)}_field"
                notes.leave_out(name, value, f"this API has no field for it ({setting})")
        return values

    def _extras(self, request: ChatRequest, options: EncodeOptions, notes: ParameterNotes) -> dict[str, Json]:
        """The caller's fields outside the common model: the API may know them, so they are sent unless the entry's quirks
        say otherwise, or they belong to another vendor's dialect."""
        foreign = request.source is not None and request.source.dialect != "openai_chat"
        settled = note_anthropics_own(request, notes)
        sent: dict[str, Json] = {}
        for name, value in request.extra.items():
            if name in settled:
                continue
            if name in self._roots:
                notes.refuse(name, "the configuration fills this field of the API")
            elif foreign:
                notes.drop(name, "it belongs to another vendor's API")
            elif not options.quirks.extra_parameters:
                why = "the entry takes no further parameters (quirks.extra_parameters)"
                notes.leave_out(name, request.extra_value(name), why)
            elif value is not None:
                sent[name] = value
        return sent


_SETTINGS = {"max_completion_tokens": "max_tokens"}


def _refuse_what_changes_meaning(request: ChatRequest, notes: ParameterNotes) -> None:
    for name, tools, choice_name in (
        ("tools", request.tools, "tool_choice"),
        ("functions", request.functions, "function_call"),
    ):
        if tools and getattr(request, choice_name) != "none":
            notes.refuse(name, "a text API has no tools")
        if tools:
            notes.map(choice_name, f"{name} left out")
    if request.response_format is not None and request.response_format.type != "text":
        notes.refuse("response_format", "a text API does not keep to a format")
    if request.n is not None and request.n != 1:
        notes.refuse("n", "a text API gives one answer per request")
    if request.logprobs or request.top_logprobs:
        notes.refuse("logprobs", "a text API does not tell probabilities")


def _report_dropped(request: ChatRequest, notes: ParameterNotes) -> None:
    for name in _TUNING_ONLY:
        if getattr(request, name) is not None:
            notes.drop(name, "this API has no field for it")
    for index, message in enumerate(request.messages):
        if message.name is not None:
            notes.strip(f"messages[{index}].name", "a text has no field for it")
