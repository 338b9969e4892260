"""Composing under a budget: which tools are offered, which turns are sent, what is told to the caller."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.agents.conversation import Exchange, Position, Summary, Thread
from caxton_llm.agents.requirements import ALL_TURNS, Requirements
from caxton_llm.context.compose import Composed, compose
from caxton_llm.context.conversation.excerpts import Excerpts
from caxton_llm.context.conversation.turns import History, PastTurn, history_of
from caxton_llm.context.costs import Costs
from caxton_llm.context.material import Material, Remembered, compared
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.errors import InvalidRequest
from caxton_llm.tokens import Factors
from caxton_llm.tool_specs import ToolData
from caxton_llm.types import ContentPart, FileInput, Json, Message
from made_up_material import PAST, costs_of, exchange, material, offers, sentence, view

ASKED = Message(role="user", content="What did Ann order for Lisbon?")


def made(
    gathered: Material, budget: int = 2_000, *, kind: str = "openai", reserve: int = 0, costs: Costs | None = None
) -> Composed:
    target = view(kind, budget)
    return compose(gathered, target, costs or costs_of(target), PAST, reserve=reserve)


def said(count: int) -> list[Message]:
    chance = random.Random(3)
    return [message for place in range(count) for message in exchange(chance, place)]


def names(composed: Composed) -> list[str]:
    return [tool.function.name for tool in composed.tools if tool.function is not None]


def stored(count: int, brought: Sequence[Message] = (), *, needs: Requirements) -> Material:
    """A request that continues a stored conversation of so many turns."""
    chance = random.Random(4)
    thread = Thread(
        position=Position(1, count),
        exchanges=tuple(Exchange(messages=tuple(exchange(chance, place)), number=place) for place in range(count)),
    )
    history = history_of([*brought, ASKED], thread)
    excerpts, _ = compared(history, (), str(ASKED.content), PAST)
    return replace(material([ASKED]), history=history, excerpts=excerpts, requirements=needs)


# -- tools --------------------------------------------------------------------------------------------------------------


def test_where_the_vendors_own_tool_prompt_leaves_no_room_no_tools_are_offered_and_each_says_so() -> None:
    composed = made(material([ASKED], tools=offers(3)), 600, kind="anthropic")
    assert composed.tools == ()
    assert composed.reserve == 0
    reasons = {one.piece.id: (one.kept, one.reason) for one in composed.decisions if one.piece.source == "tools"}
    assert reasons == {f"tool:find_{number}": (False, "no budget left") for number in range(3)}
    assert made(material([ASKED], tools=offers(3)), 1_600, kind="anthropic").tools


@pytest.mark.parametrize("budget", [300, 360, 420, 480])
def test_the_same_budget_offers_the_same_tools_first_whatever_is_likely(budget: int) -> None:
    tools = offers(12)
    other = tuple(replace(one, likelihood=0.9 - one.likelihood, is_likely=not one.is_likely) for one in tools)
    sure = [
        [name for name in names(composed) if reason_of(composed, name) == "always"]
        for composed in (made(material([ASKED], tools=some), budget) for some in (tools, other))
    ]
    assert sure[0] == sure[1]
    assert sure[0]
    assert len(sure[0]) < 12


def reason_of(composed: Composed, tool: str) -> str:
    return next(one.reason for one in composed.decisions if one.piece.id == f"tool:{tool}")


def test_tools_that_always_come_stand_before_those_that_come_by_chance() -> None:
    composed = made(material([ASKED], tools=offers(12)), 600)
    sure = [reason_of(composed, name) == "always" for name in names(composed)]
    assert sure == sorted(sure, reverse=True)


def test_a_tool_that_the_request_names_is_always_offered() -> None:
    tools = tuple(
        replace(one, likelihood=1.0, is_likely=True) if one.spec.name == "find_9" else one for one in offers(12)
    )
    for budget in range(260, 500, 20):
        assert "find_9" in names(made(material([ASKED], tools=tools), budget))


def test_a_tenth_of_the_budget_stays_free_where_tools_are_offered() -> None:
    long, found = said(40), 200
    assert made(material([*long, ASKED], memories=found, tools=offers(3)), 3_000).tokens <= 2_700
    assert made(material([*long, ASKED], memories=found), 3_000).tokens > 2_700
    assert made(material([*long, ASKED], memories=found, tools=offers(3)), 3_000, reserve=1_500).tokens <= 1_500
    assert made(material([*long, ASKED], memories=found, tools=offers(3)), 40_000).reserve == 2_000


@pytest.mark.parametrize("tools", [0, 12])
def test_a_budget_is_enough_from_what_instructions_and_request_take(tools: int) -> None:
    gathered = material([*said(3), ASKED], memories=5, tools=offers(tools))
    enough = 40
    while True:
        try:
            least = made(gathered, enough)
            break
        except InvalidRequest as error:
            assert f"whole context is {enough}" in error.message
            assert "instructions" in error.message
            assert "request" in error.message
            enough += 1
    assert least.tokens == enough
    assert [made(gathered, budget).tokens <= budget for budget in range(enough, enough + 400, 7)]


def test_a_reserve_that_leaves_no_room_is_named_in_the_error() -> None:
    with pytest.raises(InvalidRequest, match="of which 1,990 must stay free"):
        made(material([ASKED]), 2_000, reserve=1_990)


# -- past turns ---------------------------------------------------------------------------------------------------------


def test_turns_of_the_clients_own_that_are_left_out_are_told() -> None:
    composed = made(material([*said(30), ASKED], depth=10), 20_000)
    sent = len({one.piece.id for one in composed.decisions if one.kept and one.piece.tier == "recent"})
    (note,) = composed.notes
    assert note.startswith(f"{30 - sent} of the 30 earlier turns in the request are not sent word for word")
    left_out = [one for one in composed.decisions if not one.kept and one.piece.tier == "recent"]
    assert len(left_out) == 30 - sent
    assert {one.reason for one in left_out} <= {"more than asked for", "before the window"}
    assert made(material([*said(4), ASKED], depth=10), 20_000).notes == ()


def sent_turns(composed: Composed) -> int:
    return sum(one.kept and one.piece.tier == "recent" for one in composed.decisions)


def test_half_of_the_wanted_turns_come_before_what_was_looked_up_and_without_that_all_that_fit() -> None:
    long = [Message(role=one.role, content=f"{one.content} " + "So it was said. " * 20) for one in said(34)]
    alone, beside = material([*long, ASKED], depth=10), material([*long, ASKED], memories=100, depth=10)
    whole = made(alone, 20_000)
    assert sent_turns(whole) == 10
    enough = whole.tokens
    assert sent_turns(made(alone, int(1.2 * enough))) == 10
    for budget in range(int(0.65 * enough), 2 * enough, 100):
        assert sent_turns(made(beside, budget)) >= 5
    reasons = {one.reason for budget in range(int(0.5 * enough), enough, 50) for one in made(alone, budget).decisions}
    assert "before the window" in reasons


def test_turns_that_have_no_room_say_so() -> None:
    composed = made(material([*said(30), ASKED], depth=ALL_TURNS), 700)
    assert "tokens for everything (the agent's budget)" in composed.notes[0]
    reasons = {one.reason for one in composed.decisions if not one.kept and one.piece.tier == "recent"}
    assert reasons <= {"no budget left", "before the window"}
    assert "no budget left" in reasons


def test_without_a_conversation_nothing_stored_is_sent_and_what_the_request_brings_is() -> None:
    brought = [Message(role="user", content="My name is Bo."), Message(role="assistant", content="Hello Bo.")]
    needs = Requirements(conversation=False, conversation_depth=0)
    composed = made(stored(30, brought, needs=needs), 4_000)
    assert composed.prepared.history == tuple(brought)
    assert composed.prepared.excerpts == ()
    assert composed.prepared.digest == ""
    assert not [one for one in composed.decisions if one.piece.id.startswith("conversation:")]
    permitted = made(stored(30, brought, needs=Requirements(conversation_depth=0)), 4_000)
    assert permitted.prepared.excerpts


def test_the_strategy_of_all_turns_sends_as_many_as_fit() -> None:
    needs = Requirements(conversation_depth=ALL_TURNS)
    assert made(stored(40, needs=needs), 10_000).window_from == 0
    some = made(stored(40, needs=needs), 2_000)
    assert some.window_from
    assert some.overflow > 0


def test_of_a_very_long_conversation_only_what_has_room_is_counted() -> None:
    target = view("openai", 2_000)
    costs = _Counting(costs_of(target))
    gathered = replace(stored(2_000, needs=Requirements(conversation_depth=ALL_TURNS)), excerpts=Excerpts.none())
    made(gathered, costs=costs)  # type: ignore[arg-type]
    assert costs.counted < 2_000


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("instructions", ["", "You count chairs."])
def test_a_stored_turn_that_begins_with_a_system_message_is_counted_with_all_else(kind: str, instructions: str) -> None:
    told = (Message(role="system", content="Answer in French. " * 40), *exchange(random.Random(5), 1))
    thread = Thread(position=Position(1, 1), exchanges=(Exchange(messages=told),))
    gathered = replace(
        material([ASKED]),
        history=history_of([ASKED], thread),
        requirements=Requirements(conversation_depth=5),
        instructions=instructions,
    )
    composed = made(gathered, kind=kind)
    costs = costs_of(view(kind, 2_000))
    assert composed.window_from == 0
    assert composed.tokens == sum(map(costs.message, composed.messages)) + costs.frame(
        gathered.request, offers_tools=False
    )


def test_turns_that_a_client_has_changed_are_brought_back_like_any_other() -> None:
    first, second = exchange(random.Random(6), 1), exchange(random.Random(6), 2)
    changed = [message for place in (3, 5, 6) for message in exchange(random.Random(7), place)]
    thread = Thread(
        position=Position(1, 2), exchanges=(Exchange(messages=tuple(first)), Exchange(messages=tuple(second), number=1))
    )
    history = history_of([*changed, *first, *second, ASKED], thread)
    assert len(history.turns) == 5
    excerpts, _ = compared(history, (), str(ASKED.content), PAST)
    every, others = excerpts.between(0, 5, least=0.0, most=100)
    assert {one.turn for one in every} == set(range(5))
    assert others == 0


def test_what_was_gathered_can_be_shown_without_a_word_of_it() -> None:
    shown = repr(stored(3, needs=Requirements(conversation_depth=5)))
    assert "Excerpts" in shown
    assert "Lisbon" not in shown


def remembered(count: int) -> tuple[Remembered, ...]:
    chance = random.Random(8)
    return tuple(
        Remembered(record=f"r{place}", place=0, name="", text=sentence(chance), similarity=0.4, score=0.9 - place / 20)
        for place in range(count)
    )


@pytest.mark.parametrize("budget", [400, 700, 1_200, 3_000, 20_000])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama"])
def test_what_is_told_in_numbers_is_what_the_decisions_say(budget: int, kind: str) -> None:
    gathered = replace(
        stored(60, needs=Requirements(conversation_depth=8)),
        offers=offers(9),
        memories=remembered(12),
    )
    composed = made(gathered, budget, kind=kind)
    dropped = [one for one in composed.decisions if not one.kept]
    assert composed.dropped == len(dropped)
    tools = [one for one in dropped if one.piece.id.startswith("tool:")]
    said = [note for note in composed.notes if "tools were left out" in note]
    assert [note.partition(" ")[0] for note in said] == ([str(len(tools))] if tools else [])
    assert {one.piece.id for one in composed.decisions if one.kept} == set(composed.selection.taken)


@pytest.mark.parametrize(("kind", "taken"), [("openai", 128), ("azure", 128), ("anthropic", 200), ("vllm", 200)])
def test_no_more_tools_are_offered_than_the_provider_takes_and_likely_ones_come_first(kind: str, taken: int) -> None:
    every = offers(200)
    last = max(every, key=lambda offer: offer.spec.name)
    gathered = replace(
        material([ASKED]),
        offers=tuple(replace(one, likelihood=0.5, is_likely=True) if one is last else one for one in every),
    )
    composed = made(gathered, 100_000, kind=kind)
    assert len(composed.tools) == taken
    names = [tool.function.name for tool in composed.tools if tool.function is not None]
    assert last.spec.name in names
    said = f"{200 - taken} of the agent's tools were left out, because {kind} takes 128 at most"
    assert composed.notes == (() if taken == 200 else (said,))
    assert composed.dropped == 200 - taken


def test_where_there_is_room_for_one_tool_only_it_is_offered_though_nothing_says_that_it_is_wanted() -> None:
    unlikely = tuple(replace(one, likelihood=0.0, is_likely=False) for one in offers(3))
    composed = made(replace(material([ASKED]), offers=unlikely), 170)
    assert len(composed.tools) == 1
    assert any(note.startswith("2 of the agent's tools were left out, because their") for note in composed.notes)


def test_of_past_turns_only_as_much_is_a_candidate_as_there_may_be_room_for() -> None:
    needs = Requirements(conversation_depth=4)
    candidates = [len(made(stored(150, needs=needs), budget).found.past.excerpts) for budget in (400, 800, 20_000)]
    assert 0 < candidates[0] < candidates[1] < candidates[2]
    for budget in (400, 20_000):
        gathered = stored(150, needs=needs)
        composed = made(gathered, budget)
        first = len(gathered.history.turns) - len(composed.found.past.window)
        before = [one for one in gathered.excerpts if one.turn < first]
        assert len(composed.found.past.excerpts) + composed.less_relevant == len(before)


def digest_of(turns: Sequence[PastTurn], summaries: tuple[Summary, ...] = ()) -> str:
    """That of a conversation of which these turns are seen, the last four of them word for word."""
    history = History(instructions=(), turns=tuple(turns), current=(ASKED,), asked=(ASKED,))
    needs = Requirements(conversation_depth=4)
    gathered = replace(material([ASKED]), history=history, requirements=needs, summaries=summaries)
    return made(gathered, 4_000).prepared.digest


def test_the_digest_of_a_long_conversation_stays_while_what_is_seen_of_it_moves_on() -> None:
    turns = [
        PastTurn(number=number, messages=tuple(exchange(random.Random(number), 1)), is_kept=True)
        for number in range(200)
    ]
    digests = [digest_of(turns[first:]) for first in range(1, 60)]
    assert 1 <= sum(one != other for one, other in pairwise(digests)) <= 2
    assert all(digests)


@pytest.mark.parametrize("last", [24, 25, 26, 29])
def test_behind_a_summary_a_digest_has_everything_that_the_summary_has_not(last: int) -> None:
    fact = "Ann paid 4711 euros to Carla in Oslo in May 2021."
    turns = [
        PastTurn(number=number, messages=(Message(role="user", content=fact if number == 30 else "Yes"),), is_kept=True)
        for number in range(200)
    ]
    assert fact in digest_of(turns, (Summary(first=0, last=last, text="Orders were discussed."),))


def test_turns_that_no_summary_covers_are_digested_also_where_a_client_shows_others_between_them() -> None:
    facts = {4: "Ann paid 4711 euros to Carla in Oslo.", 5: "Ben sold 812 chairs to Emre in Porto."}
    turns = [
        PastTurn(number=number, messages=(Message(role="user", content=facts.get(place, "Yes")),), is_kept=True)
        for place, number in enumerate((*range(6), *range(-2, 6), *range(6, 10)))
    ]
    digest = digest_of(turns, (Summary(first=0, last=3, text="Orders were discussed."),))
    assert all(fact in digest for fact in facts.values())


def test_nothing_that_was_said_or_is_remembered_is_shown_with_a_context() -> None:
    chance = random.Random(2)
    exchanges = [tuple(exchange(chance, 1)) for _ in range(40)]
    exchanges[4] = exchanges[11] = (
        Message(role="user", content="What is the word for Lisbon?"),
        Message(role="assistant", content="The word is zanzibar. Ann said zanzibar in Lisbon."),
    )
    thread = Thread(
        position=Position(1, 40),
        exchanges=tuple(Exchange(messages=messages, number=number) for number, messages in enumerate(exchanges)),
    )
    asked = Message(role="user", content="What is the word, zanzibar?")
    history = history_of([asked], thread)
    memories = tuple(replace(one, text=f"zanzibar {one.text}") for one in remembered(4))
    excerpts, memories = compared(history, memories, str(asked.content), PAST)
    gathered = replace(
        material([asked], tools=offers(2)),
        history=history,
        excerpts=excerpts,
        memories=memories,
        requirements=Requirements(conversation_depth=3),
    )
    composed = made(gathered, 3_000)
    assert composed.prepared.digest
    assert any("zanzibar" in one.text for one in composed.prepared.excerpts)
    assert "zanzibar" not in repr(composed).lower()


class _Counting:
    """Costs that know how often they were asked for a message."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self.counted = 0
        self.text, self.line, self.tools = costs.text, costs.line, costs.tools
        self.frame, self.uncounted = costs.frame, costs.uncounted

    def message(self, message: Message) -> int:
        self.counted += 1
        return self._costs.message(message)

    def turn(self, turn: PastTurn) -> int:
        self.counted += len(turn.messages)
        return self._costs.turn(turn)


