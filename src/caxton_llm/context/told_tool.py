"""A tool and what it keeps, in the forms in which a request may tell them."""

from collections.abc import Container

from caxton_llm.context.prepared import PreparedTool
from caxton_llm.tool_specs import ToolData, ToolSpec

__all__ = ["ToldTool"]

_MOST_FORMS = 64


class ToldTool:
    """`bare` is the tool alone, `each` has one of its data. Each form is one object however often it is told, so that what
    was made of it is known again; `id` and `data_ids` are the ids of its pieces, `text` and `data_texts` what these say."""

    def __init__(self, spec: ToolSpec, data: tuple[ToolData, ...] = (), *, bare: PreparedTool | None = None) -> None:
        self.spec = spec
        self.data = data
        self.id = f"tool:{spec.name}"
        self.text = f"{spec.name}: {spec.description}"
        self.data_ids = tuple(f"data:{spec.name}:{one.key}" for one in data)
        self.data_texts = tuple(f"{spec.name} {one.key}" for one in data)
        self.bare = bare or PreparedTool(spec=spec)
        self.each = tuple(PreparedTool(spec=spec, data=(one,)) for one in data)
        self._forms = {(False,) * len(data): self.bare}

    def form(self, kept: Container[str]) -> PreparedTool:
        """The tool with those of its data whose ids are among `kept`."""
        which = tuple([name in kept for name in self.data_ids])
        known = self._forms.get(which)
        if known is None:
            told = (one for one, is_kept in zip(self.data, which, strict=True) if is_kept)
            known = PreparedTool(spec=self.spec, data=tuple(told))
            if len(self._forms) < _MOST_FORMS:
                self._forms[which] = known
        return known
