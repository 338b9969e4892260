"""How texts become words for the lexical index, where the index's own rule (runs of letters and digits) does not suffice.

Scripts without spaces become overlapping pairs of characters, so that any part of them is found; emoji become words.
"""

import re

__all__ = ["indexable"]

_UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003134f"
)
_RUNS = re.compile(f"[{_UNSPACED}]+|[\u2600-\u27bf\U0001f300-\U0001faff]")


def indexable(text: str) -> str:
    """The text with spaces where the index should see the ends of words."""
    if text.isascii():
        return text
    return _RUNS.sub(lambda match: f" {_as_words(match[0])} ", text)


def _as_words(run: str) -> str:
    if len(run) > 1:
        return " ".join(run[start : start + 2] for start in range(len(run) - 1))
    return run if run.isalpha() else f"emoji{ord(run):x}"
