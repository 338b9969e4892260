"""A request and the stored conversation that it continues, as one history: nothing is lost, and nothing is there twice."""

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.conversation import Exchange, Position, Thread
from caxton_llm.context.conversation.turns import History, history_of
from caxton_llm.types import ContentPart, FunctionCall, ImageUrl, Message, ToolCall

WORDS = st.text("abc ", min_size=1, max_size=6).map(lambda text: f"w{text}")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


def calling(*ids: str) -> Message:
    calls = [ToolCall(id=one, function=FunctionCall(name="look", arguments="{}")) for one in ids]
    return Message(role="assistant", content=None, tool_calls=calls)


def result(call: str) -> Message:
    return Message(role="tool", tool_call_id=call, content="found")


def thread(*exchanges: tuple[Message, ...], first: int = 0) -> Thread:
    numbered = tuple(Exchange(messages=one, number=first + place) for place, one in enumerate(exchanges))
    return Thread(position=Position(1, first + len(numbered)), exchanges=numbered)


pairs = st.lists(st.tuples(WORDS, WORDS), max_size=6)


@given(pairs, pairs, st.integers(0, 6), WORDS)
def test_whatever_of_the_conversation_a_client_sends_again_is_there_once(
    stored: list[tuple[str, str]], more: list[tuple[str, str]], again: int, asked: str
) -> None:
    known = [(user(one), assistant(other)) for one, other in stored]
    sent = known[len(known) - min(again, len(known)) :] if again else []
    brought = [message for pair in sent for message in pair]
    fresh = [message for one, other in more for message in (user(f"new {one}"), assistant(other))]
    history = history_of([*brought, *fresh, user(asked)], thread(*known))
    said = [message.content for turn in history.turns for message in turn.messages]
    assert said == [message.content for pair in known for message in pair] + [message.content for message in fresh]
    assert [message for exchange in history.fresh for message in exchange] == fresh
    assert history.asked == history.current == (user(asked),)
    numbers = [turn.number for turn in history.turns]
    assert numbers == sorted(set(numbers))


def test_instructions_are_apart_from_what_is_said() -> None:
    messages = [Message(role="system", content="Be brief."), user("a"), Message(role="developer", content="Be kind.")]
    history = history_of(messages, None)
    assert history.instructions == ("Be brief.", "Be kind.")
    assert history.current == (user("a"),)


def test_what_an_agent_did_between_is_no_part_of_what_a_client_sends_back() -> None:
    kept = (user("a"), calling("1"), result("1"), assistant("done"))
    for shown in ("done", "looking\n\ndone"):
        stored = kept if shown == "done" else (kept[0], assistant("looking"), *kept[1:])
        history = history_of([user("a"), assistant(shown), user("b")], thread(stored))
        assert history.fresh == ()
        assert [turn.messages for turn in history.turns] == [stored]


def test_results_of_the_callers_tools_continue_the_turn_that_waits_for_them() -> None:
    open_turn = (user("a"), calling("1", "2"))
    results = (result("1"), result("2"))
    for again in ((), open_turn[1:], open_turn):
        history = history_of([*again, *results], thread((user("x"), assistant("y")), open_turn))
        assert history.current == (*open_turn, *results)
        assert history.asked == results
        assert [turn.number for turn in history.turns] == [0]


def test_a_stored_turn_that_was_continued_is_one_turn() -> None:
    history = history_of([user("b")], thread((user("a"), calling("1")), (result("1"), assistant("done")), first=4))
    (turn,) = history.turns
    assert turn.number == 4
    assert [message.role for message in turn.messages] == ["user", "assistant", "tool", "assistant"]


def test_a_turn_that_comes_again_is_the_same_object_unless_it_is_very_long() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64," + "A" * 80_000))
    thought = Message(role="assistant", content="k", thinking_blocks=[{"type": "thinking", "thinking": "so"}])
    whole = thread(
        (user("a?"), assistant("b")),
        (user("c?"), calling("1")),
        (result("1"), calling("2")),
        (result("2"), assistant("d")),
        (user("e " * 4_000), assistant("f")),
        (user("g " * 40_000), assistant("h")),
        (Message(role="user", content=[ContentPart(type="text", text="i?"), image]), thought),
        (user("j?"), thought),
    )
    first, again = (history_of([user("l?")], whole).turns for _ in range(2))
    assert [len(turn.messages) for turn in first] == [2, 6, 2, 2, 2, 2]
    assert [turn.is_kept for turn in first] == [True, True, True, False, False, True]
    assert all(one is other for one, other in zip(first, again, strict=True) if one.is_kept)
    large = Message(role="tool", tool_call_id="1", content="r" * 70_000)
    (late,) = history_of([user("l?")], thread((user("c?"), calling("1")), (large, assistant("d")))).turns
    assert (late.is_kept, late.characters) == (False, 0)
    grown = thread(*(one.messages for one in whole.exchanges[:3]), (result("2"), calling("3")), (result("3"),))
    assert [len(turn.messages) for turn in history_of([user("l?")], grown).turns] == [2, 7]


