"""Usage as OpenAI's clients read it: what is not known is null, never zero."""

import msgspec

from caxton_llm.types import Json, Usage

__all__ = ["usage_value"]


def usage_value(usage: Usage) -> dict[str, Json]:
    """The value of `usage` in a body or an event."""
    value: dict[str, Json] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.prompt_tokens_details is not None:
        value["prompt_tokens_details"] = msgspec.to_builtins(usage.prompt_tokens_details)
    if usage.completion_tokens_details is not None:
        value["completion_tokens_details"] = msgspec.to_builtins(usage.completion_tokens_details)
    if usage.estimated:
        value["estimated"] = True
    return value
