"""A request and the stored conversation that it continues, as one history: nothing is lost, and nothing is there twice."""

from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.conversation import Exchange, Position, Thread
from caxton_llm.context.turns import history_of
from caxton_llm.types import ContentPart, FunctionCall, Message, ToolCall

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