def test_a_new_question_leaves_the_open_calls_before_it_where_they_are() -> None:
    history = history_of([user("never mind")], thread((user("a"), calling("1"))))
    assert history.current == (user("never mind"),)
    assert len(history.turns) == 1


def test_messages_of_parts_are_compared_by_their_texts() -> None:
    parts = Message(role="user", content=[ContentPart(type="text", text="a")])
    history = history_of([parts, assistant("b"), user("c")], thread((user("a"), assistant("b"))))
    assert history.fresh == ()


def test_nothing_but_instructions_is_no_request() -> None:
    history = history_of([Message(role="system", content="s")], None)
    assert history.current == ()
    assert history.turns == ()


def asked_and_answered(name: str) -> tuple[Message, Message]:
    return user(f"question {name}"), assistant(f"answer {name}")


def shown(history: History) -> list[tuple[Message, ...]]:
    return [turn.messages for turn in history.turns]


A, B, C, D = map(asked_and_answered, "abcd")


def flat(*exchanges: tuple[Message, ...]) -> list[Message]:
    return [message for exchange in exchanges for message in exchange]


@given(st.lists(st.sampled_from("abc"), max_size=8), st.data())
def test_of_what_a_client_has_from_the_store_nothing_is_stored_again(names: list[str], data: st.DataObject) -> None:
    """Whatever answers it has chosen among, and wherever it has gone on."""
    stored = [asked_and_answered(name) for name in names]
    chosen = data.draw(st.lists(st.booleans(), min_size=len(stored), max_size=len(stored)))
    brought = [one for one, is_chosen in zip(stored, chosen, strict=True) if is_chosen]
    history = history_of([*flat(*brought), user("next")], thread(*stored))
    assert history.fresh == ()
    assert shown(history)[len(history.turns) - len(brought) :] == brought
    numbers = [turn.number for turn in history.turns]
    assert numbers == sorted(set(numbers))


def test_a_question_that_is_asked_again_or_changed_branches_off() -> None:
    history = history_of([*A, *B, user("question c, changed")], thread(A, B, C, D))
    assert shown(history) == [A, B]
    assert history.branched == 2
    after = history_of([*A, *C, user("next")], thread(A, B, C))
    assert shown(after) == [A, C]
    assert [turn.number for turn in after.turns] == [0, 2]
    assert after.branched == 1


def test_an_exchange_that_the_client_has_changed_stands_in_its_place_and_is_not_stored() -> None:
    changed = (B[0], assistant("shorter"))
    history = history_of([*changed, *C, user("next")], thread(A, B, C))
    assert shown(history) == [A, changed, C]
    assert history.fresh == ()
    assert [turn.number for turn in history.turns] == [0, 1, 2]
    assert history.branched == 1


def test_what_was_said_elsewhere_after_a_branch_is_stored() -> None:
    history = history_of([*A, *D, user("next")], thread(A, B))
    assert shown(history) == [A, D]
    assert history.fresh == (D,)
    assert [turn.number for turn in history.turns] == [0, 2]


def test_what_an_agent_may_not_see_is_compared_all_the_same() -> None:
    stored = thread(A, B, C)
    hidden = history_of([user("next")], stored, seen=0)
    assert hidden.turns == ()
    again = history_of([*A, *B, *C, user("next")], stored, seen=0)
    assert shown(again) == [A, B, C]
    assert again.fresh == ()
    assert shown(history_of([*C, user("next")], stored, seen=2)) == [B, C]


def test_a_long_conversation_of_the_same_words_is_compared_in_no_time() -> None:
    every = [A] * 5_000
    history = history_of([*flat(*every), *D, user("next")], thread(*every))
    assert history.fresh == (D,)
    assert len(history.turns) == 5_001


def test_calls_that_the_caller_did_not_run_say_so_in_every_later_request() -> None:
    open_turn = (user("a"), calling("1", "2"), result("1"))
    history = history_of([user("never mind")], thread(open_turn, B))
    closed = (*open_turn, Message(role="tool", tool_call_id="2", content="[not run]"))
    assert shown(history) == [closed, B]
    assert history.current == (user("never mind"),)


def test_results_behind_everything_that_was_said_continue_the_turn_that_waits_for_them() -> None:
    open_turn = (user("x"), calling("1"))
    history = history_of([*A, *B, *open_turn, result("1")], thread(A, B, open_turn))
    assert shown(history) == [A, B]
    assert history.asked == (result("1"),)
    assert history.fresh == ()
    assert history.branched is None
