"""Worker processes share the limits of their providers."""

import pytest

from caxton_llm.config.load import load_text
from caxton_llm.errors import ConfigurationError


def test_each_process_gets_an_equal_part_so_that_all_together_keep_the_limit() -> None:
    text = "llm: {provider: builtin, requests_per_minute: 10, tokens_per_minute: 1000, max_concurrency: 8}"
    (entry,) = load_text(text, environ={}).shared_by(4).entries
    assert (entry.limits.requests_per_minute, entry.limits.tokens_per_minute, entry.limits.max_concurrency) == (
        2,
        250,
        2,
    )


def test_what_is_not_limited_stays_unlimited() -> None:
    (entry,) = load_text("llm: {provider: builtin}", environ={}).shared_by(4).entries
    assert entry.limits.requests_per_minute is None


def test_a_limit_below_the_number_of_processes_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigurationError, match=r"llm\.requests_per_minute: 3 cannot be shared by 4 worker processes"):
        load_text("llm: {provider: builtin, requests_per_minute: 3}", environ={}).shared_by(4)
