"""Counts against the usage that providers reported in recorded answers. Skipped where there are no recordings."""

import json
import re

import pytest

from caxton_llm.tokens import O200kCounter, TokenCalibration, prompt_parts
from caxton_llm.types import ChatRequest
from caxton_llm.wire.anthropic_messages import client as anthropic_client
from caxton_llm.wire.openai_chat import client as openai_client
from recorded import Interaction, interactions

_REPORTED = re.compile(
    rb'"(prompt_tokens|input_tokens|cache_creation_input_tokens|cache_read_input_tokens)": ?(\d+)',
)

EXACT = [
    "azure__test_azure_provider_call",
    "openai__test_max_completion_tokens.o3-mini",
    "openai__test_openai_chat_prompt_cache_e2e",
    "openai__test_openai_native_output",
    "openai__test_run_stream_sync_streams_real_model",
    "openai__test_tool_choice_matrix.list_single-openai",
    "openai__test_valid_response",
]
CLOSE = [
    "anthropic__test_anthropic_cache_real_api",
    "anthropic__test_anthropic_model_thinking_part_redacted",
    "anthropic__test_anthropic_model_thinking_part_stream",
    "anthropic__test_anthropic_opus_5_features",
    "anthropic__test_request_stream_fallback_for_high_max_tokens",
    "anthropic__test_tool_choice_matrix.required-anthropic",
    "ollama__test_ollama_cloud_tool_output",
    "ollama__test_ollama_local_native_output_uses_json_schema",
]
# An image of unknown size, a model whose tool instructions have grown since, a vendor behind OpenAI's dialect that is none
# of those known here: thought more expensive than they are, which only wastes room.
BOUNDED = [
    "anthropic__test_image_url_input",
    "anthropic__test_multiple_parallel_tool_calls",
    "openai__test_compatible_api_with_tool_calls_without_id",
]


def reported(exchange: Interaction) -> int:
    """The prompt tokens in the last usage of the answer, cached ones included."""
    last = {name: int(value) for name, value in _REPORTED.findall(exchange.body)}
    return last.get(b"prompt_tokens") or sum(last.values())


def request_of(exchange: Interaction) -> ChatRequest:
    body = json.dumps(exchange.request).encode()
    if "anthropic" in exchange.uri:
        return anthropic_client.decode_request(body, {})
    return openai_client.decode_request(body, {})


def compared(name: str) -> list[tuple[int, int, int]]:
    """Reported, estimated, and at most, of every exchange."""
    provider = name.partition("__")[0]
    found = []
    for exchange in interactions(name):
        request = request_of(exchange)
        parts = prompt_parts(request, provider, O200kCounter().count)
        estimate = TokenCalibration().estimate_parts(request.model, provider, parts)
        found.append((reported(exchange), estimate.tokens, estimate.at_most))
    return found


@pytest.mark.parametrize("name", EXACT)
def test_openais_prompts_are_counted_within_one_token(name: str) -> None:
    for real, tokens, at_most in compared(name):
        assert real <= at_most
        assert abs(tokens - real) <= 1


@pytest.mark.parametrize("name", CLOSE)
def test_other_vendors_prompts_are_estimated_within_a_twentieth_or_a_few_tokens(name: str) -> None:
    for real, tokens, at_most in compared(name):
        assert real <= at_most
        assert abs(tokens - real) <= max(5, real / 20)


@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_not_known_well_is_thought_more_expensive_than_it_is(name: str) -> None:
    for real, tokens, _ in compared(name):
        assert real <= tokens
