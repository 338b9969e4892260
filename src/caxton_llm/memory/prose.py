"""What somebody has written himself in a message: its prose without code, quotations and secrets, in lines and sentences.

Nothing is rewritten: every line and every sentence stands so in the message.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from caxton_llm.wire.error_body import masked

__all__ = ["holds_secret", "prose_lines", "sentences", "shortened"]

_FENCE = re.compile(r"^\s*(```|~~~)")
_QUOTED = re.compile(r"^\s*>|^(?: {4}|\t)")
"""A quotation, or code that is indented."""
_MARK = re.compile(r"^\s*(?:[-*\u2022+]|\d{1,3}[.)])\s+")
"""What begins an item of a list."""
_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bz\.B\.)(?<!\bd\.h\.)(?<!\b[DM]r\.)\s+")

# Words for what opens a door, as people choose it or machines make it.
_BY_PEOPLE = (
    r"(?:pass(?:word|wort|phrase|wd|code)|kennwort|pwd|pw|pin|otp|mot de passe|contrase\u00f1a|senha|wachtwoord|has\u0142o"
    r"|parola)"
)
_BY_MACHINES = (
    r"(?:secret|token|api[ _-]?key|(?:access|private|secret|license)[ _-]?key|schl(?:\u00fc|ue)ssel|credentials?"
    r"|zugangsdaten)"
)
_NAMED_SECRET = re.compile(
    rf"\b(?:{_BY_PEOPLE}|{_BY_MACHINES})\b[^.!?\n]{{0,40}}?(?:\b(?:is|are|ist|lautet)\b|[:=])\s*\S"
    rf"|\b{_BY_PEOPLE}\b[^.!?\n]{{0,40}}?\b(?:est|es|\u00e9|\u00e8)\s+(?=\S*\d)\S{{4,}}"
    # A setting: DB_PASSWORD=...
    r"|(?<![A-Za-z])(?:password|passwd|pwd|secret|token|api_?key|passphrase|private_?key)(?:_\w{0,20})?\s*[:=]\s*\S{6,}"
    rf"|\b{_BY_PEOPLE}\s+(?:(?:code|number|to)\s+)?(?=\S*\d)\S{{4,}}"
    r"|\b(?:secret|token|key)\s+\S{20,}"
    rf"|\bas (?:the |our |my |a |your )?{_BY_PEOPLE}\b"
    r"(?!\s+(?:store|manager|provider|policy|vault|service|field|generator|management))",
    re.IGNORECASE,
)
_FORMED_SECRET = re.compile(
    r"-----(?:BEGIN|END) |\bAKIA[0-9A-Z]{12,}|\bgh[pousr]_\w{10,}|\bgithub_pat_\w+|\bglpat-\S+|\bxox[abprs]-\S+"
    r"|\b(?:npm|hf|dop_v1|sk_live|sk_test|rk_live)_\w{16,}|\bpypi-\w{16,}|://[^\s/:@]+:[^\s/@]+@"
    r"|\b(?:\d[ -]?){13,19}\b|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"
)
"""Keys by their beginnings, credentials in an address, numbers of cards and accounts."""
_SIGNS = frozenset("!&$#%*^?~")
_CHOSEN = (7, 64)
"""How long the words are that people choose for passwords."""
_BLOCK_BEGINS, _BLOCK_ENDS = "-----BEGIN ", "-----END "
"""Of a key that takes several lines."""
_LONG_WORD = re.compile(r"[A-Za-z0-9+=]{20,}")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")


def prose_lines(text: str) -> list[str]:
    """The lines that are neither code, nor quoted, nor hold a secret; none of a text that cannot be stored."""
    if "\0" in text or not _is_whole(text):
        return []
    return [line for line in map(str.strip, _outside_fences(text)) if line and not holds_secret(line)]


def sentences(line: str) -> list[str]:
    """The sentences of a line, without the mark of a list's item before the first."""
    return [sentence for part in _END.split(_MARK.sub("", line)) if (sentence := part.strip())]


def holds_secret(text: str) -> bool:
    """Whether something in it looks like a password, a key, a token, or the number of a card or an account."""
    if masked(text) != text or _FORMED_SECRET.search(text) or _NAMED_SECRET.search(text):
        return True
    if any(map(_is_chosen, text.split())):
        return True
    return any(_is_random(word) for word in _LONG_WORD.findall(text))


def shortened(text: str, longest: int) -> str:
    """The beginning of a text, at most `longest` characters; it ends with a line, a sentence or a word where one ends late
    enough."""
    if len(text) <= longest:
        return text
    head = text[:longest]
    for end in (head.rfind("\n"), max(head.rfind(mark) for mark in (". ", "! ", "? ")) + 1, head.rfind(" ")):
        if end > longest // 2:
            return head[:end].rstrip()
    return head


def _outside_fences(text: str) -> Iterator[str]:
    fence, is_key = "", False
    for line in text.splitlines():
        is_key = (is_key or _BLOCK_BEGINS in line) and _BLOCK_ENDS not in line
        if is_key:
            continue
        if found := _FENCE.match(line):
            fence = "" if fence == found[1] else fence or found[1]
        elif not fence and not _QUOTED.match(line):
            yield line


def _is_chosen(word: str) -> bool:
    """Letters of both cases, digits, and a sign among them."""
    word = word.strip("\"'()[]{},.;:!?")
    if not _CHOSEN[0] <= len(word) <= _CHOSEN[1] or _SIGNS.isdisjoint(word) or "/" in word or "=" in word:
        return False
    return any(map(str.isdigit, word)) and any(map(str.islower, word)) and any(map(str.isupper, word))


def _is_random(word: str) -> bool:
    """Letters of both cases and digits, or hexadecimal: no word, and no name with a version."""
    if _HEXADECIMAL.fullmatch(word):
        return True
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(word))
    return changes >= 3 and any(map(str.islower, word)) and any(map(str.isupper, word))


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
