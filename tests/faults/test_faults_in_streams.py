"""What goes wrong after the first content: an error that everybody sees, or the same text continued; never a quiet end."""

import re
from typing import Any

import pytest

from chat_clients import problem_of
from fakes import FakeOpenAI
from faults.continuing import ContinuingOllama, ContinuingVllm
from faults.fault_gateway import PROMPT, FaultGateway, assert_answered_by, fault_gateway, second_entry
from faults.laboratory import CUT_AFTER, TEXT, TOKENS, Laboratory
from metrics_page import samples

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN = [("cut", "stream_interrupted"), ("cut-cleanly", "stream_interrupted"), ("stalls", "idle_timeout")]
broken = pytest.mark.parametrize(("model", "kind"), BROKEN)
CUT_TEXT = " ".join(TEXT.split()[:CUT_AFTER])

_ENDS = re.compile(r'\[DONE\]|"finish_reason": ?"|message_stop|"stop_reason": ?"')


def words_in(stream: str) -> list[str]:
    """The tokens of the text, in the order in which a raw stream has them."""
    return re.findall(r"word\d+", stream)


@broken
async def test_a_stream_that_breaks_off_is_an_error_of_the_package(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, kind: str
) -> None:
    problem = problem_of(await impatient.error_of(model, package=package, streams=True))
    assert (problem["kind"], problem["source"], problem["provider"]) == (kind, "provider", "first")
    assert lab.asked_for == {model: 1}
    assert second.requests == []


@broken
async def test_the_bytes_of_a_broken_stream_hold_no_end(
    impatient: FaultGateway, lab: Laboratory, second: FakeOpenAI, package: str, model: str, kind: str
) -> None:
    raw = await impatient.raw_stream(model, package=package)
    assert words_in(raw) == TEXT.split()[:CUT_AFTER]
    assert _ENDS.search(raw) is None
    last = raw.strip().split("\n\n")[-1]
    assert '"error"' in last
    assert kind in last
    assert second.requests == []


async def test_a_whole_stream_holds_the_end_that_a_broken_one_lacks(
    gateway: FaultGateway, lab: Laboratory, package: str
) -> None:
    raw = await gateway.raw_stream("healthy", package=package)
    assert words_in(raw) == TEXT.split()
    assert _ENDS.search(raw) is not None


async def test_one_malformed_event_is_skipped_and_counted(lab: Laboratory, second: FakeOpenAI, package: str) -> None:
    async with fault_gateway(lab, second) as running:
        told = await running.ask("malformed", package=package, streams=True)
        page = samples((await running.http.get("/metrics")).text)
    assert_answered_by("first", told, attempts=1, asked="malformed", streams=True)
    assert len(told.caxton["warnings"]) == 1
    assert page["caxton_llm_warnings_total", (("provider", "first"),)] == 1
    assert second.requests == []


# -- continued by another target ----------------------------------------------------------------------------------------


def continuing(server: ContinuingVllm | ContinuingOllama) -> dict[str, Any]:
    kind, model = ("vllm", "llama-3.1-8b") if isinstance(server, ContinuingVllm) else ("ollama", "llama3.2")
    return second_entry(server, provider=kind, model=model)


@broken
@pytest.mark.parametrize("make", [ContinuingVllm, ContinuingOllama], ids=["vllm", "ollama"])
async def test_a_broken_stream_is_continued_by_a_target_that_can(
    lab: Laboratory,
    make: type[ContinuingVllm] | type[ContinuingOllama],
    package: str,
    model: str,
    kind: str,
) -> None:
    async with (
        make() as server,
        fault_gateway(lab, continuing(server), patience_s=0.3, streaming={"resume": True}) as running,
    ):
        told = await running.ask(model, package=package, streams=True)
        last = server.last_request.json["messages"][-1]
    assert (told.text, told.finish) == (TEXT, "stop")
    assert any("resumed" in warning for warning in told.caxton["warnings"])
    assert told.caxton["attempts"] == 2
    assert (last["role"], last["content"]) == ("assistant", CUT_TEXT)
    assert lab.asked_for == {model: 1}
    assert len(server.requests) == 1


async def test_a_continued_stream_has_one_beginning_and_one_end(lab: Laboratory) -> None:
    async with (
        ContinuingVllm() as server,
        fault_gateway(lab, continuing(server), streaming={"resume": True}) as running,
    ):
        raw = await running.raw_stream("cut")
    assert words_in(raw) == TEXT.split()
    assert len(words_in(raw)) == TOKENS
    assert (raw.count('"role"'), raw.count('"finish_reason":"stop"'), raw.count("[DONE]")) == (1, 1, 1)
    assert len(set(re.findall(r'"id": ?"([^"]+)"', raw))) == 1


async def test_without_resume_nobody_else_is_asked_to_go_on(lab: Laboratory, package: str) -> None:
    async with ContinuingVllm() as server, fault_gateway(lab, continuing(server)) as running:
        problem = problem_of(await running.error_of("cut", package=package, streams=True))
    assert problem["kind"] == "stream_interrupted"
    assert server.requests == []


async def test_a_target_that_refuses_to_go_on_leaves_an_error_and_no_second_answer(
    lab: Laboratory, package: str
) -> None:
    async with Laboratory() as other:
        entry = second_entry(other, model="refuses-prefill")
        async with fault_gateway(lab, entry, streaming={"resume": True}) as running:
            problem = problem_of(await running.error_of("cut", package=package, streams=True))
            raw = await running.raw_stream("cut", package=package)
    assert problem["source"] == "provider"
    assert words_in(raw) == TEXT.split()[:CUT_AFTER]
    assert _ENDS.search(raw) is None


async def test_a_target_that_would_answer_anew_is_never_glued_to_a_broken_stream(
    lab: Laboratory, second: FakeOpenAI, package: str
) -> None:
    async with fault_gateway(lab, second, streaming={"resume": True}) as running:
        raw = await running.raw_stream("cut", package=package)
    assert words_in(raw) == TEXT.split()[:CUT_AFTER]
    assert PROMPT not in raw
    assert _ENDS.search(raw) is None
