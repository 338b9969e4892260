"""Token counts without asking a provider."""

from caxton_llm.tokens.calibrated import Estimate, Factors, TokenCalibration, family_of, usage_prompt_tokens
from caxton_llm.tokens.o200k import O200kCounter
from caxton_llm.tokens.parts import PromptParts, prompt_parts
from caxton_llm.tokens.prompt import frame_tokens, message_tokens, prompt_tokens, rough_tokens, uncounted_parts

__all__ = [
    "Estimate",
    "Factors",
    "O200kCounter",
    "PromptParts",
    "TokenCalibration",
    "family_of",
    "frame_tokens",
    "message_tokens",
    "prompt_parts",
    "prompt_tokens",
    "rough_tokens",
    "uncounted_parts",
    "usage_prompt_tokens",
]
