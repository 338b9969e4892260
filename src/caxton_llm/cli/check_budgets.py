"""Budgets of agents that their own instructions exceed: every request to such an agent would be refused."""

from collections.abc import Iterator

from caxton_llm.config.configuration import Configuration
from caxton_llm.config.problems import Problems
from caxton_llm.errors import ConfigurationProblem
from caxton_llm.tokens import O200kCounter

__all__ = ["small_budgets"]


def small_budgets(configuration: Configuration) -> Iterator[ConfigurationProblem]:
    """What is wrong with each, with file and line. Counts as OpenAI does; other vendors count more rather than less."""
    problems = Problems(configuration.file, configuration.lines, configuration.files)
    for index, agent in enumerate(configuration.agents):
        budget, prompt = agent.context.budget, agent.system_prompt or ""
        # No text has more tokens than bytes: most need not be counted, which takes half a second to begin.
        if budget is None or len(prompt.encode("utf-8", "surrogatepass")) < budget:
            continue
        tokens = O200kCounter().count(prompt)
        if tokens >= budget:
            yield problems.at(
                f"{budget:,} tokens do not hold the agent's own system_prompt of {tokens:,}: every request is refused",
                path=f"agents[{index}].context.budget",
                hint="raise the budget, or shorten the system_prompt",
            )
