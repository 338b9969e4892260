"""What a server lists, read from what it sent: its tools and its resources. Nothing here trusts the server."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization
from caxton_llm.near_names import nearest_name
from caxton_llm.providers.settings import BUILT_IN_KINDS
from caxton_llm.tool_specs import ToolGap
from caxton_llm.tools.schemas import SchemaFault, usable_schema
from caxton_llm.types import Json

__all__ = [
    "FAULTY_NEEDS",
    "REQUIREMENTS_KEY",
    "SENT",
    "UNREADABLE",
    "ListedResource",
    "ListedTool",
    "ToolListing",
    "read_resources",
    "read_tools",
]

REQUIREMENTS_KEY = "caxton/context_requirements"
"""Where a tool says in its `_meta` which context it needs."""

SENT = "caxton/sent"
"""Where an entry has what the server sent; see `screening`."""
UNREADABLE = "caxton/unreadable"
"""Where a listing has the number of its entries that are none."""

FAULTY_NEEDS = f"its {REQUIREMENTS_KEY} are"
"""How everything begins that is told of a tool's requirements."""
_NEEDS = REQUIREMENTS_KEY.rpartition("/")[2]
_NEAR = 0.8
_LONGEST_DESCRIPTION = 16_384


class ListedTool(Struct, frozen=True, kw_only=True):
    """One tool that can be offered, by the server's own name."""

    name: str
    description: str
    input_schema: dict[str, Json]
    output_schema: dict[str, Json] | None
    """What the structured result is to be like; `None` where nothing usable is said."""
    requirements: ContextRequirements | None
    read_only: bool | None
    idempotent: bool | None


class ToolListing(Struct, frozen=True, kw_only=True):
    """A server's tools in the order of their names, and what of its listing cannot be offered."""

    tools: tuple[ListedTool, ...] = ()
    gaps: tuple[ToolGap, ...] = ()


class ListedResource(Struct, frozen=True, kw_only=True):
    """One resource. `audience` is `None` where the server does not say who it is for."""

    uri: str
    name: str
    audience: tuple[str, ...] | None = None
    priority: float | None = None


def read_tools(server: str, entries: Sequence[Mapping[str, Json]], only: Sequence[str] | None) -> ToolListing:
    """The tools among what a server sent; `only` those, where it is given. Checks their schemas, which takes a while."""
    tools: dict[str, ListedTool] = {}
    gaps: list[ToolGap] = []
    for sent in entries:
        name: str = sent["name"]
        if only is not None and name not in only:
            continue
        if name in tools:
            gaps.append(ToolGap(server=server, name=name, reason="the server lists it twice; the first is offered"))
            continue
        try:
            tools[name], faults = _tool(sent)
        except SchemaFault as fault:
            gaps.append(ToolGap(server=server, name=name, reason=str(fault)))
            continue
        gaps += [ToolGap(server=server, name=name, reason=fault) for fault in faults if fault]
    known = {sent["name"] for sent in entries}
    gaps += [
        ToolGap(server=server, name=name, reason="the server has no tool of this name")
        for name in sorted(set(only or ()) - known)
    ]
    return ToolListing(tools=tuple(tools[name] for name in sorted(tools)), gaps=tuple(gaps))


def _tool(sent: Mapping[str, Json]) -> tuple[ListedTool, tuple[str, ...]]:
    """A tool, and what it says that is not read."""
    requirements, fault_of_needs = _requirements(sent)
    output_schema, fault_of_results = _output_schema(sent)
    description, annotations = sent.get("description"), _mapping(sent.get("annotations"))
    tool = ListedTool(
        name=sent["name"],
        description=description[:_LONGEST_DESCRIPTION] if isinstance(description, str) else "",
        input_schema=usable_schema(sent.get("inputSchema")),
        output_schema=output_schema,
        requirements=requirements,
        read_only=_hint(annotations, "readOnlyHint"),
        idempotent=_hint(annotations, "idempotentHint"),
    )
    return tool, (fault_of_needs, fault_of_results)


def _requirements(sent: Mapping[str, Json]) -> tuple[ContextRequirements | None, str]:
    """What the tool says that it needs, and what is wrong with that."""
    meta = _mapping(sent.get("_meta"))
    said = meta.get(REQUIREMENTS_KEY)
    if said is None:
        key = next((key for key in meta if nearest_name(key.rpartition("/")[2], [_NEEDS], _NEAR)), None)
        return None, "" if key is None else f"{FAULTY_NEEDS} not read: in its _meta they are called {key[:100]!r}"
    try:
        needs = msgspec.convert(said, ContextRequirements)
    except msgspec.ValidationError as error:
        return None, f"{FAULTY_NEEDS} left out: {error}"
    unread = ", ".join(_unread(said))
    return needs, f"{FAULTY_NEEDS} not read in whole: nothing is known of {unread}" if unread else ""


def _unread(said: Mapping[str, Json]) -> Iterator[str]:
    """The names of what nobody reads: misspelt ones, most likely."""
    search = _mapping(said.get("memory_search"))
    parts = [("", said, ContextRequirements.__struct_fields__)]
    parts.append(("memory_search.", search, MemorySearch.__struct_fields__))
    for kind, wishes in _mapping(said.get("provider_optimization")).items():
        if kind not in BUILT_IN_KINDS and nearest_name(kind, BUILT_IN_KINDS, _NEAR):  # others may be a plug-in's
            yield f"provider_optimization.{kind[:100]}"
        parts.append((f"provider_optimization.{kind[:100]}.", _mapping(wishes), ProviderOptimization.__struct_fields__))
    for where, values, known in parts:
        yield from (f"{where}{name[:100]}" for name in values if name not in known)


def _output_schema(sent: Mapping[str, Json]) -> tuple[dict[str, Json] | None, str]:
    """What the tool says of its results, and what is wrong with that."""
    said = sent.get("outputSchema")
    if said is None:
        return None, ""
    try:
        return usable_schema(said), ""
    except SchemaFault as fault:
        return None, f"its results are not checked (outputSchema): {fault}"


def read_resources(entries: Sequence[Mapping[str, Json]]) -> tuple[ListedResource, ...]:
    """The resources among what a server sent, in the order of their addresses."""
    found = {}
    for sent in entries:
        uri, name, annotations = sent["uri"], sent.get("name"), _mapping(sent.get("annotations"))
        audience, priority = annotations.get("audience"), annotations.get("priority")
        found[uri] = ListedResource(
            uri=uri,
            name=name if isinstance(name, str) else "",
            audience=tuple(str(role) for role in audience) if isinstance(audience, list) else None,
            priority=_share(priority),
        )
    return tuple(found[uri] for uri in sorted(found))


def _share(value: Json) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else None


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _hint(annotations: Mapping[str, Json], name: str) -> bool | None:
    value = annotations.get(name)
    return value if isinstance(value, bool) else None
