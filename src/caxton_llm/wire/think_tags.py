"""Reasoning inside the text, between `<think>` and `</think>`: taken apart, wherever the stream is cut.

Some servers leave the tags of the model's template in the answer (vLLM without a reasoning parser, older Ollama). Text is
held back only while it may be the beginning of a tag.
"""

__all__ = ["ThinkSplitter"]

_OPEN = "<think>"
_CLOSE = "</think>"


class ThinkSplitter:
    """Splits one answer; made per answer and choice."""

    __slots__ = ("_held", "_thinking")

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False

    def feed(self, text: str) -> tuple[str, str]:
        """The text and the reasoning that are certain by now."""
        if not self._held and "<" not in text:  # what nearly every fragment looks like
            return ("", text) if self._thinking else (text, "")
        rest = self._held + text
        parts: tuple[list[str], list[str]] = ([], [])
        while True:
            tag = _CLOSE if self._thinking else _OPEN
            before, found, after = rest.partition(tag)
            if not found:
                break
            parts[self._thinking].append(before)
            self._thinking = not self._thinking
            rest = after
        keep = _tag_prefix_at_end(rest, tag)
        self._held = rest[len(rest) - keep :]
        parts[self._thinking].append(rest[: len(rest) - keep])
        return "".join(parts[0]), "".join(parts[1])

    def close(self) -> tuple[str, str]:
        """The answer has ended: what was held back is no tag. An unclosed `<think>` stays reasoning."""
        held, self._held = self._held, ""
        return ("", held) if self._thinking else (held, "")


def _tag_prefix_at_end(text: str, tag: str) -> int:
    """Length of the longest end of `text` that `tag` begins with."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
