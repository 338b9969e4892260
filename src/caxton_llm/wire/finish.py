"""Words for the end of an answer that nobody here knows: they count as a natural end, and the caller is told."""

from collections.abc import Container

__all__ = ["unknown_reasons"]

_NATURAL_ENDS = frozenset(
    {
        "complete",
        "completed",
        "done",
        "end",
        "end_of_text",
        "end_turn",
        "eos",
        "eos_token",
        "finished",
        "load",
        "repetition",
        "stop",
        "stop_sequence",
        "stop_token",
        "unload",
    }
)
"""What servers write where OpenAI's API has `stop`."""


def unknown_reasons(reason: str | None, known: Container[str]) -> list[str]:
    """The warning about a reason that is neither in `known` nor another word for a natural end; empty for any other."""
    if not reason or reason.lower() in known or reason.lower() in _NATURAL_ENDS:
        return []
    return [f"the provider ended the answer for a reason that is not known, told as stop: {reason[:40]!a}"]
