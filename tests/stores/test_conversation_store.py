"""Stored conversations: nothing is lost, doubled or mixed up, and what is deleted is gone."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caxton_llm.agents.conversation import ConversationKey, Exchange, Position, Summary, Thread
from caxton_llm.errors import ConversationChanged, ConversationDeleted, ConversationStoreError, InvalidRequest
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.stores.conversations.held import HeldExchanges
from caxton_llm.stores.conversations.transfer import export_conversations, import_conversations
from caxton_llm.types import ContentPart, FunctionCall, Message, ToolCall

KEY = ConversationKey("c-1", agent="Writer", tenant="acme")
CALL = ToolCall(id="call-1", function=FunctionCall("look", "{}"))


def said(text: str, answer: str = "Yes.") -> Exchange:
    return Exchange(messages=(Message(role="user", content=text), Message(role="assistant", content=answer)))


ASKED = Exchange(messages=(Message(role="user", content="Look"), Message(role="assistant", tool_calls=[CALL])))
RESULT = Message(role="tool", content="found", tool_call_id="call-1")
ANSWERED = Exchange(messages=(RESULT, Message(role="assistant", content="It is there.")))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[ConversationStore]:
    with ConversationStore(tmp_path / "kept", clock=clock) as opened:
        yield opened


def texts(thread: Thread) -> list[str]:
    return [str(exchange.messages[0].content) for exchange in thread.exchanges]


def test_what_was_appended_is_read_as_it_was_with_calls_results_and_times(
    store: ConversationStore, clock: Clock
) -> None:
    parts = [ContentPart(type="text", text="Look")]
    exchange = Exchange(
        messages=(
            Message(role="user", content=parts, name="ann"),
            Message(role="assistant", tool_calls=[CALL], thinking_blocks=[{"type": "thinking", "signature": "s"}]),
            RESULT,
            Message(role="assistant", content="There."),
        ),
        model="gpt-5.4",
        metadata={"request_id": "r"},
    )
    assert store.append(KEY, [exchange]).length == 1
    clock.now = 1_010.0
    store.append(KEY, [said("Thanks")])
    first, second = store.thread(KEY).exchanges
    assert (first.messages, first.model, first.metadata) == (exchange.messages, "gpt-5.4", {"request_id": "r"})
    assert [(one.number, one.at) for one in (first, second)] == [(0, 1_000.0), (1, 1_010.0)]
    found = store.describe(KEY)
    assert found is not None
    assert (found.key, found.length, found.turns, found.created, found.updated) == (KEY, 2, 2, 1_000.0, 1_010.0)


def test_it_is_there_after_the_store_was_opened_again(tmp_path: Path) -> None:
    with ConversationStore(tmp_path) as before:
        position = before.append(KEY, [said("Hello")])
    with ConversationStore(tmp_path) as after:
        assert texts(after.thread(KEY)) == ["Hello"]
        assert after.thread(KEY).position == position


def test_the_last_turns_never_separate_a_result_from_its_call(store: ConversationStore) -> None:
    store.append(KEY, [said("One"), ASKED, ANSWERED, said("Two")])
    assert texts(store.thread(KEY, last=1)) == ["Two"]
    assert texts(store.thread(KEY, last=2)) == ["Look", "found", "Two"]
    assert texts(store.thread(KEY, last=99)) == ["One", "Look", "found", "Two"]
    assert texts(store.thread(KEY, since=3)) == ["Two"]
    nothing = store.thread(KEY, last=0)
    assert (nothing.exchanges, nothing.position.length) == ((), 4)
    found = store.describe(KEY)
    assert found is not None
    assert (found.length, found.turns) == (4, 3)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_so_many_turns_are_read_as_were_asked_for_or_all(
    tmp_path_factory: pytest.TempPathFactory, continues: list[bool], last: int
) -> None:
    with ConversationStore(tmp_path_factory.mktemp("turns")) as store:
        store.append(KEY, [ANSWERED if one else said("x") for one in continues])
        read = store.thread(KEY, last=last).exchanges
        begins = [number for number, one in enumerate(continues) if number == 0 or not one]
        first = begins[-last] if last <= len(begins) else 0
        assert [one.number for one in read] == list(range(first, len(continues)))


def test_a_thread_that_nobody_began_is_empty(store: ConversationStore) -> None:
    assert store.thread(KEY) == Thread(position=Position())
    assert store.describe(KEY) is None
    assert store.delete(KEY).conversations == 0


def test_neither_tenants_nor_agents_see_each_others_conversations(store: ConversationStore) -> None:
    others = [ConversationKey("c-1", agent="Writer"), ConversationKey("c-1", agent="Other", tenant="acme")]
    for number, key in enumerate([KEY, *others]):
        store.append(key, [said(f"mine {number}")])
    assert texts(store.thread(KEY)) == ["mine 0"]
    assert [one.key for one in store.conversations(tenant="acme")] == [KEY, others[1]]
    assert [one.key for one in store.conversations(tenant="acme", agent="Other")] == [others[1]]
    assert store.delete_all(tenant="acme", agent="Writer").conversations == 1
    assert [one.key for one in store.conversations()] == others


def test_of_two_requests_in_one_conversation_the_second_is_told_and_nothing_of_it_stays(
    store: ConversationStore,
) -> None:
    for begun in ([], [said("Before")]):
        if begun:
            store.append(KEY, begun)
        mine = theirs = store.thread(KEY).position
        store.append(KEY, [said("mine")], after=mine)
        with pytest.raises(ConversationChanged, match=rf"had {theirs.length} exchanges .* has {theirs.length + 1} now"):
            store.append(KEY, [said("theirs")], after=theirs)
    assert texts(store.thread(KEY)) == ["mine", "Before", "mine"]


def test_a_conversation_deleted_while_in_use_does_not_come_back(store: ConversationStore) -> None:
    position = store.append(KEY, [said("Hello")])
    store.delete(KEY)
    with pytest.raises(ConversationDeleted, match="'c-1' was deleted while"):
        store.append(KEY, [said("More")], after=position)
    with pytest.raises(ConversationDeleted):
        store.summarize(KEY, Summary(first=0, last=0, text="s"), after=position)
    assert store.describe(KEY) is None
    store.append(KEY, [said("New")])
    with pytest.raises(ConversationDeleted):  # of the same length, but another one
        store.append(KEY, [said("More")], after=position)
    assert texts(store.thread(KEY)) == ["New"]


def test_all_exchanges_are_added_or_none(store: ConversationStore) -> None:
    lost = Exchange(messages=(Message(role="user", content="x"), RESULT))
    with pytest.raises(InvalidRequest) as caught:
        store.append(KEY, [said("One"), lost])
    assert caught.value.param == "exchanges[1].messages[1].tool_call_id"
    assert store.describe(KEY) is None


@pytest.mark.parametrize(
    ("key", "exchange", "param"),
    [
        (ConversationKey(" "), said("x"), "conversation_id"),
        (ConversationKey("c" * 501), said("x"), "conversation_id"),
        (ConversationKey("c", tenant="a\0"), said("x"), "tenant"),
        (ConversationKey("c", agent="\ud800"), said("x"), "agent"),
        (KEY, Exchange(messages=()), "exchanges[0]"),
        (KEY, Exchange(messages=(Message(role="user"),) * 1_001), "exchanges[0]"),
        (KEY, said("x" * 17_000_000), "exchanges[0]"),
        (KEY, said("\ud800"), "exchanges[0]"),
        (KEY, Exchange(messages=said("x").messages, at=1e13), "exchanges[0].at"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_field(
    store: ConversationStore, key: ConversationKey, exchange: Exchange, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.append(key, [exchange])
    assert caught.value.param == param
    assert "xxx" not in str(caught.value)
    assert list(store.conversations()) == []


def test_a_summary_says_what_it_covers_and_takes_the_place_of_its_parts(store: ConversationStore, clock: Clock) -> None:
    position = store.append(KEY, [said(str(number)) for number in range(6)])
    store.summarize(KEY, Summary(first=0, last=1, text="a"), after=position)
    store.summarize(KEY, Summary(first=2, last=3, text="b", model="m"), after=position)
    store.append(KEY, [said("more")])
    store.summarize(KEY, Summary(first=0, last=2, text="c"), after=position)
    read = store.thread(KEY, last=1).summaries
    assert read == (
        Summary(first=0, last=2, text="c", at=clock.now),
        Summary(first=2, last=3, text="b", model="m", at=clock.now),
    )
    for wrong in (
        Summary(first=5, last=6, text="x"),
        Summary(first=1, last=0, text="x"),
        Summary(first=0, last=0, text=""),
    ):
        with pytest.raises(InvalidRequest):
            store.summarize(KEY, wrong, after=position)
    removed = store.delete(KEY)
    assert (removed.conversations, removed.exchanges, removed.summaries) == (1, 7, 2)


READS = st.fixed_dictionaries({}, optional={"last": st.integers(0, 6), "since": st.integers(0, 12)})
STEPS = st.lists(st.one_of(st.integers(1, 3), READS, st.just("delete"), st.just("elsewhere")), max_size=25)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_what_was_read_before_is_read_again_as_whoever_has_just_opened_the_store_reads_it(
    steps: list[int | str | dict[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    number = 0
    with ConversationStore(folder) as store, ConversationStore(folder) as elsewhere:
        for step in steps:
            if isinstance(step, dict):
                with ConversationStore(folder) as fresh:
                    assert store.thread(KEY, **step) == fresh.thread(KEY, **step)
            elif step == "delete":
                elsewhere.delete(KEY)
            elif step == "elsewhere":
                elsewhere.append(KEY, [ASKED, ANSWERED])
            else:
                store.append(KEY, [said(f"said {(number := number + 1)}") for _ in range(int(step))])


def test_what_is_held_is_told_without_waiting_as_far_as_it_is_all(store: ConversationStore) -> None:
    position = store.append(KEY, [said(str(number)) for number in range(9)])
    assert store.held(KEY, last=3) is None
    read = store.thread(KEY, last=3)
    assert store.held(KEY, last=3) == read
    assert store.held(KEY, last=2) == replace(read, exchanges=read.exchanges[1:])
    assert store.held(KEY, last=0) == store.thread(KEY, last=0)
    assert store.held(KEY, last=4) is None
    store.summarize(KEY, Summary(text="Five were told.", first=0, last=4), after=position)
    assert store.held(KEY, last=3) == store.thread(KEY, last=3)
    assert store.thread(KEY, last=50) == store.held(KEY, last=50)
    with ConversationStore(store.folder) as other:
        other.append(KEY, [said("more")])
        assert store.held(KEY, last=3) is None
        assert store.held(KEY, last=50) is None
        assert texts(store.thread(KEY, last=3)) == ["7", "8", "more"]
        assert store.held(KEY, last=3) == store.thread(KEY, last=3)
        other.delete(KEY)
    assert store.held(KEY, last=3) is None
    assert store.thread(KEY, last=3) == Thread(position=Position())


def test_of_what_was_held_the_rest_is_read_and_of_others_nothing(store: ConversationStore) -> None:
    store.append(KEY, [said(str(number)) for number in range(9)])
    assert store.continued(KEY, last=3) is None
    store.thread(KEY, last=3)
    store.append(KEY, [said("more")])
    assert store.continued(KEY, last=3) == store.thread(KEY, last=3)
    assert texts(store.thread(KEY, last=3)) == ["7", "8", "more"]
    assert store.held(KEY, last=3) == store.thread(KEY, last=3)
    assert store.continued(replace(KEY, agent="Reader"), last=3) is None


def test_who_asks_for_what_is_held_waits_for_nobody_who_holds_the_database(tmp_path: Path) -> None:
    with ConversationStore(tmp_path) as store:
        store.append(KEY, [said("one")])
        store.thread(KEY, last=1)
        assert store.held(KEY, last=1) is not None
        with store._impatient.lent() as db:
            assert db.execute("pragma busy_timeout").fetchone() == (0,)
    with ConversationStore(tmp_path) as store, sqlite3.connect(tmp_path / "conversations.db") as other:
        store.thread(KEY, last=1)
        store._connections.close()
        other.execute("pragma locking_mode = exclusive")
        other.execute("begin exclusive")
        assert store.held(KEY, last=1) is None


def test_an_older_transaction_sees_nothing_of_what_was_held_since(store: ConversationStore) -> None:
    position = store.append(KEY, [said(str(number)) for number in range(30)])
    held = HeldExchanges()
    with store._reading() as db:
        assert len(held.read(db, position, since=10)) == 20
        assert held.read(db, replace(position, length=5), since=12) == ()
        assert len(held.read(db, replace(position, length=15), since=12)) == 3


def test_a_long_conversation_is_read_as_it_is_kept(store: ConversationStore) -> None:
    for number in range(6):
        store.append(KEY, [said(f"{number} " + "long " * 20_000)])
        assert [text.split()[0] for text in texts(store.thread(KEY))] == [str(one) for one in range(number + 1)]


def test_conversations_with_long_turns_are_held_until_others_take_their_room(store: ConversationStore) -> None:
    keys = [ConversationKey(f"c{number}", agent="A") for number in range(9)]
    for key in keys:
        store.append(key, [said(f"{number} " + "long " * 12_000) for number in range(40)])
    for key in keys[:3]:
        first = store.thread(key)
        again = store.held(key, last=40)
        assert again is not None
        assert all(one is other for one, other in zip(first.exchanges, again.exchanges, strict=True))
    for key in keys[3:]:
        store.thread(key)
    assert [store.held(key, last=40) is not None for key in keys] == [False] * 3 + [True] * 6
    assert len(store.thread(keys[0]).exchanges) == 40


def test_what_is_deleted_is_in_no_file_any_more(store: ConversationStore) -> None:
    position = store.append(KEY, [said("planted-word " * 500, "answered-word")])
    store.summarize(KEY, Summary(first=0, last=0, text="summary-word"), after=position)
    store.append(ConversationKey("other"), [said("stays-word")])
    assert store.delete(KEY).is_overwritten
    kept = b"".join(path.read_bytes() for path in store.folder.iterdir())
    assert [word for word in (b"planted-word", b"answered-word", b"summary-word", b"acme") if word in kept] == []
    assert b"stays-word" in kept


def test_while_somebody_reads_traces_are_left_to_purge(store: ConversationStore) -> None:
    store.append(KEY, [said("planted-word")])
    reader = sqlite3.connect(store.path)
    reader.execute("begin")
    reader.execute("select count(*) from exchanges").fetchone()
    assert not store.delete(KEY).is_overwritten
    reader.close()
    assert store.purge()
    assert b"planted-word" not in b"".join(path.read_bytes() for path in store.folder.iterdir())


def test_retention_goes_by_the_last_exchange_and_by_the_number_for_each_agent(
    store: ConversationStore, clock: Clock
) -> None:
    for number in range(4):
        clock.now = 1_000.0 + number
        store.append(ConversationKey(f"c{number}", agent="A"), [said("x")])
    store.append(ConversationKey("b", agent="B"), [said("x")])
    clock.now = 1_010.0
    store.append(ConversationKey("c0", agent="A"), [said("again")])
    assert store.retain(max_age_s=8.0).conversations == 1  # c1
    assert store.retain(max_conversations=2).conversations == 1  # c2
    assert [one.key.conversation for one in store.conversations()] == ["c0", "c3", "b"]
    assert store.retain().conversations == 0
    with pytest.raises(InvalidRequest):
        store.retain(max_age_s=-1.0)


# -- several at once ---------------------------------------------------------------------------------------------------------


def test_threads_that_continue_one_conversation_lose_nothing_and_follow_each_other(store: ConversationStore) -> None:
    begin = threading.Barrier(4, timeout=30)

    def writer(name: str) -> int:
        refused = 0
        begin.wait()
        for number in range(10):
            while True:
                position = store.thread(KEY, last=0).position
                try:
                    store.append(KEY, [said(f"{name}{number}", str(position.length))], after=position)
                    break
                except ConversationChanged:
                    refused += 1
        return refused

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, "abcd"))
    thread = store.thread(KEY)
    assert sorted(texts(thread)) == sorted(f"{name}{number}" for name in "abcd" for number in range(10))
    assert [exchange.messages[1].content for exchange in thread.exchanges] == [str(number) for number in range(40)]


WRITER = """
import sys
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.errors import ConversationChanged
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import Message

