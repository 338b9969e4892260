"""One request to an agent on its way: its steps so far, what each answer leads to, and what came of it all. No I/O."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agent_loop.step_requests import last_request, later_request
from caxton_llm.agent_loop.tool_runner import CallOutcome, ToolResult, ToolRunner, called_name
from caxton_llm.discreet import Discreet
from caxton_llm.dispatch.totals import summed
from caxton_llm.errors import UnsupportedFeature
from caxton_llm.types import ChatRequest, ChatResponse, Message, Tool, ToolCall, Usage

__all__ = ["LoopRecord", "LoopResult"]


class LoopResult(Discreet, Struct, frozen=True, kw_only=True):
    """What came of a request. `response` is the last answer, with the usage, cost, attempts and warnings of all, those of
    agents that were called among them."""

    response: ChatResponse
    steps: tuple[Message, ...] = ()
    """What came before the last answer: messages with calls, each followed by the results of all its calls."""
    outcomes: tuple[CallOutcome, ...] = ()

    @property
    def message(self) -> Message | None:
        """The last answer; it may hold calls of tools that the caller runs. `None`: the provider gave none."""
        return self.response.choices[0].message if self.response.choices else None

    @property
    def usage(self) -> Usage | None:
        """Of all steps; `None` where one of them is not known."""
        return self.response.usage


class LoopRecord:
    """The record of one request. At most `max_steps` answers may call tools of `runner`; the one after them may not.

    Raises `UnsupportedFeature` for several answers at once (`n`) where there are tools.
    """

    def __init__(self, request: ChatRequest, runner: ToolRunner, max_steps: int) -> None:
        if runner.tools and request.n is not None and request.n > 1:
            raise UnsupportedFeature("an agent with tools gives one answer; leave n out", param="n")
        self._request = request
        self._runner = runner
        self._max_steps = max_steps
        self._answers: list[ChatResponse] = []
        self._called: list[ChatResponse] = []
        """Answers of other agents."""
        self._warnings: list[str] = []
        self.steps: list[Message] = []
        self.outcomes: list[CallOutcome] = []
        self.callers = _callers_tools(request)
        """The names of the tools that the caller has brought."""
        self.parallel = request.parallel_tool_calls is not False

    @property
    def _is_last(self) -> bool:
        return len(self._answers) >= self._max_steps

    def next_request(self) -> ChatRequest:
        """What the model is asked now."""
        if self._is_last:
            return last_request(self._request)
        return later_request(self._request) if self._answers else self._request

    def take(self, answer: ChatResponse) -> list[ToolCall]:
        """An answer has come: the calls that are to be run before the model is asked again. Empty: it was the last."""
        is_last = self._is_last
        choice = answer.choices[0] if answer.choices else None
        calls = answer.tool_calls
        ours = [call for call in calls if not self._is_callers(call)]
        if choice is None or not ours:
            self._answers.append(answer)
            return []
        if is_last or choice.finish_reason in ("content_filter", "error"):
            self._answers.append(_without(answer, ours))
            self._warn(len(ours), answer)
            return []
        self._answers.append(answer)
        self.steps.append(choice.message)
        return calls

    def add(self, results: Sequence[ToolResult]) -> None:
        """The calls have been run."""
        self.steps += [result.message for result in results]
        self.outcomes += [result.outcome for result in results]
        self._warnings += [warning for result in results if (warning := result.outcome.warning)]
        self._called += [result.answer for result in results if result.answer is not None]

    def result(self) -> LoopResult:
        """What came of the request, after its last answer."""
        if len(self._answers) > self._max_steps:
            steps = "1 step" if self._max_steps == 1 else f"{self._max_steps} steps"
            self._warnings.insert(0, f"tools were called in {steps}: the model was made to answer without any more")
        response = summed([*self._called, *self._answers], self._warnings)
        return LoopResult(response=response, steps=tuple(self.steps), outcomes=tuple(self.outcomes))

    def _is_callers(self, call: ToolCall) -> bool:
        """Whether a call is the caller's to run. One of a tool that nobody has brought is not: the model is told."""
        if not self._runner.tools:
            return True
        name = called_name(call)
        return name in self.callers and not self._runner.knows(name)

    def _warn(self, number: int, answer: ChatResponse) -> None:
        why = (
            "it was to answer without any" if answer.choices[0].finish_reason != "content_filter" else "it was filtered"
        )
        calls = "a call" if number == 1 else f"{number} calls"
        self._warnings.append(f"{calls} of a tool in the last answer of {answer.model} is left out: {why}")


def _callers_tools(request: ChatRequest) -> frozenset[str]:
    names = [name for tool in request.tools or () if (name := _name_of(tool))]
    return frozenset([*names, *(function.name for function in request.functions or ())])


def _name_of(tool: Tool) -> str:
    if tool.function is not None:
        return tool.function.name
    name = tool.custom.get("name") if isinstance(tool.custom, dict) else None
    return name if isinstance(name, str) else ""


def _without(answer: ChatResponse, calls: Sequence[ToolCall]) -> ChatResponse:
    """The answer without these calls of its first choice."""
    first = answer.choices[0]
    kept = [call for call in first.message.tool_calls or () if call not in calls]
    message = replace(
        first.message, tool_calls=kept or None, content=first.message.content or ("" if not kept else None)
    )
    finish = "stop" if first.finish_reason == "tool_calls" and not kept else first.finish_reason
    changed = replace(first, message=message, finish_reason=finish)
    return replace(answer, choices=[changed, *answer.choices[1:]], dialect="", wire=None)
