"""Parameters, formats, reasoning and the context window as they are sent to Ollama."""

from typing import Any

import msgspec
import pytest

from caxton_llm.errors import InvalidRequest, UnsupportedFeature
from caxton_llm.model_info import ModelInfo, ParameterRules
from caxton_llm.protocols import Defaults, Quirks
from caxton_llm.types import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionDefinition,
    ImageUrl,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
)
from caxton_llm.wire.ollama_chat.encode import OllamaRestore
from ollama_calls import HELLO, WEATHER, encoded, info, refusal, sent

# -- parameters ---------------------------------------------------------------------------------------------------------


def test_parameters_are_mapped_and_the_report_says_into_what() -> None:
    report = encoded(ChatRequest(messages=HELLO, max_completion_tokens=5, stop=["a"], seed=0)).report
    assert report.mapped == {
        "seed": "options.seed",
        "max_completion_tokens": "options.num_predict",
        "stop": "options.stop",
    }
    assert report.dropped == {}


def test_parameters_that_only_tune_are_dropped_and_reported() -> None:
    request = ChatRequest(
        messages=HELLO,
        tools=[WEATHER],
        logit_bias={"1": 2.0},
        user="ann",
        metadata={},
        store=False,
        parallel_tool_calls=False,
        extra={"min_tokens": 3},
    )
    answer = encoded(request)
    assert set(answer.report.dropped) == {
        "logit_bias",
        "user",
        "metadata",
        "store",
        "parallel_tool_calls",
        "min_tokens",
    }
    assert not {"logit_bias", "user", "metadata", "store", "parallel_tool_calls", "min_tokens"} & set(
        msgspec.json.decode(answer.body)
    )


def test_strict_refuses_what_would_be_dropped() -> None:
    error = refusal(ChatRequest(messages=HELLO, user="ann"), strict=True)
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "user"


def test_more_than_one_answer_is_refused() -> None:
    assert refusal(ChatRequest(messages=HELLO, n=2)).param == "n"
    assert "n" not in sent(ChatRequest(messages=HELLO, n=1))


def test_what_the_server_or_the_model_does_not_accept_is_dropped() -> None:
    model = ModelInfo(id="m", provider="ollama", parameters=ParameterRules(refuses=["seed"]))
    request = ChatRequest(messages=HELLO, seed=1, temperature=0.5, extra={"top_k": 3})
    answer = encoded(request, info=model, quirks=Quirks(drop=("top_k", "temperature", "top_p")))
    assert set(answer.report.dropped) == {"seed", "temperature", "top_k"}
    assert msgspec.json.decode(answer.body)["options"] == {"num_ctx": 8192}


def test_what_the_answer_depends_on_is_refused_unless_the_operator_wants_it_dropped() -> None:
    model = ModelInfo(id="m", provider="ollama", parameters=ParameterRules(refuses=["stop"]))
    request = ChatRequest(messages=HELLO, stop="x")
    assert refusal(request, info=model).param == "stop"
    assert list(encoded(request, info=model, quirks=Quirks(drop=("stop",))).report.dropped) == ["stop"]
    assert refusal(ChatRequest(messages=HELLO, extra={"modalities": ["audio"]})).param == "modalities"
    assert sent(ChatRequest(messages=HELLO, extra={"modalities": ["text"]})) == sent(ChatRequest(messages=HELLO))


def test_ollamas_own_parameters_are_sent_where_they_belong() -> None:
    extra = {
        "top_k": 40,
        "min_p": msgspec.Raw(b"0.05"),
        "repetition_penalty": 1.1,
        "keep_alive": "5m",
        "options": {"num_thread": 4},
        "typical_p": None,
    }
    body = sent(ChatRequest(messages=HELLO, extra=extra))
    assert body["options"] == {
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
        "num_thread": 4,
        "num_ctx": 8192,
    }
    assert body["keep_alive"] == "5m"


def test_options_that_are_no_object_are_refused_not_forgotten() -> None:
    error = refusal(ChatRequest(messages=HELLO, extra={"options": "num_ctx=5"}))
    assert type(error) is InvalidRequest
    assert error.param == "options"


def test_further_parameters_are_dropped_where_the_entry_takes_none() -> None:
    request = ChatRequest(messages=HELLO, extra={"top_k": 3, "options": {"min_p": 0.1}})
    answer = encoded(request, quirks=Quirks(extra_parameters=False))
    assert set(answer.report.dropped) == {"top_k", "options"}
    assert msgspec.json.decode(answer.body)["options"] == {"num_ctx": 8192}


def test_the_caller_wins_over_the_configuration() -> None:
    defaults = Defaults(
        max_tokens=100,
        temperature=0.7,
        top_p=0.5,
        extra={"num_ctx": 4096, "num_gpu": 0, "keep_alive": "1h", "options": {"top_k": 1}},
    )
    body = sent(ChatRequest(messages=HELLO, max_tokens=5, temperature=0.0, extra={"top_k": 2}), defaults=defaults)
    assert body["keep_alive"] == "1h"
    assert body["options"] == {
        "num_ctx": 4096,
        "num_gpu": 0,
        "num_predict": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 2,
    }


# -- formats and reasoning ----------------------------------------------------------------------------------------------


def test_output_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    as_schema = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema=schema, strict=True))
    assert sent(ChatRequest(messages=HELLO, response_format=as_schema))["format"] == schema
    assert sent(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="json_object")))["format"] == "json"
    assert "format" not in sent(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="text")))


