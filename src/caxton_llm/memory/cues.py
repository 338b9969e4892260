"""By which beginnings a sentence is known to state something lasting. Short lists, English and some German.

Better one too few than one too many: what is not recognised is still found among the turns.
"""

import re
from collections.abc import Iterable
from typing import Literal

__all__ = ["Lasting", "is_order", "lasting", "subject_of"]

Lasting = Literal["preference", "fact", "decision", "request"]
"""`request`: somebody asks in so many words that it be remembered."""

_LEAD = (
    r"(?:(?:and|also|so|well|ok|okay|oh|hi|hello|btw|by the way|fyi|actually|please"
    r"|und|auch|\u00fcbrigens|bitte)[,:]? )*"
)
"""What may stand before a cue."""


def _begins(cues: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"{_LEAD}(?:{'|'.join(cues)})", re.IGNORECASE)


_NOT_THIS = r"(?!(?:it|that|this|these|those|the (?:idea|way|first|second|last)|how|your?)\b)"
_THINGS = (
    r"(?:name|team|company|employer|manager|boss|job|role|title|birthday|time ?zone|(?:native |first )?language|wife|husband"
    r"|partner|daughter|son|dog|cat|home ?town|city|country|editor|laptop|operating system|stack|e-?mail(?: address)?|address"
    r"|office|product|database|backend|frontend|codebase|repository|repo|ci|cluster|cloud(?: provider)?|budget|policy"
    r"|convention|style(?: guide)?|default (?:branch|currency|language)|currency|fiscal year|favou?rite \w+)"
)
_ACTS = (
    r"(?:use|write|answer|reply|respond|call|address|format|keep|include|add|send|show|start|begin|end|run|ask|tell|avoid"
    r"|prefer|put|attach|sort|round|list|mention|cite|quote|sign|give|state|mark|highlight|summari[sz]e|translate|create"
    r"|generate|export|render|check)"
)
_HABITS = (
    r"(?:report|deploy|ship|release|invoice|bill|publish|review|commit|merge|measure|store|pay|buy|book|meet|test)"
)
_HENCEFORTH = r"(?:from now on|in (?:the )?future|going forward|ab jetzt|k\u00fcnftig|in Zukunft)"

_CUES: dict[Lasting, re.Pattern[str]] = {
    "request": _begins(
        (
            r"(?:remember|don't forget|do not forget|make a note)(?: that\b| to\b|:|,)",
            r"for the record[,:]",
            r"(?:merke? dir|denk(?:e)? daran|vergiss nicht)\b",
        )
    ),
    "preference": _begins(
        (
            rf"I(?: \w+ly| always| never)? (?:prefer|like|love|hate|dislike|can't stand) {_NOT_THIS}\w",
            rf"I (?:don't|do not) (?:like|want|eat|drink|use) {_NOT_THIS}\w",
            r"I (?:always|never|usually) (?:use|want|write|drink|eat|work|travel|fly|read|deploy|commit|pay|book)\b",
            rf"(?:always|never) {_ACTS}\b",
            rf"{_HENCEFORTH}\b",
            rf"(?:{_ACTS}|don't|do not)\b[^?]*\b{_HENCEFORTH}\b",
            r"ich (?:bevorzuge|mag|esse|trinke|nutze|verwende) (?!(?:es|das|dies\w*)\b)\w",
        )
    ),
    "fact": _begins(
        (
            r"(?:note|keep in mind) that\b",
            rf"(?:my|our)(?: (?!problem|question|issue)\w+){{0,2}}? {_THINGS} (?:is|are|has|runs|uses|lives) {_NOT_THIS}\w",
            r"(?:I'm|I am) (?:called|based in|allergic to|from|responsible for|in charge of)\b",
            r"(?:I'm|I am) an? (?!(?:bit|little|tad|lot|fan|huge|big|total)\b)\w+",
            r"I (?:work (?:at|for|as|in)|live in|was born|speak|manage|lead)\b",
            r"call me (?!(?:back|when|if|at|later|crazy)\b)\w",
            rf"we (?:always|never|usually) (?:{_ACTS}|{_HABITS}) {_NOT_THIS}\w",
            rf"we(?: all| mostly| only)? (?:use|run on|work with|are based in|deploy (?:to|on|with)|host) {_NOT_THIS}\w",
            r"(?:mein name ist|ich hei(?:\u00df|ss)e|ich (?:arbeite|wohne|lebe) (?:bei|f\u00fcr|als|in))\b",
            r"wir (?:nutzen|verwenden)\b",
            r"(?:unsere?|meine?) (?:\w+ )?(?:firma|team|datenbank|adresse|chef(?:in)?|frau|mann|abteilung) ist\b",
        )
    ),
    "decision": _begins(
        (
            r"we(?:'ve| have)? (?:decided|agreed|settled on|chose|chosen)\b",
            r"we(?:'ll| will| are going to|'re going to) (?:go with|use|stick (?:to|with)|(?:switch|move|migrate) to)\b",
            r"let's (?:use|go with|stick (?:to|with)|agree on|settle on|switch to)\b",
            r"(?:it's|it is|it was) decided\b|decision:",
            r"(?:the|our) (?:\w+ )?(?:deadline|due date|release date|launch date|budget) is\b",
            r"wir haben (?:uns )?(?:.{1,60} )?(?:entschieden|beschlossen|geeinigt)\b",
            r"(?:die frist|der termin|das budget) ist\b",
        )
    ),
}

