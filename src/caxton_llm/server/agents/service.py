"""The agents of a gateway, or why there are none."""

from typing import TYPE_CHECKING

from caxton_llm.caxton import Caxton
from caxton_llm.errors import ConfigurationError

if TYPE_CHECKING:
    from caxton_llm.agent_service import AgentService

__all__ = ["NoAgents", "agents_of"]


class NoAgents(ConfigurationError):
    """The gateway has none."""

    http_status = 501

    def __init__(self) -> None:
        super().__init__("this gateway has no agents: add an `agents` block to its configuration, see docs/agents.md")
        self.code = "no_agents"


def agents_of(caxton: Caxton) -> "AgentService":
    """What answers for the configured agents. Raises `NoAgents`."""
    agents = caxton.agents
    if agents is None:
        raise NoAgents
    return agents
