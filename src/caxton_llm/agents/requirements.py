"""What context a request needs: what tools, an agent and the request itself ask for, as one.

Merging is commutative, associative and idempotent, so who is asked first does not matter. Per field:

| field | rule |
|---|---|
| `conversation` | whether everybody may have it |
| `conversation_depth` | the deepest; not said is less than 0 |
| `memory_searches` | equal queries are one: most results, lowest `min_similarity` (none is lowest), all areas and askers |
| `capability_context` | whether anybody wants it |
| `tool_data` | per tool all keys |
| `provider_optimization` | per asker and provider the smallest `max_context_tokens`; a flag is set if it is ever set |

An agent's settings are limits, not needs, and are applied last (`limited`).
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from caxton_llm.agents.agent import Agent
from caxton_llm.context_requirements import ContextRequirements, ProviderOptimization
from caxton_llm.discreet import Discreet

__all__ = ["ALL_TURNS", "REQUEST", "Requirements", "SearchNeed", "limited", "merged", "requirements_of"]

REQUEST = "request"
"""Who asks for the context that a request itself requires."""

ALL_TURNS = 100_000
"""A `conversation_depth` that no conversation reaches."""


class SearchNeed(Discreet, Struct, frozen=True, kw_only=True):
    """A search in the memory. `asked_by` are the tools, the agent or the request (`request`) that want it, sorted."""

    query: str
    max_results: int = 5
    min_similarity: float | None = None
    focus_areas: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = ()


class Requirements(Struct, frozen=True, kw_only=True):
    """What is to be gathered. Everything in it is sorted, so equal needs are equal values.

    `conversation` says whether past turns may be used at all, in whatever form; `conversation_depth` how many of them (each
    a message of the user with all that answered it) are sent word for word, `None`: nobody has said.
    `tool_data` has the keys that each tool wants; those under `REQUEST` are wanted of whichever tool has them.
    `provider_optimization` has what each asker wishes of each kind of provider.
    """

    conversation: bool = True
    conversation_depth: int | None = None
    memory_searches: tuple[SearchNeed, ...] = ()
    capability_context: bool = False
    tool_data: Mapping[str, tuple[str, ...]] = {}
    provider_optimization: Mapping[str, Mapping[str, ProviderOptimization]] = {}

    def max_context_tokens(self, provider: str) -> int | None:
        """The most tokens of context for a kind of provider, as all askers permit it; `None`: nobody has said."""
        wishes = (_wish(wishes, provider) for wishes in self.provider_optimization.values())
        return min((one.max_context_tokens for one in wishes if one.max_context_tokens is not None), default=None)

    def with_wishes(self, tools: Sequence[str]) -> Sequence[str]:
        """Those of the tools of which anything is said that concerns providers."""
        wishes = self.provider_optimization
        return tools if REQUEST in wishes else [tool for tool in tools if tool in wishes]

    def offers(self, tool: str, provider: str) -> bool:
        """Whether a tool is offered to a kind of provider, in the only form that would call it: its own."""
        return all(
            one.function_calling_format is not False and one.tool_use_format is not False
            for one in self._wishes(tool, provider)
        )

    def is_strict(self, tool: str, provider: str) -> bool:
        """Whether the provider is to hold the tool's arguments to their schema."""
        return any(one.structured_output is True for one in self._wishes(tool, provider))

    def _wishes(self, tool: str, provider: str) -> list[ProviderOptimization]:
        """The tool's own and the request's, which concern every tool."""
        return [_wish(self.provider_optimization.get(asker, {}), provider) for asker in (tool, REQUEST)]


_NO_WISH = ProviderOptimization()


def _wish(wishes: Mapping[str, ProviderOptimization], provider: str) -> ProviderOptimization:
    """What is said of a provider; Azure has OpenAI's models and its form, and what is said of OpenAI holds for it, unless it
    is named itself."""
    known = wishes.get(provider) or (wishes.get("openai") if provider == "azure" else None)
    return known or _NO_WISH


