"""The names that a request may use, each with the targets that it leads to.

A name leads first to the targets that it names: an entry, the entries that serve a model, an agent's own provider. After
them come those that may stand in: the entries under `llm` that are not named yet, or what the entry's `fallbacks` say.
"""

from collections.abc import Mapping, Sequence

from caxton_llm.config.configuration import Configuration, Entry
from caxton_llm.dispatch.plan import Route, Tier
from caxton_llm.dispatch.target import Candidate, TargetState

__all__ = ["make_routes"]


def make_routes(configuration: Configuration, states: Mapping[str, TargetState]) -> dict[str, Route]:
    """The names in their order of precedence: agents, capabilities, entries, models, `default`. The first meaning counts."""
    return _Routes(configuration, states).made()


class _Routes:
    def __init__(self, configuration: Configuration, states: Mapping[str, TargetState]) -> None:
        self._configuration = configuration
        self._states = states
        self._entries = [entry for entry in configuration.all_entries if configuration.permits(entry)]
        """Those that may serve."""
        self._chain = tuple(self._own(entry) for entry in configuration.entries if configuration.permits(entry))

    def made(self) -> dict[str, Route]:
        configuration = self._configuration
        routes: dict[str, Route] = {}
        for agent in configuration.agents:
            own = agent.entry
            if not (self._chain if own is None else configuration.permits(own)):
                continue
            route = self._default() if own is None else self._led_to((own,), (self._own(own),))
            routes.setdefault(f"agent:{agent.name}", route)
            for capability in agent.capabilities:
                routes.setdefault(f"capability:{capability}", route)
        for entry in self._entries:
            routes.setdefault(entry.name, self._led_to((entry,), (self._own(entry),)))
        for model in dict.fromkeys(name for entry in self._entries for name in entry.sent_models):
            serving = self._serving(model)
            named = tuple(self._candidate(entry, entry.sent_models[model]) for entry in serving)
            routes.setdefault(model, self._led_to(serving, named))
        if self._chain:
            routes.setdefault("default", self._default())
        return routes

    def _serving(self, model: str) -> tuple[Entry, ...]:
        """The entries under `llm` that serve a model; an agent's own provider only when there is none."""
        own = {entry.name for entry in self._configuration.entries}
        serving = [entry for entry in self._entries if model in entry.sent_models]
        return tuple(entry for entry in serving if entry.name in own) or tuple(serving[:1])

    def _default(self) -> Route:
        return Route(Tier.of(self._chain, self._configuration.fallback_strategy))

    def _led_to(self, entries: Sequence[Entry], named: tuple[Candidate, ...]) -> Route:
        """`named` with what may stand in for them."""
        strategy = self._configuration.fallback_strategy
        taken = {entry.name for entry in entries}
        if any(entry.settings.fallbacks is None for entry in entries):
            others = Tier.of([each for each in self._chain if each.target.name not in taken], strategy)
        else:
            by_name = {each.target.name: each for each in self._chain}
            listed = dict.fromkeys(name for entry in entries for name in entry.settings.fallbacks or ())
            others = Tier.of([by_name[name] for name in listed if name in by_name and name not in taken], None)
        return Route(Tier.of(named, strategy), others)

    def _own(self, entry: Entry) -> Candidate:
        """The entry with its main model."""
        models = self._states[entry.name].target.models
        return self._candidate(entry, models[0] if models else "")

    def _candidate(self, entry: Entry, model: str) -> Candidate:
        state = self._states[entry.name]
        return Candidate(state.target, model, state)
