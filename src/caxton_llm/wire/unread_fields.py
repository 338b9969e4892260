"""Fields of a request that nobody may read: ours where no agent is asked, and names that are hardly anything but mistakes.

Fields that are not of the common model go on to the provider, which often reads over what it does not know.
"""

from collections.abc import Iterable

from caxton_llm.near_names import nearest_name
from caxton_llm.types import ChatRequest, Json

__all__ = ["sent_fields", "unread_by_agent", "unread_by_model"]

_OF_AGENTS = ("context", "conversation_id")
"""They say what the context is made of."""
_COMMON = tuple(name for name in ChatRequest.__struct_fields__ if name not in ("extra", "source"))
_READ_BY_AGENTS = (*_COMMON, *_OF_AGENTS, "providers")
"""`providers` is for a context that is only shown."""
_OTHERS = frozenset({"models", "reasoning_format", "speed"})
"""Parameters of some providers that are called almost like another one."""
_NEAR = 0.85


def sent_fields(request: ChatRequest) -> dict[str, Json]:
    """The further fields of a request to an agent that go on to the provider."""
    return {name: value for name, value in request.extra.items() if name not in _OF_AGENTS}


def unread_by_model(request: ChatRequest) -> list[str]:
    """What is to be said of the further fields of a request to a model."""
    told = [
        f"{name} is read for agents only, and {request.model!r} is none: it went on to the provider as it is"
        for name in _OF_AGENTS
        if name in request.extra
    ]
    return told + _misspelt(request.extra, _COMMON)


def unread_by_agent(request: ChatRequest) -> list[str]:
    """What is to be said of the further fields of a request to an agent."""
    return _misspelt(request.extra, _READ_BY_AGENTS)


def _misspelt(names: Iterable[str], known: tuple[str, ...]) -> list[str]:
    meant = ((name, nearest_name(name, known, _NEAR)) for name in names if name not in known and name not in _OTHERS)
    return [f"{name[:100]} is no parameter that is known here: did you mean {one}?" for name, one in meant if one]
