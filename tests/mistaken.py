"""What is wrong with a configuration, in the words of its error."""

from datetime import date

import pytest

from caxton_llm.config.load import load_text
from caxton_llm.errors import ConfigurationError

__all__ = ["TODAY", "mistake", "mistakes"]

TODAY = date(2026, 11, 22)


def mistakes(text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Everything that is wrong with this document."""
    with pytest.raises(ConfigurationError) as caught:
        load_text(text, file="caxton.yaml", environ=environ or {}, today=TODAY)
    return [str(problem) for problem in caught.value.problems]


def mistake(text: str, environ: dict[str, str] | None = None) -> str:
    """The only thing that is wrong with it."""
    (only,) = mistakes(text, environ)
    return only
