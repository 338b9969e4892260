"""A prompt taken apart: what its components cost for each vendor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.errors import InvalidRequest
from caxton_llm.tokens import O200kCounter, PromptParts, prompt_parts
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FileInput,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)

KINDS = ("openai", "azure", "anthropic", "ollama", "vllm", "custom", "builtin")
count = O200kCounter().count

USER = Message(role="user", content="What's the weather like in San Francisco?")
SYSTEM = Message(role="system", content="You are a helpful assistant that can answer to questions about the weather.")
LOCATION = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
UNIT = {"type": "string", "description": "The unit of temperature to return", "enum": ["celsius", "fahrenheit"]}


def tool(name: str = "get_current_weather", **properties: object) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    description = "Get the current weather in a given location"
    return Tool(type="function", function=FunctionDefinition(name=name, description=description, parameters=schema))


def parts_of(*messages: Message, kind: str = "openai", model: str = "gpt-4o", **fields: object) -> PromptParts:
    return prompt_parts(ChatRequest(model=model, messages=list(messages), **fields), kind, count)  # type: ignore[arg-type]


def test_openais_own_example_with_a_tool_is_counted_to_the_token() -> None:
    """101: https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken, section 7."""
    parts = parts_of(SYSTEM, USER, tools=[tool(location=LOCATION, unit=UNIT)])
    assert parts.tokens == 101
    assert (parts.system, parts.messages, parts.frame) == (14, 8, 11)


def test_every_component_is_told_apart_and_they_add_up() -> None:
    schema = JsonSchemaFormat(schema={"type": "object", "properties": {"city": {"type": "string"}}})
    picture = ContentPart(type="image_url", image_url=ImageUrl("https://example.com/a.png", "low"))
    document = ContentPart(type="file", file=FileInput(file_id="f"))
    parts = parts_of(
        SYSTEM,
        Message(role="user", content=[ContentPart(type="text", text="Look"), picture, document], name="ann"),
        tools=[tool(location=LOCATION)],
        response_format=ResponseFormat(type="json_schema", json_schema=schema),
    )
    named = (parts.system, parts.messages, parts.tools, parts.response_format)
    assert parts.images == 85
    assert min(*named, parts.tool_prompt, parts.frame) > 0
    assert parts.messages == count("Look") + count("ann")
    assert sum(parts.by_kind.values()) == sum(named) == parts.text
    assert parts.text + parts.fixed == parts.tokens
    assert parts.uncounted == ("file",)


def test_openai_reads_tools_shorter_than_their_json() -> None:
    tools = [tool(f"get_weather_{number}", location=LOCATION, unit=UNIT) for number in range(10)]
    openai, claude = parts_of(USER, tools=tools), parts_of(USER, kind="anthropic", model="claude-opus-5", tools=tools)
    assert openai.tools < 0.75 * claude.tools


def test_nested_types_and_what_typescript_cannot_say_are_in_the_count() -> None:
    flat = parts_of(USER, tools=[tool(place={"type": "object"})]).tools
    inner = {"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "integer"}}}}
    either = {"anyOf": [{"type": "string", "const": "a"}, {"$ref": "#/$defs/place"}]}
    assert parts_of(USER, tools=[tool(place=inner)]).tools > flat
    assert parts_of(USER, tools=[tool(place=either)]).tools > flat + 10


def test_a_schema_of_any_depth_is_counted() -> None:
    deep: dict[str, object] = {"type": "string"}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    assert parts_of(USER, tools=[tool(a=deep)]).tools > 1_000


@pytest.mark.parametrize(
    ("model", "choice", "tokens"),
    [
        ("claude-opus-5", None, 286),
        ("claude-opus-5-5", "auto", 286),
        ("claude-opus-5", "required", 406),
        ("claude-sonnet-4-5-20250929", {"type": "function", "function": {"name": "f"}}, 588),
        ("claude-opus-4-7", "none", 675),
        ("claude-of-tomorrow", "required", 804),
    ],
)
def test_claude_has_instructions_of_its_own_for_tools(model: str, choice: object, tokens: int) -> None:
    assert parts_of(USER, kind="anthropic", model=model).tool_prompt == 0
    assert parts_of(USER, kind="anthropic", model=model, tools=[tool()], tool_choice=choice).tool_prompt == tokens


def test_a_call_and_its_result_cost_more_than_their_texts() -> None:
    call = ToolCall(id="1", function=FunctionCall("get_weather", '{"city":"Oslo"}'))
    asked = (USER, Message(role="assistant", tool_calls=[call]), Message(role="tool", content="21", tool_call_id="1"))
    texts = count("get_weather") + count('{"city":"Oslo"}') + count("21")
    for kind, model, around in (("openai", "gpt-4o", 8), ("anthropic", "claude-opus-5", 59), ("ollama", "qwen3", 25)):
        one, all_three = parts_of(USER, kind=kind, model=model), parts_of(*asked, kind=kind, model=model)
        messages = 2 * (4 if kind != "ollama" else 5)
        assert all_three.tokens - one.tokens == texts + messages + around


def test_a_tool_that_json_cannot_express_is_refused() -> None:
    for kind in KINDS:
        with pytest.raises(InvalidRequest):
            parts_of(USER, kind=kind, tools=[tool(odd={"enum": [{1, 2}, object()]})])


texts = st.text(max_size=200)
some_messages = st.lists(
    st.builds(Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=texts), max_size=6
)


@given(st.sampled_from(KINDS), some_messages, st.integers(0, 100_000))
def test_scaled_components_add_up_to_the_token(kind: str, messages: list[Message], tokens: int) -> None:
    parts = prompt_parts(ChatRequest(model="m", messages=messages), kind, len)
    scaled = parts.scaled_to(tokens)
    assert scaled.tokens == tokens
    assert min(scaled.system, scaled.messages, scaled.tools, scaled.frame, scaled.images) >= 0
    if tokens >= parts.fixed and parts.text:
        assert scaled.fixed == parts.fixed