_PASSING = re.compile(
    r"\b(?:now|today|tonight|tomorrow|right away|at the moment|just"
    r"|this (?:time|one|file|error|test|function|code|line|question)"
    r"|below|above|the following|attached|here|heute|gerade|gleich)\b",
    re.IGNORECASE,
)
"""Words of what holds for the moment only."""
_FROM_NOW_ON = re.compile(r"\bfrom now on\b", re.IGNORECASE)

_ORDERS = re.compile(
    r"\b(?:ignor\w*|disregard\w*|forget|override|bypass|vergiss)\b.{0,40}\b(?:instruction|rule|prompt|guideline|anweisung|regel)\w*"
    r"|\bsystem prompt\b|\byou are now\b|\bdeveloper mode\b|\bjailbreak\w*|\bpretend (?:to be|that you)\b"
    r"|<\||\[/?INST\]|</?(?:system|data|assistant|user)\b",
    re.IGNORECASE,
)
"""What wants to be an instruction to the model, or looks like the marks of a prompt."""

_NAME = r"[A-Z][\w&.+-]*(?: (?:[A-Z0-9][\w&.+-]*)){0,3}"
_VERB = (
    r"(?:is|are|was|has|have|had|uses?|runs?|needs?|likes?|prefers?|wants?|lives?|works?|owns?|leads?|must|will|should|can"
    r"|cannot|never|always|belongs?|starts?|ends?|hates?|drinks?|eats?|speaks?)"
)
_SUBJECT = re.compile(rf"({_NAME}) {_VERB}\b")
_INTRODUCED = re.compile(
    rf"{_LEAD}(?:remember|keep in mind|note|don't forget|do not forget|for the record"
    r"|we(?:'ve| have)? (?:decided|agreed))(?: that|[:,])? ",
    re.IGNORECASE,
)
_SENTENCE_BEGINNINGS = """
    i i'm we you he she it they this that these those the a an my our your his her its their there here what when where who
    why how if but and or not no yes everyone everybody nobody someone people
"""
_NO_NAMES = frozenset(_SENTENCE_BEGINNINGS.split())


def lasting(sentence: str) -> Lasting | None:
    """What a sentence states that lasts; `None`: nothing that can be told from its beginning."""
    if is_order(sentence):
        return None
    kind = next((kind for kind, cues in _CUES.items() if cues.match(sentence)), None)
    if kind is None or (kind != "request" and _PASSING.search(_FROM_NOW_ON.sub("", sentence))):
        return None
    return kind


def is_order(text: str) -> bool:
    """Whether it wants to tell the model to leave its instructions, or looks like a part of a prompt."""
    return _ORDERS.search(text) is not None


def subject_of(sentence: str) -> str | None:
    """The name of which something is said behind an introduction: "remember that Ada Novak likes tea"."""
    introduced = _INTRODUCED.match(sentence)
    found = None if introduced is None else _SUBJECT.match(sentence, introduced.end())
    if found is None or found[1].split()[0].casefold() in _NO_NAMES:
        return None
    return found[1]
