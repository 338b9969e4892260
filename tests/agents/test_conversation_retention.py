"""`context.conversations`: what is too old or too much is deleted by itself between the start and the end."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from caxton_llm import Caxton
from caxton_llm.agents.conversation import ConversationKey, Exchange
from caxton_llm.stores.conversations import ConversationStore
from caxton_llm.types import Json, Message

_PATIENCE_S = 30.0


def kept_for(folder: Path, **conversations: Json) -> dict[str, Json]:
    return {
        "llm": {"provider": "builtin"},
        "agents": [{"name": "A"}],
        "context": {"conversations": {"data_dir": str(folder), **conversations}},
    }


def begin(folder: Path, **ages_in_days: float) -> None:
    for name, days in ages_in_days.items():
        with ConversationStore(folder, clock=lambda days=days: time.time() - days * 86_400) as store:  # type: ignore[misc]
            store.append(ConversationKey(name, "A"), [Exchange(messages=(Message(role="user", content="Hi"),))])


def names(folder: Path) -> list[str]:
    with ConversationStore(folder) as store:
        return [one.key.conversation for one in store.conversations()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():
            await asyncio.to_thread(threading.Event().wait, 0.01)


@pytest.mark.parametrize("limit", [{"max_age_days": 30}, {"max_conversations": 2}])
async def test_what_may_not_stay_is_deleted_when_the_gateway_starts(tmp_path: Path, limit: dict[str, Json]) -> None:
    begin(tmp_path, ancient=400, older=20, newer=1)
    async with Caxton.from_dict(kept_for(tmp_path, **limit)) as caxton:
        await until(lambda: names(tmp_path) == ["older", "newer"])
        assert caxton.agents is not None
        assert caxton.agents.problems == []
    assert names(tmp_path) == ["older", "newer"]


async def test_without_limits_everything_stays_and_nothing_runs_in_the_background(tmp_path: Path) -> None:
    begin(tmp_path, ancient=4000)
    async with Caxton.from_dict(kept_for(tmp_path)):
        assert not [thread for thread in threading.enumerate() if thread.name == "caxton-upkeep"]
    assert names(tmp_path) == ["ancient"]


async def test_where_nobody_ever_kept_a_conversation_no_store_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "conversations"
    async with Caxton.from_dict(kept_for(folder, max_age_days=1)):
        pass
    assert not folder.exists()


async def test_the_thread_ends_with_the_gateway(tmp_path: Path) -> None:
    begin(tmp_path, ancient=400)
    async with Caxton.from_dict(kept_for(tmp_path, max_age_days=1)) as caxton:
        await caxton.start()  # starting twice is starting once
        assert len([thread for thread in threading.enumerate() if thread.name == "caxton-upkeep"]) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "caxton-upkeep"]


async def test_a_store_that_cannot_be_read_is_a_problem_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "conversations.db").write_bytes(b"this is no database, and longer than a header of one" * 20)
    async with Caxton.from_dict(kept_for(tmp_path, max_age_days=1)) as caxton:
        agents = caxton.agents
        assert agents is not None
        await until(lambda: bool(agents.problems))
        (problem,) = agents.problems
    assert problem.startswith("conversations: what is too old or too much could not be deleted: ")
