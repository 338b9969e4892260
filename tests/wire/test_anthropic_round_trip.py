"""A request of a client of Anthropic's, through the common model alone and back: it still means the same."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from anthropic_models import BUDGETED, UNKNOWN, encoded
from caxton_llm.types import ChatRequest
from caxton_llm.wire.anthropic_messages import client as anthropic_messages_client


def without_source(**fields: Any) -> ChatRequest:
    """What is left of a request when its bytes are gone."""
    body = {"max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], "model": UNKNOWN.id, **fields}
    request = anthropic_messages_client.decode_request(msgspec.json.encode(body), {})
    return msgspec.structs.replace(request, source=None)


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


TEXTS = st.text(alphabet="aé🙂 .", min_size=1, max_size=8).filter(lambda text: not text.isspace())
HINTS = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
TEXT_BLOCKS = st.builds(lambda text, hint: {"type": "text", "text": text, **hint}, TEXTS, HINTS)
IMAGES = st.sampled_from(
    [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}},
    ]
)
DOCUMENTS = st.just(
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "t"}
)
USER_CONTENT = st.lists(TEXT_BLOCKS | IMAGES | DOCUMENTS, min_size=1, max_size=3)
THINKING = st.lists(
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": f"s{text}"}, st.text(max_size=3))
    | st.just({"type": "redacted_thinking", "data": "x"}),
    max_size=2,
)
INPUTS = st.dictionaries(st.sampled_from("xyz"), st.integers() | TEXTS | st.none(), max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conversations in the only form that each of them has: one turn after the other, results first, thinking first."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": draw(USER_CONTENT)}]
    for number in range(draw(st.integers(0, 3))):
        uses = [
            {"type": "tool_use", "id": f"t{number}_{i}", "name": f"f{i}", "input": each}
            for i, each in enumerate(draw(st.lists(INPUTS, max_size=2)))
        ]
        said = draw(st.lists(TEXT_BLOCKS, min_size=0 if uses else 1, max_size=2))
        turns.append({"role": "assistant", "content": [*draw(THINKING), *said, *uses]})
        results = [result(str(each["id"]), draw(TEXTS)) for each in uses]
        turns.append({"role": "user", "content": [*results, *draw(USER_CONTENT)]})
    return turns


@given(
    conversations(),
    st.fixed_dictionaries(
        {},
        optional={
            "system": st.just("Be brief."),
            "temperature": st.sampled_from([0, 0.5, 1]),
            "top_k": st.integers(0, 9),
            "stop_sequences": st.just(["END"]),
            "metadata": st.just({"user_id": "u"}),
            "service_tier": st.sampled_from(["auto", "standard_only"]),
            "output_config": st.sampled_from([{"effort": "high"}, {"task_budget": {"total": 1}}]),
            "tool_choice": st.sampled_from(
                [{"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "f0"}]
            ),
            "cache_control": st.just({"type": "ephemeral"}),
        },
    ),
)
@settings(max_examples=120, deadline=None)
def test_a_request_that_loses_its_source_still_means_the_same(turns: list[Any], fields: dict[str, Any]) -> None:
    tools = [{"name": f"f{i}", "input_schema": {"type": "object", "properties": {"x": {}}}} for i in range(2)]
    sent = {"model": UNKNOWN.id, "max_tokens": 9, "messages": turns, "tools": tools, **fields}
    assert encoded(without_source(**sent)).body == sent


def test_thinking_with_a_budget_survives_the_loss_of_the_source() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    request = without_source(thinking=thinking, max_tokens=9000)
    assert encoded(request, BUDGETED).body["thinking"] == thinking
