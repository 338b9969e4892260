"""Token counts without asking a provider."""

import pytest

from caxton_llm.tokens import O200kCounter, prompt_tokens
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    Message,
    Tool,
    ToolCall,
)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("hello world", 2), ("2 + 2 = 4", 7), ("äöü ßé", 6), ("<|endoftext|>", 7)]
)
def test_text_is_counted_with_the_o200k_vocabulary(text: str, tokens: int) -> None:
    assert O200kCounter().count(text) == tokens


@pytest.mark.parametrize("character", [" ", "\t", "\u00a0", "\n", "x", "!", "字"])
def test_a_million_times_the_same_character_is_counted_like_ten_times_a_tenth_of_it(character: str) -> None:
    counter = O200kCounter()
    tenth = counter.count(character * 100_000)
    assert counter.count(character * 1_000_000 + "end") == pytest.approx(tenth * 10, abs=20)


@pytest.mark.parametrize("between", [" ", "  ", "\n\n", " \t"])
def test_a_long_text_of_words_counts_like_its_parts(between: str) -> None:
    paragraph = "The quarterly sales of 2026 rose by 12.5 % (see the table below)."
    counter = O200kCounter()
    short = f"{between}{paragraph}" * 1_000
    assert counter.count(short * 10) == pytest.approx(counter.count(short) * 10, abs=20)


def estimate(*messages: Message, tools: list[Tool] | None = None) -> int:
    return prompt_tokens(ChatRequest(messages=list(messages), tools=tools), O200kCounter().count)


def test_everything_that_is_sent_counts() -> None:
    plain = estimate(Message(role="user", content="hello world"))
    assert plain == 3 + 3 + 1 + 2
    part = ContentPart(type="text", text="hello world")
    assert estimate(Message(role="user", content=[part])) == plain
    image = ContentPart(type="image_url", image_url=ImageUrl(url="https://example.com/a.png"))
    assert estimate(Message(role="user", content=[part, image])) > plain + 500
    call = ToolCall(id="1", function=FunctionCall("get_weather", '{"city":"Oslo"}'))
    assert (
        estimate(Message(role="user", content="hello world"), Message(role="assistant", tool_calls=[call])) > plain + 5
    )
    tool = Tool(type="function", function=FunctionDefinition(name="get_weather", parameters={"type": "object"}))
    assert estimate(Message(role="user", content="hello world"), tools=[tool]) > plain + 5
