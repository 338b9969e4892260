"""What is searched for in the memory: what tools ask for, and what the request itself is about."""

from caxton_llm.agents.agent import Agent, AgentContext
from caxton_llm.agents.requirements import REQUEST, Requirements, SearchNeed
from caxton_llm.context_engine.sources import searches_of

AGENT = Agent(name="A")
OWN = SearchNeed(query="What did Ann order?", max_results=5, asked_by=("agent",))


def searches(*needs: SearchNeed, agent: Agent = AGENT, text: str = "What did  Ann\norder?") -> tuple[SearchNeed, ...]:
    return searches_of(Requirements(memory_searches=needs), agent, text, 5)


def test_without_tools_the_text_of_the_request_is_searched_for() -> None:
    assert searches() == (OWN,)
    assert searches(text=" ") == ()


def test_a_search_of_a_tool_does_not_replace_that_of_the_request() -> None:
    tool = SearchNeed(query="PDF", asked_by=("pdf",))
    assert searches(tool) == (tool, OWN)


def test_a_search_that_has_the_text_of_the_request_is_enough() -> None:
    whole = SearchNeed(query="analysis similar to What did Ann order?", asked_by=("analysis",))
    assert searches(whole) == (whole,)
    part = SearchNeed(query="shipment", asked_by=("analysis",))
    assert len(searches(part, text="ship")) == 2


def test_a_request_that_says_itself_what_to_search_for_is_obeyed() -> None:
    asked = SearchNeed(query="orders", asked_by=(REQUEST,))
    assert searches(asked) == (asked,)


def test_an_agent_without_memory_searches_for_nothing() -> None:
    assert searches(agent=Agent(name="A", context=AgentContext(sources=("conversation",)))) == ()
