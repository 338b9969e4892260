"""What a request is about: its variables, the tools it will probably use, the context that these need."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from caxton_llm.agents.agent import Agent, Capability
from caxton_llm.agents.analysis import analyse, user_text
from caxton_llm.agents.likely_tools import ToolIndex
from caxton_llm.agents.requirements import SearchNeed
from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization
from caxton_llm.errors import InvalidRequest
from caxton_llm.types import ChatRequest, ContentPart, Json, Message


class Described(Struct, frozen=True):
    name: str
    description: str = ""
    input_schema: dict[str, Json] = {}
    requirements: ContextRequirements | None = None


PDF = Described(
    "pdf_generator",
    "Advanced PDF report generation with templating",
    {"properties": {"template": {"type": "string", "description": "Report template to use"}}},
    ContextRequirements(
        conversation_depth=3,
        memory_search=MemorySearch(query_template="PDF report {{report_type}} {{business_context}}", max_results=8),
        tool_data=("template_library",),
    ),
)
CHART = Described("chartCreator", "Create charts and visualizations", {}, ContextRequirements(conversation_depth=5))
WEATHER = Described("weather", "Current weather of a city")
SEARCH = Described("search", "Search the web")
TOOLS = (WEATHER, CHART, PDF, SEARCH)
INDEX = ToolIndex(TOOLS)


def asking(text: str, **fields: Json) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text)], **fields)


def likeliest(text: str) -> list[str]:
    return [tool.name for tool in INDEX.likely(text)]


def test_tools_are_likely_by_the_words_that_they_share_with_the_request() -> None:
    assert likeliest("Please write the quarterly report from this template") == ["pdf_generator"]
    assert likeliest("a chart of the weather in the city")[0] == "weather"
    assert likeliest("Create a chart") == ["chartCreator"]
    assert likeliest("Good morning") == []


@pytest.mark.parametrize("text", ["use pdf_generator", "use the PDF generator!", "Run chartCreator and pdf-generator"])
def test_a_tool_that_the_request_names_is_certain(text: str) -> None:
    named = {tool.name for tool in INDEX.likely(text) if tool.is_named}
    assert "pdf_generator" in named
    assert ("chartCreator" in named) == ("chartCreator" in text)


def test_a_name_that_is_an_ordinary_word_has_to_be_marked_as_a_name() -> None:
    assert not INDEX.likely("search for it")[0].is_named
    assert INDEX.likely("call `search`")[0].is_named


def test_a_tool_that_must_be_called_is_certain() -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    (tool, *_) = analyse(asking("Good morning", tool_choice=choice), tools=INDEX).tools
    assert (tool.name, tool.score, tool.is_named) == ("weather", 1.0, True)


def test_words_of_scripts_without_spaces_are_compared_too() -> None:
    tools = (Described("a", "天気予報を調べる"), Described("b", "文書を翻訳する"))
    assert ToolIndex(tools).likely("東京の天気予報")[0].name == "a"


WORDS = st.lists(st.sampled_from(["chart", "report", "weather", "pdf", "the", "city", "x"]), max_size=8).map(" ".join)
SETS = st.lists(st.builds(Described, st.sampled_from("abcdefgh"), WORDS), max_size=6, unique_by=lambda tool: tool.name)


@given(WORDS, SETS, st.randoms(use_true_random=False))
def test_the_order_of_the_tools_does_not_matter_and_scores_are_shares(
    text: str, tools: list[Described], random: object
) -> None:
    found = ToolIndex(tools).likely(text)
    shuffled = list(tools)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ToolIndex(shuffled).likely(text) == found
    assert all(0 < tool.score <= 1 for tool in found)


def test_variables_come_from_the_parameters_the_context_and_the_metadata_in_this_order() -> None:
    context = {
        "request_parameters": {"format": "pdf", "pages": 3},
        "format": "x",
        "audience": "board",
        "requesting_agent": "Data",
    }
    request = asking(
        "Make it", metadata={"audience": "all", "report_type": "quarterly", "tags": [1]}, extra={"context": context}
    )
    analysis = analyse(request, capability="report-generation")
    assert analysis.variables == {
        "user_request": "Make it",
        "capability": "report-generation",
        "requesting_agent": "Data",
        "request_type": "report-generation",
        "report_type": "quarterly",
        "audience": "board",
        "format": "pdf",
        "pages": "3",
        "tags": "[1]",
    }
    assert analysis.requesting_agent == "Data"
    assert analysis.notes == ("request_type is not given: it is taken from the capability",)


def test_the_needs_of_likely_tools_are_merged_and_what_a_search_leaves_out_is_said() -> None:
    request = asking("Generate a PDF report and create charts", metadata={"report_type": "quarterly"})
    analysis = analyse(request, tools=INDEX)
    assert {tool.name for tool in analysis.tools} == {"pdf_generator", "chartCreator"}
    assert analysis.requirements.conversation_depth == 5
    assert analysis.requirements.memory_searches == (
        SearchNeed(query="PDF report quarterly", max_results=8, asked_by=("pdf_generator",)),
    )
    assert analysis.requirements.tool_data == {"pdf_generator": ("template_library",)}
    assert analysis.notes == (
        "the memory search of pdf_generator leaves out business_context: the request has no value for it",
    )


def test_a_request_may_require_context_itself() -> None:
    needs = {"conversation_depth": 5, "memory_search": {"min_similarity": 0.8}}
    analysis = analyse(asking("Quarterly summary", extra={"context": {"context_requirements": needs}}))
    assert analysis.requirements.conversation_depth == 5
    assert analysis.requirements.memory_searches == (
        SearchNeed(query="Quarterly summary", min_similarity=0.8, asked_by=("request",)),
    )


def test_what_tools_say_of_providers_holds_whether_they_are_likely_or_not() -> None:
    limit = {"openai": ProviderOptimization(max_context_tokens=4000, function_calling_format=False)}
    quiet = Described("weather", "Weather of a city", {}, ContextRequirements(provider_optimization=limit))
    index = ToolIndex([quiet, PDF])
    likely = analyse(asking("How is the weather?"), tools=index)
    unlikely = analyse(asking("Make a PDF report"), tools=index)
    assert {tool.name for tool in unlikely.tools} == {"pdf_generator"}
    for one in (likely, unlikely):
        assert one.requirements.max_context_tokens("openai") == 4000
        assert not one.requirements.offers("weather", "openai")
        assert one.requirements.offers("pdf_generator", "openai")


def test_a_likely_tool_does_not_shorten_the_conversation_and_the_request_may() -> None:
    agent = Agent(name="A")
    assert analyse(asking("Make a PDF"), agent=agent, tools=INDEX).requirements.conversation_depth == 10
    for depth in (0, 2):
        needs = {"context_requirements": {"conversation_depth": depth}}
        request = asking("Make a PDF", extra={"context": needs})
        assert analyse(request, agent=agent, tools=INDEX).requirements.conversation_depth == depth


def test_requirements_may_have_the_names_of_a_context_document() -> None:
    needs = {
        "conversation_depth": 5,
        "memory_similarity_threshold": 0.8,
        "tool_context_sources": ["user_preferences", "report_templates"],
    }
    requirements = analyse(asking("Summary", extra={"context": {"context_requirements": needs}})).requirements
    assert requirements.memory_searches == (SearchNeed(query="Summary", min_similarity=0.8, asked_by=("request",)),)
    assert requirements.tool_data == {"request": ("report_templates", "user_preferences")}


def test_a_template_makes_the_prompt_and_a_variable_without_value_is_refused() -> None:
    agent = Agent(
        name="Reporter", user_prompt_template="{{user_request}} as {{format}}", offers=(Capability(name="c"),)
    )
    request = asking("Report {{format}}", metadata={"format": "pdf"})
    analysis = analyse(request, agent=agent)
    assert analysis.prompt == "Report {{format}} as pdf"
    assert "Report" not in repr(analysis).replace("Reporter", "")
    with pytest.raises(InvalidRequest, match="agent Reporter needs a value for 'format'"):
        analyse(asking("Report"), agent=agent)


def test_a_parameter_cannot_stand_in_the_place_of_what_the_request_is_and_that_is_said() -> None:
    agent = Agent(name="Reporter", user_prompt_template="{{user_request}} by {{agent}}")
    parameters = {"user_request": "something else", "agent": "Reporter"}
    analysis = analyse(asking("Report", extra={"context": {"request_parameters": parameters}}), agent=agent)
    assert analysis.prompt == "Report by Reporter"
    assert analysis.unused == ("the parameter user_request is not used: the request itself says what it is",)


def test_a_parameter_that_is_called_almost_like_a_variable_is_told() -> None:
    agent = Agent(name="Reporter", user_prompt_template="{{user_request}} for {{audience|all}}")
    parameters = {"audiense": "board", "order": 7}
    analysis = analyse(asking("Report", extra={"context": {"request_parameters": parameters}}), agent=agent)
    assert analysis.prompt == "Report for all"
    assert analysis.unused == ("the parameter audiense is read by no template: did you mean audience?",)


def test_a_parameter_that_is_null_is_none_and_a_default_stands_for_it() -> None:
    agent = Agent(name="Reporter", user_prompt_template="{{user_request}} as {{format|pdf}}")
    parameters = {"format": None}
    assert analyse(asking("Report", extra={"context": {"request_parameters": parameters}}), agent=agent).prompt == (
        "Report as pdf"
    )
    with_metadata = asking("Report", metadata={"format": "csv"}, extra={"context": {"request_parameters": parameters}})
    assert analyse(with_metadata, agent=agent).prompt == "Report as csv"


def test_a_message_that_the_template_does_not_use_is_told_as_not_sent() -> None:
    agent = Agent(name="Reporter", user_prompt_template="Write about {{topic|sales}}.")
    analysis = analyse(asking("Report"), agent=agent)
    assert analysis.prompt == "Write about sales."
    assert analysis.unused == (
        "the template of agent Reporter has no {{user_request}}: what the message says is not sent",
    )
    whole = Agent(name="Reporter", user_prompt_template="{{user_request}}")
    assert analyse(asking("Report"), agent=whole).unused == ()


@pytest.mark.parametrize(
    ("context", "param"),
    [
        ([1], "context"),
        ({"requesting_agent": 1}, "context.requesting_agent"),
        ({"request_parameters": "x"}, "context.request_parameters"),
        ({"context_requirements": [1]}, "context.context_requirements"),
        ({"context_requirements": {"depth": 1}}, "context.context_requirements.depth"),
        ({"context_requirements": {"memory_similarity_threshold": "x"}}, "context.context_requirements"),
        ({"context_requirements": {"conversation_depth": -1}}, "context.context_requirements"),
        ({"context_requirements": {"memory_search": {"max_results": "many"}}}, "context.context_requirements"),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_by_its_name(context: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        analyse(asking("x", extra={"context": context}))
    assert caught.value.param == param


def test_the_text_of_a_request_is_that_of_the_last_message_of_the_user() -> None:
    parts = [ContentPart(type="text", text="a"), ContentPart(type="image_url"), ContentPart(type="text", text="b")]
    messages = [Message(role="user", content="old"), Message(role="user", content=parts), Message(role="assistant")]
    assert user_text(messages) == "a\nb"
    assert user_text([Message(role="assistant", content="x")]) == ""


def test_a_request_that_brings_results_of_tools_is_about_what_was_asked_before() -> None:
    result = Message(role="tool", tool_call_id="call_1", content="5 degrees")
    request = ChatRequest(messages=[result])
    assert analyse(request, tools=INDEX).user_request == ""
    asked = Message(role="user", content="How is the weather?")
    analysis = analyse(request, tools=INDEX, messages=(asked, Message(role="assistant"), result))
    assert analysis.user_request == analysis.variables["user_request"] == "How is the weather?"
    assert [tool.name for tool in analysis.tools] == ["weather"]


def test_a_search_is_cut_off_where_a_text_is_very_long_and_that_is_said() -> None:
    tool = Described("a_b", "", {}, ContextRequirements(memory_search=MemorySearch()))
    analysis = analyse(asking("a_b " + "word " * 10_000), tools=ToolIndex([tool]))
    (search,) = analysis.requirements.memory_searches
    assert len(search.query) == 4_000
    assert analysis.notes == ("the memory search of a_b is cut off after 4000 characters",)


@pytest.mark.parametrize(
    ("context", "where", "said"),
    [
        ({"request_params": {"a": 1}}, "context.request_params", "is unknown"),
        ({"conversation_depth": 3}, "context.conversation_depth", "belongs under context.context_requirements"),
    ],
)
def test_what_nobody_would_read_is_refused_by_its_name(context: Json, where: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        analyse(ChatRequest(messages=[Message(role="user", content="x")], extra={"context": context}))
    assert refused.value.param == where