def requirements_of(asked_by: str, needs: ContextRequirements, query: str | None) -> Requirements:
    """What one tool (or whoever) asks for. `query` is its template filled in; `None` or blank: no search."""
    search = needs.memory_search
    searches: tuple[SearchNeed, ...] = ()
    if search is not None and query and query.strip():
        searches = (
            SearchNeed(
                query=query.strip(),
                max_results=search.max_results,
                min_similarity=search.min_similarity,
                focus_areas=_union((search.focus_areas,)),
                asked_by=(asked_by,),
            ),
        )
    wishes = dict(sorted(needs.provider_optimization.items()))
    return Requirements(
        conversation_depth=needs.conversation_depth,
        memory_searches=searches,
        capability_context=needs.capability_context,
        tool_data={asked_by: _union((needs.tool_data,))} if needs.tool_data else {},
        provider_optimization={asked_by: wishes} if wishes else {},
    )


def merged(needs: Iterable[Requirements]) -> Requirements:
    """All of them as one; none: nothing is needed."""
    every = list(needs)
    depths = [one.conversation_depth for one in every if one.conversation_depth is not None]
    return Requirements(
        conversation=all(one.conversation for one in every),
        conversation_depth=max(depths, default=None),
        memory_searches=_searches(search for one in every for search in one.memory_searches),
        capability_context=any(one.capability_context for one in every),
        tool_data={
            tool: _union(one.tool_data[tool] for one in every if tool in one.tool_data)
            for tool in _union(one.tool_data for one in every)
        },
        provider_optimization={
            asker: _optimizations(
                [one.provider_optimization[asker] for one in every if asker in one.provider_optimization]
            )
            for asker in _union(one.provider_optimization for one in every)
        },
    )


def limited(needs: Requirements, agent: Agent, *, exact_depth: int | None = None) -> Requirements:
    """What an agent permits of them: its sources, and the turns of its conversation that it sees.

    Tools ask for more turns than the agent's `max_exchanges`, never for fewer: a window that shrinks whenever one of them is
    likely would lose the thread. `exact_depth` is what the request itself has decided, also downwards.
    """
    sources, conversation = agent.context.sources, agent.conversation
    permitted = "conversation" in sources and conversation.strategy != "none"
    return replace(
        needs,
        conversation=needs.conversation and permitted,
        conversation_depth=_depth(needs, agent, exact_depth) if permitted else 0,
        memory_searches=needs.memory_searches if "memory" in sources else (),
        capability_context=needs.capability_context and "capabilities" in sources,
        tool_data=needs.tool_data if "tools" in sources else {},
    )


def _depth(needs: Requirements, agent: Agent, exact: int | None) -> int:
    if agent.conversation.strategy == "full":
        return ALL_TURNS if exact is None else exact
    usual = max(agent.context.max_exchanges, needs.conversation_depth or 0)
    return min(usual if exact is None else exact, agent.conversation.max_turns)


def _union(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for some in names for name in some}))


def _searches(searches: Iterable[SearchNeed]) -> tuple[SearchNeed, ...]:
    by_query: dict[str, list[SearchNeed]] = {}
    for search in searches:
        by_query.setdefault(search.query, []).append(search)
    return tuple(_search(query, by_query[query]) for query in sorted(by_query))


def _search(query: str, same: list[SearchNeed]) -> SearchNeed:
    lowest = [search.min_similarity for search in same if search.min_similarity is not None]
    return SearchNeed(
        query=query,
        max_results=max(search.max_results for search in same),
        min_similarity=min(lowest) if len(lowest) == len(same) else None,
        focus_areas=_union(search.focus_areas for search in same),
        asked_by=_union(search.asked_by for search in same),
    )


def _optimizations(same: Sequence[Mapping[str, ProviderOptimization]]) -> Mapping[str, ProviderOptimization]:
    return {kind: _optimization([one[kind] for one in same if kind in one]) for kind in _union(same)}


def _optimization(same: list[ProviderOptimization]) -> ProviderOptimization:
    limits = [one.max_context_tokens for one in same if one.max_context_tokens is not None]
    return ProviderOptimization(
        max_context_tokens=min(limits, default=None),
        function_calling_format=_any_of([one.function_calling_format for one in same]),
        structured_output=_any_of([one.structured_output for one in same]),
        tool_use_format=_any_of([one.tool_use_format for one in same]),
    )


def _any_of(flags: list[bool | None]) -> bool | None:
    said = [flag for flag in flags if flag is not None]
    return any(said) if said else None
