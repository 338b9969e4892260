"""Token counts without asking a provider."""

from caxton_llm.tokens.o200k import O200kCounter, estimate_prompt_tokens

__all__ = ["O200kCounter", "estimate_prompt_tokens"]