# -- memories and content -----------------------------------------------------------------------------------------------


FACT = "The audit password hint is the blue parrot of Lisbon"
MINUTES = f"{FACT} {' '.join(['and another item of the audit was discussed at length'] * 60)}"


def test_a_short_text_comes_back_where_the_long_one_that_contains_it_has_no_room() -> None:
    known = [
        Remembered(record=name, place=0, name=name, text=text, similarity=0.9, score=score)
        for name, text, score in (("note", FACT, 0.8), ("minutes", MINUTES, 0.9))
    ]
    for budget, kept in ((400, "note"), (2_000, "minutes")):
        composed = made(replace(material([ASKED]), memories=tuple(known)), budget)
        assert composed.memories == (kept,)
        others = {one.piece.id: one.reason for one in composed.decisions if not one.kept}
        assert list(others.values()) == ["no budget left" if kept == "note" else "is contained in another"]


def test_what_nobody_counts_is_told() -> None:
    part = ContentPart(type="file", file=FileInput(file_id="file-1"))
    asked = Message(role="user", content=[ContentPart(type="text", text="Read this."), part])
    gathered = replace(material([ASKED]), history=history_of([asked], None))
    assert made(gathered).notes == ("not counted: content of type file",)


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.5, 2.0), min_size=3, max_size=3),
    st.sampled_from(["openai", "anthropic", "ollama"]),
    st.integers(1_000, 6_000),
)
def test_what_each_source_takes_adds_up_to_the_whole_whatever_was_learned_of_tokens(
    factors: list[float], kind: str, budget: int
) -> None:
    learned = dict(zip(("prose", "json", "code"), factors, strict=True))
    target = replace(view(kind, budget), factors=Factors(**learned, cjk=1.0, deviation=0.02))
    kept: dict[str, Json] = {"sold": "What the office has sold, and where. " * 15, "rows": [{"n": [1, 2]}] * 30}
    data = [ToolData(key=key, value=one, source="configured", fetched_at=0.0) for key, one in kept.items()]
    told = [replace(offer, tool=ToldTool(offer.spec, tuple(data))) for offer in offers(3)]
    gathered = replace(material([*said(2), ASKED], memories=5, tools=tuple(told)), instructions="")
    composed = compose(gathered, target, costs_of(target), PAST)
    assert sum(composed.spent.values()) == composed.tokens
    assert all(count > 0 for count in composed.spent.values())
