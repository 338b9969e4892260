"""What kind of text something is: tokenizers of different vendors differ by kind, not by a single factor. Pure and cheap."""

import re
from typing import Literal

__all__ = ["KINDS", "ContentKind", "kind_of"]

ContentKind = Literal["prose", "code", "json", "cjk"]
KINDS: tuple[ContentKind, ...] = ("prose", "code", "json", "cjk")

_LOOKED_AT = 2_000
"""Characters from the beginning by which a text is judged."""
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_SIGNS = re.compile(r"[{}()\[\];=<>_/\\|&*#@$]")


def kind_of(text: str) -> ContentKind:
    """The kind of a text by its signs; a mixture is what most of it is."""
    part = text[:_LOOKED_AT]
    length = max(1, len(part))
    if not part.isascii() and len(_CJK.findall(part)) > length // 5:
        return "cjk"
    if part.lstrip()[:1] in ("{", "[") and part.count('"') > length // 40:
        return "json"
    return "code" if len(_SIGNS.findall(part)) > length // 20 else "prose"
