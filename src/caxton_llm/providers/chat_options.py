"""What a dialect must know of a configured entry, made once per model and kept."""

from msgspec.structs import replace

from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import Defaults, EncodeOptions, Quirks
from caxton_llm.providers.settings import ProviderSettings

__all__ = ["JSON_BODY", "ChatOptions", "entry_headers", "sent_model"]

JSON_BODY = (("content-type", "application/json"),)

_REMEMBERED = 1024


def sent_model(settings: ProviderSettings, model: str) -> str:
    """The name that goes over the wire for the model called `model` here: `model_version` where it pins the entry's own."""
    return settings.model_version if settings.model_version and model == settings.model else model


def entry_headers(settings: ProviderSettings, *vendor: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Headers of every request of an entry: the vendor's own where they are set, and the configured ones, which win."""
    headers = {name: value for name, value in vendor if value is not None}
    headers |= {name.lower(): value for name, value in settings.headers.items()}
    return tuple(headers.items())


class ChatOptions:
    """`EncodeOptions` of one entry, by model."""

    __slots__ = ("_defaults", "_made", "_quirks", "_settings", "_strict")

    def __init__(self, settings: ProviderSettings, quirks: Quirks) -> None:
        self._settings = settings
        self._quirks = quirks
        self._strict = settings.parameters == "strict"
        self._defaults = Defaults(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            reasoning_effort=settings.reasoning_effort,
            extra=settings.extra_body,
        )
        self._made: dict[str, tuple[ModelInfo, EncodeOptions]] = {}

    def of(self, info: ModelInfo, *, send_model: str, no_documents: bool = False) -> EncodeOptions:
        """The options for `info`; `no_documents`: the API takes none, whatever the model can."""
        known = self._made.get(info.id)
        if known is not None and known[0] is info:
            return known[1]
        model = info
        if no_documents:
            model = replace(info, capabilities=replace(info.capabilities, pdf=False))
        options = EncodeOptions(
            model=model, send_model=send_model, quirks=self._quirks, defaults=self._defaults, strict=self._strict
        )
        if len(self._made) >= _REMEMBERED:
            self._made.clear()
        self._made[info.id] = (info, options)
        return options
