"""The request for a kind of provider: what stays the same first, what was looked up for this request late.

Providers keep the beginning of a prompt that they have seen. So instructions, tools and past turns stand first and are equal
byte for byte from turn to turn, and what was retrieved stands right before the current message, once a beginning is long
enough to be kept at all; before that it stands with the instructions, where models attend to it best. Local models get one
short system message.
"""

from functools import lru_cache, partial
from typing import Literal, get_args

from msgspec.structs import replace

from caxton_llm.agents.registry import CapabilityContext
from caxton_llm.caching.identical import Identical
from caxton_llm.caching.kept import Kept
from caxton_llm.caching.texts import kept_of_text
from caxton_llm.context.prepared import Prepared, PreparedTool
from caxton_llm.context.render.breakpoints import NO_MARKS, Marks, lasting_first, marked_ends, within_the_most
from caxton_llm.context.render.enrichment import Style, Told, enriched
from caxton_llm.context.render.fence import DATA_NOTE, fenced
from caxton_llm.tool_specs import ToolSpec
from caxton_llm.types import ContentPart, FunctionDefinition, Json, Message, Tool

__all__ = [
    "CACHED_FROM",
    "Family",
    "excerpt_line",
    "family_of",
    "memory_line",
    "related_line",
    "rendered",
    "rendered_tools",
]

Family = Literal["openai", "anthropic", "local"]
CACHED_FROM = 1_024
"""Tokens of an unchanged beginning from which on providers keep it."""
_SETS_KNOWN = 64
"""Sets of tools of which is kept how a kind of provider is told them."""

_FAMILIES: dict[str, Family] = {"anthropic": "anthropic", "ollama": "local", "vllm": "local"}
_HEADINGS: dict[Family, str] = {
    "openai": "Context from memory system:",
    "anthropic": "Relevant context from conversation and memory:",
    "local": "Known:",
}


def family_of(provider: str) -> Family:
    """How a kind of provider likes its context."""
    return _FAMILIES.get(provider, "openai")


def rendered(
    prepared: Prepared, family: Family, *, stable_tokens: int, marks: Marks = NO_MARKS
) -> tuple[list[Message], tuple[Tool, ...]]:
    """Messages and tools. `stable_tokens` is about how much of the beginning stays the same from turn to turn, `marks` what
    the request marks."""
    context = _context(prepared, family)
    late = stable_tokens >= CACHED_FROM
    instructions = prepared.instructions
    # Behind a beginning that is kept the note stands in any case: a turn without context would change it. What tools give is
    # fenced, too.
    if context or late or prepared.tools:
        instructions = "\n\n".join(part for part in (instructions, DATA_NOTE, "" if late else context) if part)
    beginning = [] if not instructions else [Message(role="system", content=instructions)]
    beginning += prepared.history
    current = list(prepared.current)
    if late and context and family == "openai":
        current.insert(0, Message(role="system", content=context))
    elif late and context and current:
        current[0] = _with_text_before(current[0], context, as_parts=family == "anthropic")
    messages = beginning + current
    if family == "anthropic":
        messages = within_the_most(messages, marks.elsewhere)
        ends = (len(beginning) - 1, 0) if late else (0,) if marks.instructions and beginning else ()
        messages = lasting_first(marked_ends(messages, ends, marks))
    return messages, rendered_tools(prepared.tools, family)


def _context(prepared: Prepared, family: Family) -> str:
    """Everything that was looked up, fenced; empty where nothing was."""
    parts = []
    earlier = [prepared.digest] if prepared.digest else []
    earlier += [excerpt_line(said.role, said.text) for said in prepared.excerpts]
    if earlier:
        parts.append(fenced("conversation", "\n".join(("Earlier in this conversation:", *earlier))))
    known = [memory_line(memory.name, text) for memory in prepared.memories for text in memory.observations]
    if known:
        parts.append(fenced("memory", "\n".join((_HEADINGS[family], *known))))
    related = related_line(prepared.capabilities)
    if related and family != "local":
        parts.append(fenced("capabilities", related))
    return "\n\n".join(parts)


def memory_line(name: str, text: str) -> str:
    """What is known of something, as a prompt has it."""
    return f"- {_on_one_line(f'{name}: {text}' if name else text)}"


def excerpt_line(role: str, text: str) -> str:
    """What somebody has said before, as a prompt has it."""
    return _on_one_line(f"{role}: {text}")


@kept_of_text(4_000)
def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def related_line(capabilities: CapabilityContext | None) -> str:
    """Capabilities that go with the requested one, as a prompt has them; empty where there are none."""
    if capabilities is None or not capabilities.related_capabilities:
        return ""
    return f"Related capabilities: {', '.join(capabilities.related_capabilities)}"


def _with_text_before(message: Message, text: str, *, as_parts: bool) -> Message:
    """`as_parts` even where the message is a text alone; templates of small models take that rather as one."""
    if isinstance(message.content, str) and not as_parts:
        return replace(message, content=f"{text}\n\n{message.content}")
    return replace(message, content=[ContentPart(type="text", text=text), *_parts(message)])


def _parts(message: Message) -> list[ContentPart]:
    content = message.content
    if isinstance(content, str):
        return [ContentPart(type="text", text=content)]
    return list(content or ())


def rendered_tools(tools: tuple[PreparedTool, ...], family: Family) -> tuple[Tool, ...]:
    """Tools as a kind of provider is offered them: the same objects again for the same ones."""
    return _RENDERED[family].of(tools)


def _rendered_tools(tools: tuple[PreparedTool, ...], *, family: Family) -> tuple[Tool, ...]:
    return tuple(
        _rendered_tool(
            Identical(tool.spec),
            tuple((one.key, Identical(one.value), one.source == "memory") for one in tool.data),
            family,
        )
        for tool in tools
    )


def _identity(tools: tuple[PreparedTool, ...]) -> tuple[int, ...]:
    return tuple(map(id, tools))


_RENDERED = {
    family: Kept(partial(_rendered_tools, family=family), lambda *_: 1, heaviest=_SETS_KNOWN, key=_identity)
    for family in get_args(Family)
}


@lru_cache(maxsize=4_000)
def _rendered_tool(
    spec: Identical[ToolSpec], data: tuple[tuple[str, Identical[Json], bool], ...], family: Family
) -> Tool:
    style: Style = family
    told = enriched(spec.value, [Told(key, one.value, remembered) for key, one, remembered in data], style=style)
    schema = _brief(told.input_schema) if family == "local" else told.input_schema
    definition = FunctionDefinition(name=told.name, description=told.description or None, parameters=schema)
    return Tool(type="function", function=definition)


def _brief(schema: dict[str, Json]) -> dict[str, Json]:
    """A schema without its prose, of which small models have little use."""
    kept = {
        name: value for name, value in schema.items() if name not in ("description", "title", "$schema", "examples")
    }
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = {name: _brief(one) if isinstance(one, dict) else one for name, one in properties.items()}
    return kept
