"""What a question is about: its words without those that only make it a sentence, and the names that it mentions. Pure."""

import re

from caxton_llm.caching.texts import kept_of_text
from caxton_llm.memory.duplicates import name_words, words_key

__all__ = ["FUNCTION_WORDS", "content_words", "is_question", "name_keys_in"]

_NAMING_WORDS = 64
"""Words of a query, the first, among which names are looked for."""
_LONGEST_NAME = 5

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_POSSESSIVE = re.compile(r"['\u2019]s?$", re.IGNORECASE)

_ENGLISH = """
    a an the and or but if nor so than then that this these those there here
    i me my mine you your yours he him his she her hers it its we us our ours they them their theirs
    am is are was were be been being do does did doing done have has had having
    will would shall should can could may might must
    of in on at to for from by with about into onto as up down out over under
    what when where who whom whose which why how
    not no yes any some such too very just also
    isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't won't wouldn't can't couldn't shouldn't
    i'm you're we're they're i've you've we've they've i'll you'll he'll she'll we'll they'll
    i'd you'd he'd she'd we'd they'd
"""

FUNCTION_WORDS = frozenset(_ENGLISH.split())
"""English words that make a sentence of others and say nothing alone."""


@kept_of_text(256)
def content_words(query: str) -> str:
    """`query` without punctuation, possessive endings and English function words: what late interaction compares.

    When nothing would be left ("what is it?"), the query as it is. Kept, because a request is compared with more than one
    thing.
    """
    words = [_POSSESSIVE.sub("", word) for word in _WORD.findall(query)]
    return " ".join(word for word in words if _plain(word) not in FUNCTION_WORDS) or query


@kept_of_text(256)
def name_keys_in(query: str) -> tuple[bytes, ...]:
    """Keys (as of `name_key`) of all runs of up to five words of `query`, and of what stands there in signs alone: what it
    may call by its name.

    Runs of function words alone are left out. Who has a thing is named too: "Ann's dog" names Ann. Kept, because a request
    is compared with more than one thing.
    """
    words = name_words(query)[:_NAMING_WORDS]
    runs = {" ".join(name_words(token)) for token in query.split()[:_NAMING_WORDS] if not any(map(str.isalnum, token))}
    for start in range(len(words)):
        run, names_something = "", False
        for word in words[start : start + _LONGEST_NAME]:
            owner = word.removesuffix("'s")
            if owner != word and (names_something or owner not in FUNCTION_WORDS):
                runs.add(f"{run} {owner}" if run else owner)
            run = f"{run} {word}" if run else word
            names_something = names_something or word not in FUNCTION_WORDS
            if names_something:
                runs.add(run)
    return tuple(sorted(map(words_key, runs)))


def is_question(text: str) -> bool:
    """Whether `text` ends by asking: what it asks for is then more likely in the turn after it."""
    return text.rstrip().endswith(("?", "\uff1f", "\u061f"))


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")
