"""Token counts without asking a provider."""

from caxton_llm.tokens.o200k import O200kCounter, estimate_prompt_tokens
from caxton_llm.tokens.prompt import frame_tokens, message_tokens, prompt_tokens, rough_tokens, uncounted_parts

__all__ = [
    "O200kCounter",
    "estimate_prompt_tokens",
    "frame_tokens",
    "message_tokens",
    "prompt_tokens",
    "rough_tokens",
    "uncounted_parts",
]
