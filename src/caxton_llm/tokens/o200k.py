"""The o200k vocabulary (GPT-4o and later) on tiktoken, with the vocabulary inside the package: nothing is downloaded.

For models of other vendors the count is an estimate. Loading takes about half a second and happens at the first count.
"""

import functools
import pkgutil
from base64 import b64decode
from collections.abc import Iterator
from typing import TYPE_CHECKING

from caxton_llm.errors import LlmError

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["O200kCounter"]

# The split pattern of o200k_base, as OpenAI publishes it with the vocabulary.
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|"
    r"\s+(?!\S)|"
    r"\s+"
)
# The pattern matches recursively: tiktoken panics in a run of somewhat under a million blanks, and a run without blanks
# costs more for each character the longer it is.
_MOST_CHARACTERS = 100_000
_SPECIAL = {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}


class O200kCounter:
    """A `TokenCounter` on o200k. Safe to share between threads."""

    def count(self, text: str) -> int:
        """Tokens of `text`; special tokens in it count as ordinary text. Exact up to 100,000 characters and wherever a
        longer text has spaces between words; elsewhere off by at most a token or two in 50,000 characters."""
        if len(text) <= _MOST_CHARACTERS:
            return len(_encoding().encode_ordinary(text))
        return sum(len(_encoding().encode_ordinary(part)) for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    """The text cut before spaces, where tokens begin, into parts that tiktoken can take."""
    start = 0
    while len(text) - start > _MOST_CHARACTERS:
        end = start + _MOST_CHARACTERS
        space = text.rfind(" ", start + _MOST_CHARACTERS // 2, end)
        cut = end if space < 0 else space
        yield text[start:cut]
        start = cut
    yield text[start:]


@functools.cache
def _encoding() -> "Encoding":
    import lzma  # noqa: PLC0415 - most programs never count

    from tiktoken import Encoding  # noqa: PLC0415

    packed = pkgutil.get_data("caxton_llm.tokens", "o200k_base.tiktoken.xz")
    if packed is None:
        raise LlmError("the vocabulary is missing from the installed package caxton_llm: install it again")
    ranks = {}
    for line in lzma.decompress(packed).splitlines():
        token, rank = line.split()
        ranks[b64decode(token)] = int(rank)
    return Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens=_SPECIAL)
