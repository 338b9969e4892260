"""Budgets of agents that their own instructions exceed: every request to such an agent would be refused."""

from collections.abc import Iterator

from caxton_llm.config.configuration import Agent, Configuration
from caxton_llm.config.problems import Problems
from caxton_llm.errors import ConfigurationProblem
from caxton_llm.tokens import O200kCounter, TokenCalibration
from caxton_llm.types import ChatRequest, Message

__all__ = ["small_budgets"]

_LARGE = 2
"""A budget of so many tokens for each byte of the instructions holds them in any case."""


def small_budgets(configuration: Configuration) -> Iterator[ConfigurationProblem]:
    """What is wrong with each, with file and line."""
    problems = Problems(configuration.file, configuration.lines, configuration.files)
    for index, agent in enumerate(configuration.agents):
        budget, prompt = agent.context.budget, agent.system_prompt or ""
        # Most need not be counted, which takes half a second to begin.
        if budget is None or _LARGE * len(prompt.encode("utf-8", "surrogatepass")) < budget:
            continue
        tokens = _least(configuration, agent)
        if tokens > budget:
            yield problems.at(
                f"{budget:,} tokens do not hold the agent's own system_prompt, which takes {tokens:,} with the shortest"
                " request: every request is refused",
                path=f"agents[{index}].context.budget",
                hint="raise the budget, or shorten the system_prompt",
            )


def _least(configuration: Configuration, agent: Agent) -> int:
    """The tokens of the shortest request, as they are counted for the agent's first target before it has told any."""
    from caxton_llm.context.context_meter import ContextMeter  # noqa: PLC0415 - few budgets are so small
    from caxton_llm.context.costs import Costs  # noqa: PLC0415

    entry = agent.entry or configuration.default_entry
    kind, model = (entry.kind, next(iter(entry.models), "")) if entry is not None else ("openai", "")
    costs = Costs(ContextMeter(O200kCounter().count), TokenCalibration().factors(model, kind), kind, model)
    least = [Message(role="user", content="?")]
    if agent.system_prompt:
        least.insert(0, Message(role="system", content=agent.system_prompt.strip()))
    return costs.frame(ChatRequest(messages=least), offers_tools=False) + sum(map(costs.message, least))
