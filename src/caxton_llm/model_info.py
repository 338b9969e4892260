"""What is known of a model: windows, limits, capabilities, how it wants its parameters, prices, retirement.

`None` is "unknown" everywhere: an unknown capability is tried rather than refused, an unknown price is never 0.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

__all__ = ["Capabilities", "ModelInfo", "ModelPrice", "ParameterRules"]


class ModelPrice(Struct, frozen=True, kw_only=True):
    """USD per million tokens; `None` is unknown. Above `tier_above_tokens` prompt tokens, `tier` prices the whole request."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    """For what is cached for an hour instead of the usual minutes."""
    input_audio: float | None = None
    output_audio: float | None = None
    tier_above_tokens: int | None = None
    tier: "ModelPrice | None" = None


class Capabilities(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model can do; `None` is unknown, and an unknown capability is tried rather than refused."""

    streaming: bool | None = None
    tools: bool | None = None
    forced_tool_choice: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    pdf: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None
    prefill: bool | None = None
    """The conversation may end with an assistant message that the model continues."""
    inline_system: bool | None = None
    """System messages may stand between the turns (Anthropic)."""


class ParameterRules(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model wants its parameters; data of the catalogue, never guessed from a model's name."""

    output_limit_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    sampling: Literal["always", "never", "without_reasoning"] | None = None
    """When temperature, top_p, penalties, logit_bias and logprobs are accepted; `without_reasoning`: at effort `none`."""
    exclusive_sampling: bool | None = None
    """temperature and top_p are not accepted together (Claude 4.1 and 4.5)."""
    efforts: list[str] | None = None
    """Accepted values of `reasoning_effort` (Anthropic: of `output_config.effort`); empty: none is accepted."""
    default_effort: str | None = None
    tools_need_effort_none: bool | None = None
    """Function tools need `reasoning_effort: none` to be sent explicitly (OpenAI from gpt-5.4 on)."""
    thinking: list[str] | None = None
    """Accepted `thinking.type` values (Anthropic): enabled, adaptive, disabled, between_tools."""
    thinking_always_on: bool | None = None
    chat_completions: bool | None = None
    """`False`: the model answers only on OpenAI's Responses API."""
    chat_tools: bool | None = None
    """`False`: tools work only on OpenAI's Responses API."""
    refuses: list[str] | None = None
    """Further parameters that the model answers with an error."""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What is known of a model. `sources` says for each fact where it came from: `catalogue`, `configuration`,
    `provider`, and for a price `genai-prices`."""

    id: str
    provider: str
    context_window: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    usual_output_tokens: int | None = None
    """The limit of an answer that is sent where a request has none (`max_tokens` of the configuration)."""
    capabilities: Capabilities = Capabilities()
    parameters: ParameterRules = ParameterRules()
    price: ModelPrice | None = None
    lifecycle: str | None = None
    """`active`, `legacy`, `deprecated` or `retired`."""
    retires_on: str | None = None
    """ISO date; with `retires_not_before` true it is the earliest possible date."""
    retires_not_before: bool = False
    aliases: tuple[str, ...] = ()
    server_version: str | None = None
    """The version of the server's software, where its API depends on it (vLLM)."""
    sources: Mapping[str, str] = {}
