"""Who offers what: agents by name, capabilities by name, and what a model is told of them."""

from collections.abc import Iterable

from msgspec import Struct

from caxton_llm.agents.agent import Agent, Capability

__all__ = ["AGENT_PREFIXES", "Addressed", "CapabilityContext", "CapabilityRegistry", "CapabilityRequirements"]

_AGENT = "agent:"
_CAPABILITY = "capability:"
AGENT_PREFIXES = (_AGENT, _CAPABILITY)
"""What the `model` of a request to an agent begins with."""


class CapabilityRequirements(Struct, frozen=True, kw_only=True):
    """What a capability takes, gives and promises; `performance_sla` in the words of the configuration."""

    input_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    performance_sla: str | None = None


class CapabilityContext(Struct, frozen=True, kw_only=True):
    """The `capability_context` of a context document."""

    related_capabilities: tuple[str, ...] = ()
    capability_requirements: CapabilityRequirements = CapabilityRequirements()


class Addressed(Struct, frozen=True):
    """Whom a request names; `capability` is `None` where it names the agent itself."""

    agent: Agent
    capability: Capability | None = None


class CapabilityRegistry:
    """The agents of a configuration. Never changes, so any number of requests may use it at once.

    Where several agents offer a capability, the first serves it, and its description counts.
    """

    def __init__(self, agents: Iterable[Agent]) -> None:
        self.agents = tuple(agents)
        self._by_name = {agent.name: agent for agent in reversed(self.agents)}
        self._offers: dict[str, list[tuple[Agent, Capability]]] = {}
        for agent in self.agents:
            for capability in agent.offers:
                self._offers.setdefault(capability.name, []).append((agent, capability))
        self._related = {name: self._relations(name) for name in self._offers}

    @property
    def names(self) -> tuple[str, ...]:
        """All capabilities, in the order of the agents."""
        return tuple(self._offers)

    def agent(self, name: str) -> Agent | None:
        """The agent of that name."""
        return self._by_name.get(name)

    def offers(self, name: str) -> tuple[Agent, ...]:
        """The agents that offer a capability; the first serves it. Empty: nobody does."""
        return tuple(agent for agent, _ in self._offers.get(name, ()))

    def capability(self, name: str) -> Capability | None:
        """A capability as the agent that serves it describes it."""
        offers = self._offers.get(name)
        return offers[0][1] if offers else None

    def related(self, name: str) -> tuple[str, ...]:
        """Capabilities that go with one: those that it names, those that its agent requires, those that name it."""
        return self._related.get(name, ())

    def describe(self, name: str) -> CapabilityContext | None:
        """What a context document says of a capability; `None`: nobody offers it."""
        found = self.capability(name)
        if found is None:
            return None
        return CapabilityContext(
            related_capabilities=self.related(name),
            capability_requirements=CapabilityRequirements(
                input_formats=found.input_formats,
                output_formats=found.output_formats,
                performance_sla=found.performance_sla,
            ),
        )

    def context_of(self, addressed: Addressed) -> CapabilityContext | None:
        """What a request to somebody is told of capabilities: of the one that it names, or of all that the named agent offers
        and requires; `None`: there is nothing to tell."""
        if addressed.capability is not None:
            return self.describe(addressed.capability.name)
        agent, own = addressed.agent, addressed.agent.capabilities
        related = (name for offer in agent.offers for name in offer.related)
        naming = (name for name, offers in self._offers.items() if not set(own).isdisjoint(offers[0][1].related))
        found = tuple(dict.fromkeys((*own, *related, *agent.requires, *naming)))
        return CapabilityContext(related_capabilities=found) if found else None

    def addressed(self, model: str) -> Addressed | None:
        """Whom the `model` of a request names (`agent:NAME`, `capability:NAME`); `None`: no agent."""
        if model.startswith(_AGENT):
            agent = self.agent(model[len(_AGENT) :])
            return None if agent is None else Addressed(agent)
        offers = self._offers.get(model[len(_CAPABILITY) :]) if model.startswith(_CAPABILITY) else None
        return Addressed(*offers[0]) if offers else None

    def _relations(self, name: str) -> tuple[str, ...]:
        agent, capability = self._offers[name][0]
        naming = (other for other, offers in self._offers.items() if name in offers[0][1].related)
        found = dict.fromkeys((*capability.related, *agent.requires, *naming))
        found.pop(name, None)
        return tuple(found)