def test_formats_that_cannot_be_kept_are_refused() -> None:
    as_schema = ResponseFormat(type="json_schema", json_schema=JsonSchemaFormat(schema={}))
    error = refusal(ChatRequest(messages=HELLO, response_format=as_schema), info=info(json_schema=False))
    assert isinstance(error, UnsupportedFeature)
    assert refusal(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="grammar"))).param
    missing = refusal(ChatRequest(messages=HELLO, response_format=ResponseFormat(type="json_schema")))
    assert missing.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("effort", "efforts", "think"),
    [
        ("none", None, False),
        ("low", None, True),
        ("max", None, True),
        ("minimal", ["low", "medium", "high"], "low"),
        ("high", ["low", "medium", "high"], "high"),
        ("xhigh", ["low", "medium", "high"], "high"),
        ("max", ["low", "medium", "high"], True),
    ],
)
def test_efforts_become_levels_only_for_models_that_have_them(
    effort: str, efforts: list[str] | None, think: Any
) -> None:
    model = ModelInfo(id="m", provider="ollama", parameters=ParameterRules(efforts=efforts))
    answer = encoded(ChatRequest(messages=HELLO, reasoning_effort=effort), info=model)
    assert msgspec.json.decode(answer.body)["think"] == think
    assert "reasoning_effort" in answer.report.mapped


def test_an_effort_for_a_model_that_does_not_reason_is_dropped() -> None:
    answer = encoded(ChatRequest(messages=HELLO, reasoning_effort="high"), info=info(reasoning=False))
    assert "think" not in msgspec.json.decode(answer.body)
    assert "reasoning_effort" in answer.report.dropped


def test_a_configured_effort_counts_when_the_caller_is_silent() -> None:
    quiet = Defaults(reasoning_effort="none")
    assert sent(ChatRequest(messages=HELLO), defaults=quiet)["think"] is False
    assert sent(ChatRequest(messages=HELLO, reasoning_effort="low"), defaults=quiet)["think"] is True
    assert "think" not in sent(ChatRequest(messages=HELLO), defaults=quiet, info=info(reasoning=False), strict=True)


def test_anthropics_thinking_switch_is_understood() -> None:
    assert (
        sent(ChatRequest(messages=HELLO, extra={"thinking": {"type": "enabled", "budget_tokens": 9}}))["think"] is True
    )
    assert sent(ChatRequest(messages=HELLO, extra={"thinking": {"type": "disabled"}}))["think"] is False


def test_an_unknown_effort_is_refused() -> None:
    assert refusal(ChatRequest(messages=HELLO, reasoning_effort="ultra")).param == "reasoning_effort"


# -- the context window -------------------------------------------------------------------------------------------------


def window(request: ChatRequest, **how: Any) -> Any:
    answer = encoded(request, **how)
    assert isinstance(answer.restore, OllamaRestore)
    size = msgspec.json.decode(answer.body)["options"]["num_ctx"]
    assert answer.restore.context_window == size
    return size


def text_of(tokens: int) -> list[Message]:
    return [Message(role="user", content="x" * 3 * tokens)]


def test_a_window_is_always_said_and_holds_prompt_and_answer() -> None:
    assert window(ChatRequest(messages=HELLO)) == 8192
    assert window(ChatRequest(messages=text_of(7000))) == 16_384
    assert window(ChatRequest(messages=text_of(6000), max_tokens=100)) == 8192
    assert window(ChatRequest(messages=text_of(6000), max_tokens=20_000)) == 32_768
    assert window(ChatRequest(messages=text_of(1_000_000))) == 262_144


def test_the_window_is_never_larger_than_the_models_own() -> None:
    small = ModelInfo(id="m", provider="ollama", context_window=4096)
    assert window(ChatRequest(messages=text_of(7000)), info=small) == 4096


def test_a_configured_window_is_sent_as_it_is() -> None:
    configured = Defaults(extra={"num_ctx": 2048})
    assert window(ChatRequest(messages=text_of(7000)), defaults=configured) == 2048
    assert window(ChatRequest(messages=HELLO, extra={"num_ctx": 3000}), defaults=configured) == 3000


def test_images_and_other_scripts_are_counted_generously() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,iVBORw0K"))
    assert window(ChatRequest(messages=[Message(role="user", content=[image] * 7)])) == 16_384
    assert window(ChatRequest(messages=[Message(role="user", content="語" * 7000)])) == 16_384


def test_calls_thinking_and_tools_take_their_part_of_the_window() -> None:
    long = "x" * 21_000
    call = ToolCall(id="c", function=FunctionCall("f", f'{{"text":"{long}"}}'))
    called = [Message(role="assistant", tool_calls=[call]), Message(role="tool", tool_call_id="c", content="1")]
    assert window(ChatRequest(messages=[*HELLO, *called])) == 16_384
    thought = Message(role="assistant", content="a", reasoning_content=long)
    assert window(ChatRequest(messages=[*HELLO, thought, *HELLO])) == 16_384
    tool = Tool(type="function", function=FunctionDefinition(name="f", description=long))
    answer = encoded(ChatRequest(messages=HELLO, tools=[tool]))
    assert isinstance(answer.restore, OllamaRestore)
    assert answer.restore.text_bytes > len(long)
