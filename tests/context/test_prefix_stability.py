"""From turn to turn a prompt keeps its beginning, which providers then need not read again."""

import itertools
import random

import pytest
from msgspec.json import encode

from caxton_llm.context.compose import Composed, compose
from caxton_llm.context.render.provider import CACHED_FROM
from caxton_llm.types import Message
from made_up_material import COUNT, PAST, costs_of, exchange, material, offers, view

KINDS = ["openai", "anthropic", "ollama"]
TURNS = 45
BUDGET = 6_000


def replayed(kind: str, *, memories: int = 30, budget: int = BUDGET) -> list[Composed]:
    """Each turn's context, with what was said in the turns before."""
    chance = random.Random(5)
    turns = [exchange(chance, place) for place in range(TURNS)]
    target, tools, found = view(kind, budget), offers(10), []
    for place, turn in enumerate(turns):
        messages = [message for earlier in turns[:place] for message in earlier]
        gathered = material([*messages, turn[0]], memories=memories, tools=tools, chance=random.Random(place))
        found.append(compose(gathered, target, costs_of(target), PAST))
    return found


def parts(made: Composed) -> list[str]:
    """Tools and messages as a provider reads them, without marks for its cache."""
    return [encode(tool).decode() for tool in made.tools] + [written(message) for message in made.messages]


def written(message: Message) -> str:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text or "" for part in content or ())
    return f"{message.role}: {text} {encode(message.tool_calls or []).decode()}"


def begins_alike(one: list[str], other: list[str]) -> list[str]:
    return [mine for mine, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_begins_with_the_turn_before_it_unless_the_window_moves(kind: str) -> None:
    moves = 0
    for one, other in itertools.pairwise(replayed(kind)):
        if one.stable_tokens < CACHED_FROM:
            continue
        before, after = one.prepared.history, other.prepared.history
        if after[: len(before)] != before:
            moves += 1
            continue
        kept = len(begins_alike(parts(one), parts(other)))
        assert kept >= len(one.tools) + 1 + len(before)
    assert 0 < moves < TURNS / 4


@pytest.mark.parametrize("kind", KINDS)
def test_nine_tenths_of_what_two_turns_share_stand_at_their_beginning(kind: str) -> None:
    shares = []
    for one, other in itertools.pairwise(map(parts, replayed(kind))):
        shared = sum(COUNT(part) for part in set(one) & set(other))
        shares.append(sum(map(COUNT, begins_alike(one, other))) / shared)
    assert sum(shares) / len(shares) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_definitions_of_tools_are_the_same_bytes_in_every_turn(kind: str) -> None:
    assert len({encode(list(made.tools)) for made in replayed(kind, memories=120, budget=3_000)}) == 1


def test_a_turn_without_anything_looked_up_begins_as_the_others_do() -> None:
    chance = random.Random(8)
    messages = [message for place in range(10) for message in exchange(chance, place)]
    asked = Message(role="user", content="And what else?")
    target = view("openai", BUDGET)
    with_some, without = (
        compose(
            material([*messages, asked], depth=50, memories=count, tools=offers(20)), target, costs_of(target), PAST
        )
        for count in (5, 0)
    )
    assert without.stable_tokens >= CACHED_FROM
    assert not without.prepared.memories
    assert not without.prepared.excerpts
    assert with_some.messages[0] == without.messages[0]


def test_a_long_request_does_not_move_the_window() -> None:
    chance = random.Random(9)
    messages = [message for place in range(40) for message in exchange(chance, place)]
    target = view("openai", 2_000)
    short, long = (
        compose(material([*messages, Message(role="user", content=text)]), target, costs_of(target), PAST)
        for text in ("And the lamps?", "And the lamps? " * 60)
    )
    assert short.prepared.history
    assert short.prepared.history == long.prepared.history
