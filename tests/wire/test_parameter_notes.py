"""What became of a caller's parameters."""

import pytest

from caxton_llm.errors import UnsupportedFeature
from caxton_llm.wire.parameters import ParameterNotes


def test_a_dropped_parameter_is_reported_or_with_strict_refused() -> None:
    notes = ParameterNotes(strict=False)
    notes.drop("seed", "no such thing")
    notes.map("max_tokens", "max_completion_tokens")
    assert notes.report().dropped == {"seed": "no such thing"}
    assert notes.report().mapped == {"max_tokens": "max_completion_tokens"}
    with pytest.raises(UnsupportedFeature) as caught:
        ParameterNotes(strict=True).drop("seed", "no such thing")
    assert caught.value.param == "seed"


def test_what_belongs_to_the_history_is_reported_and_never_refused() -> None:
    notes = ParameterNotes(strict=True)
    notes.strip("thinking_blocks", "another vendor's")
    assert notes.report().dropped == {"thinking_blocks": "another vendor's"}
