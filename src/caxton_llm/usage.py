"""What an answer used: its tokens, and what else decides its cost.

`prompt_tokens` includes cached and cache-written tokens, `completion_tokens` includes reasoning; the details are subsets,
never addends. `None` means "not said"; a zero is a zero that somebody said.
"""

from msgspec import Struct, field

__all__ = ["Billing", "CompletionTokensDetails", "PromptTokensDetails", "Usage"]


class PromptTokensDetails(Struct, omit_defaults=True, kw_only=True):
    """Parts of the prompt tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    """The part of `cache_write_tokens` that is kept for an hour (Anthropic), at a price of its own."""
    audio_tokens: int | None = None


class CompletionTokensDetails(Struct, omit_defaults=True, kw_only=True):
    """Parts of the completion tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Billing(Struct, frozen=True, kw_only=True):
    """What makes an answer cost something else than its tokens at the ordinary rates; `None` is the ordinary."""

    tier: str | None = None
    """The service tier that answered: `flex`, `priority`, `batch`."""
    speed: str | None = None
    """`fast`: served faster, at a premium."""
    region: str | None = None
    """Where the model had to run."""
    web_searches: int | None = None
    """Searches that the provider made for the answer."""


class Usage(Struct, kw_only=True):
    """Tokens of one answer; `None` is "the provider did not say". `estimated` marks figures that we counted ourselves."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    estimated: bool = field(default=False, name="#estimated")
    billing: Billing | None = field(default=None, name="#billing")
    """`None` where nothing but the tokens decides the cost."""

    @property
    def cached_tokens(self) -> int | None:
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None

    @property
    def cache_write_tokens(self) -> int | None:
        return self.prompt_tokens_details.cache_write_tokens if self.prompt_tokens_details else None

    @property
    def cache_write_1h_tokens(self) -> int | None:
        return self.prompt_tokens_details.cache_write_1h_tokens if self.prompt_tokens_details else None

    @property
    def reasoning_tokens(self) -> int | None:
        return self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else None