with ConversationStore(sys.argv[1]) as store:
    key = ConversationKey("c")
    for number in range(20):
        while True:
            position = store.thread(key, last=0).position
            text = f"{sys.argv[2]}{number} {position.length}"
            try:
                store.append(key, [Exchange(messages=(Message(role="user", content=text),))], after=position)
                break
            except ConversationChanged:
                pass
"""


def test_processes_that_continue_one_conversation_lose_nothing_and_follow_each_other(tmp_path: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "ab"]
    assert [run.wait(timeout=50) for run in runs] == [0, 0]
    with ConversationStore(tmp_path) as store:
        written = texts(store.thread(ConversationKey("c")))
    assert [text.split()[1] for text in written] == [str(number) for number in range(40)]
    assert {text.split()[0] for text in written} == {f"{name}{number}" for name in "ab" for number in range(20)}


KILLED = """
import sys
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import Message

store = ConversationStore(sys.argv[1])
for number in range(1_000_000):
    pair = [Exchange(messages=(Message(role="user", content=f"{number}{half}"),)) for half in "ab"]
    print(store.append(ConversationKey("c"), pair).length, flush=True)
"""


def test_after_a_kill_all_that_was_acknowledged_is_there_in_whole_pieces(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    acknowledged = 0
    while acknowledged < 60:
        acknowledged = int(run.stdout.readline())
    run.kill()
    rest = run.stdout.read().split()
    run.wait(timeout=30)
    run.stdout.close()
    with ConversationStore(tmp_path) as store:
        written = texts(store.thread(ConversationKey("c")))
    assert len(written) >= int(rest[-1] if rest else acknowledged)
    assert written == [f"{number}{half}" for number in range(len(written) // 2) for half in "ab"]


# -- out and in --------------------------------------------------------------------------------------------------------------


def filled(store: ConversationStore) -> list[bytes]:
    position = store.append(KEY, [said("One"), ASKED, ANSWERED, *(said(str(number)) for number in range(500))])
    store.summarize(KEY, Summary(first=0, last=2, text="short"), after=position)
    store.append(ConversationKey("other", tenant="b"), [said("Else")])
    return list(export_conversations(store))


def test_an_export_read_into_an_empty_store_is_the_same_conversations(store: ConversationStore, tmp_path: Path) -> None:
    lines = filled(store)
    with ConversationStore(tmp_path / "copy") as copy:
        assert import_conversations(copy, lines).exchanges == 504
        assert list(export_conversations(copy)) == lines
        for key in (KEY, ConversationKey("other", tenant="b")):
            (before, after) = (one.describe(key) for one in (store, copy))
            assert before == after


def test_an_import_can_be_broken_off_and_begun_again(store: ConversationStore, tmp_path: Path) -> None:
    lines = filled(store)
    with ConversationStore(tmp_path / "copy") as copy:
        import_conversations(copy, lines[:321])
        assert import_conversations(copy, lines).exchanges == 504 - 321
        assert import_conversations(copy, lines).exchanges == 0
        assert list(export_conversations(copy)) == lines
        assert import_conversations(copy, lines, tenant="moved").exchanges == 504
        assert len(list(copy.conversations(tenant="moved"))) == 2


def test_an_export_may_be_of_one_conversation(store: ConversationStore) -> None:
    filled(store)
    (line,) = export_conversations(store, tenant="b")
    assert b'"Else"' in line
    assert list(export_conversations(store, tenant="b", conversation="other")) == [line]
    assert list(export_conversations(store, conversation="none")) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([b"{"], "line 1: is not a line of an export"),
        ([b"", b'{"conversation": "c"}'], "line 2: must have one of 'exchange' and 'summary'"),
        ([b'{"conversation": "c", "format": 2, "exchange": {"messages": []}}'], "line 1: has the format 2"),
        ([b'{"conversation": "c", "exchange": {"messages": []}}'], "line 1: has no messages"),
        (
            [b'{"conversation": "c", "exchange": {"number": 3, "messages": [{"role": "user"}]}}'],
            "line 1: exchange 3 comes after 0 exchanges",
        ),
        (
            [b'{"conversation": "c", "exchange": {"number": %d, "messages": [{"role": "user"}]}}' % n for n in (0, 2)],
            "lines 1 to 2: the exchanges do not follow each other",
        ),
        (
            [b'{"conversation": "c", "summary": {"first": 0, "last": 0, "text": "s"}}'],
            "line 1: exchanges 0 to 0 are not among the 0 that there are",
        ),
    ],
)
def test_a_line_that_cannot_be_used_is_named(store: ConversationStore, lines: list[bytes], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        import_conversations(store, lines)
    assert str(caught.value).startswith(message)


def test_a_conversation_that_is_there_with_other_content_is_not_mixed_with_an_import(store: ConversationStore) -> None:
    lines = filled(store)
    store.delete(KEY)
    store.append(KEY, [said("Another beginning")])
    with pytest.raises(InvalidRequest, match="is there with other exchanges"):
        import_conversations(store, lines)
    assert texts(store.thread(KEY)) == ["Another beginning"]


# -- what is wrong with the disk ---------------------------------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    ConversationStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "conversations.db") as db:
        db.execute("pragma user_version = 9")
    db.close()
    with pytest.raises(ConversationStoreError, match="written by a newer version \\(schema 9, this one knows 1\\)"):
        ConversationStore(tmp_path)
    # Whoever closes the last connection takes the log away.
    assert [path.name for path in tmp_path.iterdir()] == ["conversations.db"]


def test_a_database_of_something_else_or_a_damaged_one_is_said_to_be_so(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "conversations.db") as db:
        db.execute("create table other (x)")
    db.close()
    with pytest.raises(ConversationStoreError, match="is a database of something else"):
        ConversationStore(tmp_path)
    (tmp_path / "conversations.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(ConversationStoreError, match="is damaged or no database"):
        ConversationStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConversationStoreError, match="file"):
        ConversationStore(tmp_path / "file" / "under")


def test_a_part_that_cannot_be_read_is_an_error_and_not_left_out(store: ConversationStore) -> None:
    store.append(KEY, [said("One"), said("Two")])
    with sqlite3.connect(store.path) as db:
        db.execute("update exchanges set payload = '{}' where number = 0")
    db.close()
    with pytest.raises(ConversationStoreError, match="cannot be read"):
        store.thread(KEY)
    assert texts(store.thread(KEY, last=1)) == ["Two"]


def test_a_store_may_be_closed_while_others_read_it(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    store.append(KEY, [said(str(number)) for number in range(50)])
    begun = threading.Barrier(5)

    def read() -> None:
        begun.wait()
        with pytest.raises(ConversationStoreError, match="is closed"):
            while len(store.thread(KEY, since=7).exchanges) == 43:
                store._held.forget([1])

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        begun.wait()
        for _ in range(200):
            store.thread(KEY)
        store.close()
        for reader in readers:
            reader.result(timeout=60)


def test_a_closed_store_says_so(store: ConversationStore) -> None:
    store.close()
    store.close()
    with pytest.raises(ConversationStoreError, match="is closed"):
        store.thread(KEY)


def test_nothing_that_was_said_shows_in_a_repr(store: ConversationStore) -> None:
    position = store.append(KEY, [said("planted")])
    store.summarize(KEY, Summary(first=0, last=0, text="planted"), after=position)
    assert "planted" not in repr(store.thread(KEY))
