"""A request for a model with a smaller window: what is left out, what always stays, and what is said of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.context.fit import CALIBRATION, DoesNotFit, Fitted, fit, fits_surely, prompt_limit
from caxton_llm.tokens import O200kCounter, prompt_tokens
from caxton_llm.types import ChatRequest, ContentPart, FileInput, FunctionDefinition, ImageUrl, Message, Tool
from conversations import call_ids, calls_of, conversations, model, said, words

LONG = "word " * 100


def asked(*turns: str, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=said(*turns), **fields)


def fitted(request: ChatRequest, window: int | None = None, *, calibration: float = 1, **facts: Any) -> Fitted:
    outcome = fit(request, model(window, **facts), words, calibration=calibration)
    assert isinstance(outcome, Fitted), outcome
    return outcome


def reason(request: ChatRequest, window: int | None = None, **facts: Any) -> str:
    outcome = fit(request, model(window, **facts), words, calibration=1)
    assert isinstance(outcome, DoesNotFit)
    return outcome.reason


def texts(request: ChatRequest) -> list[Any]:
    return [message.content for message in request.messages]


# -- the limit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "output", "limit"),
    [
        ({}, 10, None),
        ({"max_output_tokens": 10}, None, None),
        ({"context_window": 1000}, 100, 900),
        ({"context_window": 1000}, 2000, 0),
        ({"context_window": 1000, "max_output_tokens": 300}, 2000, 700),
        ({"context_window": 1000, "max_input_tokens": 800}, 100, 800),
        ({"context_window": 1000, "max_input_tokens": 800}, 300, 700),
        ({"max_input_tokens": 800}, 300, 800),
        ({"context_window": 8192}, None, 6144),
        ({"context_window": 200_000}, None, 183_616),
        ({"context_window": 200_000, "max_output_tokens": 4096}, None, 195_904),
    ],
)
def test_a_prompt_may_have_what_the_answer_leaves_of_the_window(
    facts: dict[str, int], output: int | None, limit: int | None
) -> None:
    window = facts.pop("context_window", None)
    assert prompt_limit(model(window, **facts), output) == limit


def test_of_an_unknown_model_everything_fits() -> None:
    request = asked("user: " + LONG * 100)
    assert fitted(request) == Fitted(request=request)
    assert fitted(request).request is request
    assert fits_surely(request, model())


# -- what is left out ---------------------------------------------------------------------------------------------------


def test_what_fits_by_its_bytes_is_not_counted() -> None:
    def never(text: str) -> int:
        raise AssertionError(text)

    request = asked("user: hi")
    assert fit(request, model(8192), never) == Fitted(request=request)


def test_what_fits_by_its_tokens_stays_the_same_object() -> None:
    request = asked("user: " + LONG, max_tokens=1)
    outcome = fitted(request, 200)
    assert outcome.request is request
    assert outcome.prompt_tokens == prompt_tokens(request, words) == 107
    assert outcome.notes == ()


def test_the_oldest_exchanges_are_left_out_first_and_that_is_said() -> None:
    turns = [f"{role}: {LONG}{number}" for number in range(4) for role in ("user", "assistant")]
    request = asked("system: be brief", *turns, "user: now", max_tokens=1)
    outcome = fitted(request, 500)
    assert texts(outcome.request) == ["be brief", *(f"{LONG}{number}" for number in (2, 2, 3, 3)), "now"]
    assert outcome.notes == ("4 messages left out to fit 500 tokens of small",)
    assert outcome.prompt_tokens == prompt_tokens(outcome.request, words) <= 499
    assert len(request.messages) == 10


def test_a_larger_margin_leaves_out_more() -> None:
    turns = [f"{role}: {LONG}" for _ in range(4) for role in ("user", "assistant")]
    request = asked(*turns, "user: now", max_tokens=1)
    lengths = [len(fitted(request, 700, calibration=margin).request.messages) for margin in (1, 1.5, 3)]
    assert lengths == [7, 5, 3]


def test_a_greeting_before_the_first_question_goes_first() -> None:
    request = asked("system: s", "assistant: " + LONG, "user: q", "assistant: a", "user: now", max_tokens=1)
    assert texts(fitted(request, 100).request) == ["s", "q", "a", "now"]


def test_system_messages_between_the_turns_stay() -> None:
    request = asked("user: " + LONG, "developer: speak French", "assistant: oui", "user: now", max_tokens=1)
    assert texts(fitted(request, 100).request) == ["speak French", "now"]


def test_tool_results_are_part_of_the_exchange_that_called() -> None:
    messages = said("user: " + LONG, "assistant: a", "user: look it up")
    messages += [
        Message(role="assistant", tool_calls=calls_of(1, ["f"])),
        Message(role="tool", tool_call_id="c1_f", content="found"),
        Message(role="user", content="and hurry"),
    ]
    outcome = fitted(ChatRequest(messages=messages, max_tokens=1), 100)
    assert outcome.request.messages == messages[2:]


def test_content_that_nobody_can_count_is_named() -> None:
    pdf = Message(role="user", content=[ContentPart(type="file", file=FileInput(file_id="f"))])
    request = ChatRequest(messages=[*said("user: " + LONG, "assistant: a"), pdf], max_tokens=1)
    assert not fits_surely(request, model(1_000_000))
    assert fitted(request, 1_000_000).request is request
    assert fitted(request, 100).notes[1:] == ("not counted: content of type file",)


def test_images_and_tools_count() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64," + "A" * 100_000))
    request = ChatRequest(messages=[*said("user: q", "assistant: a"), Message(role="user", content=[image])])
    assert fits_surely(request, model(8192))
    assert len(fitted(request, 1030).request.messages) == 1
    tool = Tool(type="function", function=FunctionDefinition(name="f", description=LONG))
    assert reason(asked("user: q", tools=[tool], max_tokens=1), 100).startswith("the system instructions")


# -- what does not fit --------------------------------------------------------------------------------------------------


def test_a_current_request_that_is_too_long_does_not_fit() -> None:
    request = asked("system: " + LONG, "user: old", "assistant: a", "user: " + LONG, max_tokens=20)
    assert reason(request, 150) == (
        "the system instructions and the current request alone are about 211 tokens, "
        "small takes 150, with the 20 that the answer may have"
    )
    assert reason(request, 5000, max_input_tokens=1200 - 1000) == (
        "the system instructions and the current request alone are about 211 tokens, small takes 200"
    )


def test_a_limit_that_the_caller_set_is_never_lowered() -> None:
    assert "8,000 that the answer may have" in reason(asked("user: " + LONG, max_tokens=8000), 8000)


def test_a_limit_that_nobody_set_gives_way() -> None:
    request = asked("user: old", "assistant: a", "user: " + LONG * 32)
    outcome = fitted(request, 4000)
    assert outcome.prompt_tokens == 3207
    assert outcome.request.output_limit == 4000 - 3207
    assert texts(outcome.request) == [LONG * 32]
    assert outcome.notes == (
        "2 messages left out to fit 4,000 tokens of small",
        "the answer is limited to the 793 tokens that the prompt leaves of small's window",
    )
    too_long = asked("user: " + LONG * 38)
    assert reason(too_long, 4000).endswith("are about 3,807 tokens, small takes 4,000, the answer included")
    assert reason(request, 4000, max_input_tokens=2000).endswith("small takes 2,000")


# -- laws ---------------------------------------------------------------------------------------------------------------

REQUESTS = st.builds(
    lambda messages, limit: ChatRequest(messages=messages, max_completion_tokens=limit),
    conversations(),
    st.sampled_from([None, 1, 20]),
)
WINDOWS = st.integers(10, 400)
MARGINS = st.sampled_from([1.0, CALIBRATION, 2.0])


@given(REQUESTS, WINDOWS, MARGINS)
def test_what_is_fitted_keeps_within_the_limit_by_its_own_count(
    request_: ChatRequest, window: int, margin: float
) -> None:
    outcome = fit(request_, model(window), words, calibration=margin)
    if isinstance(outcome, Fitted):
        limit = prompt_limit(model(window), outcome.request.output_limit)
        counted = prompt_tokens(outcome.request, words)
        assert outcome.prompt_tokens in (None, counted)
        assert limit is not None
        assert counted * margin <= limit


@given(REQUESTS, WINDOWS, MARGINS)
def test_what_stays_keeps_its_order_and_what_must_stay_stays(request_: ChatRequest, window: int, margin: float) -> None:
    outcome = fit(request_, model(window), words, calibration=margin)
    if isinstance(outcome, DoesNotFit):
        return
    before, after = request_.messages, outcome.request.messages
    rest = iter(before)
    assert all(any(message is other for other in rest) for message in after)
    assert [m for m in after if m.role in ("system", "developer")] == [
        m for m in before if m.role in ("system", "developer")
    ]
    last_question = max(index for index, message in enumerate(before) if message.role == "user")
    current = before[last_question:]
    assert after[-len(current) :] == current
    assert call_ids(after) == {message.tool_call_id for message in after if message.role == "tool"}
    if len(after) < len(before):
        spoken = [message for message in after if message.role not in ("system", "developer")]
        assert spoken[0].role == "user"
        assert outcome.notes


@given(REQUESTS, WINDOWS, MARGINS)
def test_what_is_fitted_already_is_left_alone(request_: ChatRequest, window: int, margin: float) -> None:
    once = fit(request_, model(window), words, calibration=margin)
    if isinstance(once, Fitted):
        twice = fit(once.request, model(window), words, calibration=margin)
        assert isinstance(twice, Fitted)
        assert twice.request is once.request


@settings(deadline=None)  # the first count loads the vocabulary
@given(REQUESTS, st.integers(10, 3000))
def test_what_fits_surely_fits_as_it_is(request_: ChatRequest, window: int) -> None:
    if fits_surely(request_, model(window)):
        outcome = fit(request_, model(window), O200kCounter().count)
        assert isinstance(outcome, Fitted)
        assert outcome.request is request_


@settings(deadline=None)
@given(st.text())
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert O200kCounter().count(text) <= len(text.encode())
