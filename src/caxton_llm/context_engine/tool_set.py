"""The tools of an agent, with what is made of them once for all requests."""

from collections.abc import Mapping, Sequence

from caxton_llm.agents.likely_tools import ToolIndex
from caxton_llm.caching.kept import Kept
from caxton_llm.context.prepared import PreparedTool
from caxton_llm.context.told_tool import ToldTool
from caxton_llm.tool_specs import ToolData, ToolSpec

__all__ = ["ToolSet"]

_MOST_TOLD = 16
"""Of each tool, with different data."""


class ToolSet:
    """`specs` in the order in which an agent has them. Safe to share between threads."""

    def __init__(self, specs: tuple[ToolSpec, ...]) -> None:
        self.specs = specs
        self.index = ToolIndex(specs)
        self.names = frozenset(spec.name for spec in specs)
        self._wanted = self._with_keys(())
        self._bare = [PreparedTool(spec=spec) for spec in specs]
        self._told = Kept(self._made, lambda *_: 1, heaviest=_MOST_TOLD * len(specs), key=_identity)

    def wanted(self, asked: tuple[str, ...]) -> Sequence[tuple[ToolSpec, tuple[str, ...]]]:
        """Which data of which tool are told, where a request has `asked` for some of each. All tools tell theirs, likely or
        not: definitions that change with every request would cost the provider's prompt cache more than they take."""
        return self._with_keys(asked) if asked else self._wanted

    def _with_keys(self, asked: tuple[str, ...]) -> list[tuple[ToolSpec, tuple[str, ...]]]:
        keys = [
            (spec, (*(spec.requirements.tool_data if spec.requirements is not None else ()), *asked))
            for spec in self.specs
        ]
        return [(spec, tuple(dict.fromkeys(wanted))) for spec, wanted in keys if wanted and spec.server]

    def told(self, data: Mapping[str, tuple[ToolData, ...]]) -> list[ToldTool]:
        """Each tool with its data, by the tools' names: the same objects for the same data."""
        return self._told.of_each([(number, data.get(spec.name, ())) for number, spec in enumerate(self.specs)])

    def _made(self, tool: "_WithData") -> ToldTool:
        number, data = tool
        return ToldTool(self.specs[number], data, bare=self._bare[number])


_WithData = tuple[int, tuple[ToolData, ...]]
"""The number of a tool, and its data."""


def _identity(tool: _WithData) -> tuple[object, ...]:
    """By what is told of the data."""
    number, data = tool
    return (number, *[part for one in data for part in (one.key, id(one.value), one.source, one.priority)])
