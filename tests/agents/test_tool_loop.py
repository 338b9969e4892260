"""The loop of an agent with a scripted model: which calls it runs, when it ends, and what all of it took."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from caxton_llm.agent_loop.tool_runner import RUN_BY_CALLER, ToolRunner
from caxton_llm.errors import DeadlineExceeded, LlmError, RateLimited, UnknownModel, UnsupportedFeature
from caxton_llm.testing import FakeClock, FakeProvider
from caxton_llm.tools.servers import McpServers
from caxton_llm.types import ChatResponse, ToolCall, Usage
from looping import asked, call, calling, fitter_of, function, loop_of, results_of
from mcp_running import ALL, program, running
from module_loops import module_scoped

pytestmark = pytest.mark.asyncio(loop_scope="module")


@module_scoped
async def servers() -> AsyncIterator[McpServers]:
    async with running(program("odd_tools.py")) as together:
        await together.start()
        yield together


@module_scoped
async def runner(servers: McpServers) -> ToolRunner:
    offered = await servers.tools(ALL)
    return ToolRunner(offered.tools, servers=servers, access=ALL)


def echo(text: str, call_id: str = "") -> ToolCall:
    return call("echo", {"text": text}, id=call_id)


async def test_an_answer_without_calls_is_the_answer(runner: ToolRunner) -> None:
    model = FakeProvider("Hello")
    result = await loop_of(model, runner).complete(asked(), fitter_of(runner))
    assert (result.response.text, result.steps, result.outcomes) == ("Hello", (), ())
    assert result.message is result.response.choices[0].message


async def test_calls_are_run_and_the_model_is_asked_again_with_their_results(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("one", "1"), echo("two", "2"), text="Let me see."), "It is two.")
    result = await loop_of(model, runner).complete(asked(), fitter_of(runner))
    assert result.response.text == "It is two."
    assert [message.role for message in result.steps] == ["assistant", "tool", "tool"]
    assert result.steps[0].content == "Let me see."
    assert list(result.steps) == model.requests[1].messages[1:]
    assert results_of(model.requests[1]) == [f'<data from="tool">\n{text}\n</data>' for text in ("one", "two")]
    assert [(outcome.name, outcome.is_error) for outcome in result.outcomes] == [("echo", False)] * 2


async def test_usage_cost_attempts_and_warnings_are_those_of_all_steps(runner: ToolRunner) -> None:
    first = calling(echo("x"), usage=Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12))
    first.warnings = ["trimmed"]
    second = calling(echo("y"), usage=Usage(prompt_tokens=20, completion_tokens=3, total_tokens=23))
    second.warnings = ["trimmed", "slow"]
    model = FakeProvider(first, RateLimited("wait"), second, "Done")
    result = await loop_of(model, runner).complete(asked(), fitter_of(runner))
    assert result.usage == Usage(prompt_tokens=31, completion_tokens=6, total_tokens=37)
    assert result.response.cost_usd == pytest.approx(1.5)
    assert result.response.attempts == 4
    assert [attempt.error for attempt in result.response.failed_attempts] == ["rate_limited"]
    assert result.response.warnings == ["trimmed", "slow"]


async def test_what_one_step_does_not_say_is_not_known_of_all(runner: ToolRunner) -> None:
    silent = calling(echo("x"))
    silent.usage = None
    loop = loop_of(FakeProvider(silent, "Done"), runner, cost=None)
    result = await loop.complete(asked(), fitter_of(runner))
    assert (result.usage, result.response.cost_usd) == (None, None)


async def test_bytes_of_one_answer_are_kept_only_where_it_is_the_only_one(runner: ToolRunner) -> None:
    def plain(*calls: ToolCall) -> ChatResponse:
        answer = calling(*calls)
        answer.dialect, answer.wire = "openai_chat", b"{}"
        return answer

    alone = await loop_of(FakeProvider(plain()), runner).complete(asked(), fitter_of(runner))
    later = await loop_of(FakeProvider(plain(echo("x")), plain()), runner).complete(asked(), fitter_of(runner))
    assert (alone.response.dialect, alone.response.wire) == ("openai_chat", b"{}")
    assert (later.response.dialect, later.response.wire) == ("", None)


async def test_calls_of_the_callers_tools_end_the_loop_and_go_to_the_caller(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("x")), calling(call("pick"), call("pick", id="second")))
    request = asked(tools=[function("pick")])
    result = await loop_of(model, runner).complete(request, fitter_of(runner))
    assert [made.id for made in result.response.tool_calls] == ["call_pick", "second"]
    assert result.response.choices[0].finish_reason == "tool_calls"
    assert len(result.outcomes) == 1


async def test_where_both_are_called_ours_are_run_and_the_callers_refused_and_it_goes_on(runner: ToolRunner) -> None:
    model = FakeProvider(calling(call("pick"), echo("x")), calling(call("pick")))
    result = await loop_of(model, runner).complete(asked(tools=[function("pick")]), fitter_of(runner))
    assert results_of(model.requests[1]) == [f"The call failed: {RUN_BY_CALLER}", '<data from="tool">\nx\n</data>']
    assert [made.id for made in result.response.tool_calls] == ["call_pick"]


async def test_a_tool_that_nobody_has_brought_is_told_to_the_model(runner: ToolRunner) -> None:
    model = FakeProvider(calling(call("invented")), "Then without.")
    result = await loop_of(model, runner).complete(asked(tools=[function("pick")]), fitter_of(runner))
    assert "there is no tool of this name" in results_of(model.requests[1])[0]
    assert (result.response.text, result.outcomes[0].failure) == ("Then without.", "unknown")


async def test_the_answer_says_which_calls_failed_and_why_without_the_tools_words(runner: ToolRunner) -> None:
    calls = [call("refuse", {}, id="1"), call("echo", {"text": 7}, id="2"), call("nothing", {}, id="3")]
    model = FakeProvider(calling(*calls), calling(echo("x")), "Sorry.")
    result = await loop_of(model, runner).complete(asked(), fitter_of(runner))
    assert result.response.warnings == [
        "a call of the tool refuse failed: it reports an error",
        "a call of the tool echo failed: its arguments did not fit",
        "a call of a tool that there is not failed: the model made up its name",
    ]


async def test_without_tools_of_its_own_the_loop_leaves_all_to_the_caller() -> None:
    bare = ToolRunner([])
    result = await loop_of(FakeProvider(calling(call("any"))), bare).complete(asked(n=2), fitter_of(bare))
    assert len(result.response.tool_calls) == 1


async def test_after_the_last_step_the_model_must_answer_and_a_warning_says_so(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("1")), calling(echo("2")), "Enough.")
    result = await loop_of(model, runner, max_steps=2).complete(asked(), fitter_of(runner))
    assert [request.tool_choice for request in model.requests] == [None, None, "none"]
    assert result.response.text == "Enough."
    assert result.response.warnings == ["tools were called in 2 steps: the model was made to answer without any more"]


async def test_a_model_that_calls_a_tool_even_then_has_that_call_left_out(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("1")))
    result = await loop_of(model, runner, max_steps=3).complete(asked(), fitter_of(runner))
    assert len(model.requests) == 4
    assert (result.response.text, result.response.tool_calls) == ("", [])
    assert result.response.choices[0].finish_reason == "stop"
    assert result.response.warnings[1] == (
        "a call of a tool in the last answer of m is left out: it was to answer without any"
    )


async def test_calls_of_an_answer_that_was_filtered_are_not_run(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("1"), finish="content_filter"))
    result = await loop_of(model, runner).complete(asked(), fitter_of(runner))
    assert (len(model.requests), result.outcomes, result.response.tool_calls) == (1, (), [])
    assert result.response.choices[0].finish_reason == "content_filter"
    assert "it was filtered" in result.response.warnings[0]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "echo"}}])
async def test_a_forced_choice_is_for_the_first_step_alone(runner: ToolRunner, choice: str) -> None:
    model = FakeProvider(calling(echo("1")), "Done")
    result = await loop_of(model, runner).complete(asked(tool_choice=choice), fitter_of(runner))
    assert [request.tool_choice for request in model.requests] == [choice, None]
    assert result.response.text == "Done"


async def test_several_answers_at_once_are_refused_where_there_are_tools(runner: ToolRunner) -> None:
    loop = loop_of(FakeProvider("x"), runner)
    with pytest.raises(UnsupportedFeature, match="leave n out"):
        await loop.complete(asked(n=2), fitter_of(runner))
    with pytest.raises(UnsupportedFeature, match="leave n out"):
        loop.stream(asked(n=2), fitter_of(runner))
    with pytest.raises(UnknownModel):
        loop.stream(asked(model="nobody"), fitter_of(runner))


async def test_a_provider_that_fails_in_a_later_step_is_an_error(runner: ToolRunner) -> None:
    model = FakeProvider(calling(echo("1")), UnsupportedFeature("no"))
    with pytest.raises(LlmError, match="no"):
        await loop_of(model, runner).complete(asked(), fitter_of(runner))


async def test_the_deadline_is_for_the_whole_request_and_ends_running_calls(
    runner: ToolRunner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    marker = tmp_path_factory.mktemp("deadline") / "marker"
    clock = FakeClock()
    model = FakeProvider(calling(call("hold", {"marker": str(marker)})))
    loop = loop_of(model, runner, deadline_s=0.5, clock=clock)
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.5 s, the calls of its tools included"):
        await loop.complete(asked(), fitter_of(runner))
    for _ in range(100):
        await runner.run([echo("x")])
        if marker.exists():
            break
    assert marker.read_text() == "cancelled"


async def held(runner: ToolRunner) -> int:
    """How many calls of `hold` the server has seen."""
    (seen,) = await runner.run([call("calls")])
    return str(seen.message.content).count("hold")


async def test_a_request_that_is_left_ends_its_calls(
    runner: ToolRunner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    marker = tmp_path_factory.mktemp("left") / "marker"
    before = await held(runner)
    model = FakeProvider(calling(call("hold", {"marker": str(marker)})))
    task = asyncio.create_task(loop_of(model, runner).complete(asked(), fitter_of(runner)))
    for _ in range(100):
        if await held(runner) > before:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        await runner.run([echo("x")])
        if marker.exists():
            break
    assert marker.read_text() == "cancelled"
