"""How texts become words for the lexical index, where the index's own rule (runs of letters and digits) does not suffice.

Scripts without spaces become overlapping pairs of characters, so that any part of them is found; emoji become words.
"""

import re

__all__ = ["indexable"]

_UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003134f"
)
_EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff"
_RUNS = re.compile(f"[{_UNSPACED}]+|(?P<emoji>[{_EMOJI}](?:[\\s\u200d\ufe0f]*[{_EMOJI}])*)")
_MOST_EMOJI = 32
"""Different ones of a run that are found."""


def indexable(text: str) -> str:
    """The text with spaces where the index should see the ends of words."""
    if text.isascii():
        return text
    return _RUNS.sub(lambda match: f" {_emoji_words(match[0]) if match['emoji'] else _as_words(match[0])} ", text)


def _as_words(run: str) -> str:
    return " ".join(run[start : start + 2] for start in range(len(run) - 1)) if len(run) > 1 else run


def _emoji_words(run: str) -> str:
    """Each of them once: a page of hearts is found by a heart, and costs no more than one."""
    different = [one for one in dict.fromkeys(run) if not one.isspace() and one not in "\u200d\ufe0f"]
    return " ".join(f"emoji{ord(one):x}" for one in different[:_MOST_EMOJI])
