"""What a request to an agent is about: what it asks for, which tools it may use, what context these need.

A request may say more than its messages, in two fields beside them. `metadata` is OpenAI's: names and values, all of them
variables. `context` is ours: `request_parameters` (variables), `requesting_agent`, and `context_requirements` as a tool would
have them, or as the `request_context` of a context document has them; its other texts, numbers and truth values are
variables, too.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from caxton_llm.agents.agent import DERIVED_VARIABLES, Agent
from caxton_llm.agents.likely_tools import DescribedTool, LikelyTool, ToolIndex
from caxton_llm.agents.requirements import REQUEST, Requirements, limited, merged, requirements_of
from caxton_llm.agents.templates import fill, render, variables_of
from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.discreet import Discreet
from caxton_llm.errors import InvalidRequest
from caxton_llm.near_names import nearest_name
from caxton_llm.types import ChatRequest, Json, Message
from caxton_llm.wire.unread_fields import unread_by_agent

__all__ = ["REQUEST", "Analysis", "analyse", "user_text"]

_MOST_TOOLS = 8
_NEAR, _MISSPELT = 0.6, 0.8
_LIKELY_SHARE = 0.25
"""A tool counts as likely from this share of the best score on."""
_MAX_QUERY = 4_000
"""Characters of a search; more is cut off at its end."""
_REQUIREMENTS = frozenset(
    (*ContextRequirements.__struct_fields__, "memory_similarity_threshold", "tool_context_sources")
)
_OWN_FIELDS = frozenset({"request_parameters", "requesting_agent", "context_requirements"})


class Analysis(Discreet, Struct, frozen=True, kw_only=True):
    """What a request is about. `requirements` are merged from the likely tools and the request, within the agent's limits;
    what concerns providers is that of all tools: a prompt's beginning must not change with what is likely.

    `prompt` is what the agent's template makes of the request, `None` without a template. `notes` say what was guessed or
    left out, `unused` what of the request goes nowhere; neither repeats what somebody wrote.
    """

    agent: str | None
    capability: str | None
    requesting_agent: str | None
    user_request: str
    variables: Mapping[str, str]
    prompt: str | None
    tools: tuple[LikelyTool, ...]
    requirements: Requirements
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def analyse(
    request: ChatRequest,
    *,
    agent: Agent | None = None,
    capability: str | None = None,
    tools: ToolIndex | None = None,
    messages: Sequence[Message] | None = None,
    most_tools: int = _MOST_TOOLS,
) -> Analysis:
    """The analysis of a request to an agent, which may use `tools`.

    `messages` are what it is about, where that is more than its own: a request may bring nothing but results of tools.
    `most_tools` limits those whose context is gathered; tools that the request names come first. Raises `InvalidRequest` for
    fields of the request that cannot be read, and for a variable of the agent's template that has no value.
    """
    said = _Said(request)
    text = user_text(request.messages if messages is None else messages)
    variables, notes, unused = _variables(said, text, agent, capability)
    unused += unread_by_agent(request)
    prompt = None
    if agent is not None and agent.user_prompt_template is not None:
        prompt = render(agent.user_prompt_template, variables, where=f"agent {agent.name}")
        is_sent = "user_request" in variables_of(agent.user_prompt_template)
        if text and not is_sent and said.requesting_agent is None:
            unused.append(
                f"the template of agent {agent.name} has no {{{{user_request}}}}: what the message says is not sent"
            )
    index = tools or ToolIndex(())
    unused += _misspelt(said, agent, index.tools)
    likely = index.likely(_compared(text, capability, said), _named_tools(request))
    likely = _likeliest(likely, most_tools)
    needs = _needs(index.tools, likely, said, variables, notes)
    depth = None if said.requirements is None else said.requirements.conversation_depth
    return Analysis(
        agent=None if agent is None else agent.name,
        capability=capability,
        requesting_agent=said.requesting_agent,
        user_request=text,
        variables=variables,
        prompt=prompt,
        tools=likely,
        requirements=needs if agent is None else limited(needs, agent, exact_depth=depth),
        notes=tuple(notes),
        unused=tuple(unused),
    )


def user_text(messages: Sequence[Message]) -> str:
    """The text of the last message of the user; empty where there is none."""
    for message in reversed(messages):
        if message.role == "user":
            if isinstance(message.content, str):
                return message.content
            return "\n".join(part.text for part in message.content or () if part.type == "text" and part.text)
    return ""


class _Said:
    """What a request says beside its messages."""

    def __init__(self, request: ChatRequest) -> None:
        context = request.extra_value("context")
        if context is not None and not isinstance(context, dict):
            raise _refused("context", "must be an object")
        self._context: dict[str, Json] = context or {}
        self._metadata = request.metadata or {}
        agent = self._context.get("requesting_agent")
        if agent is not None and not isinstance(agent, str):
            raise _refused("context.requesting_agent", "must be text")
        self.requesting_agent: str | None = agent
        _check_fields(self._context)
        self.requirements = self._requirements()

    @property
    def variables(self) -> dict[str, str]:
        """What is said nearer to the request counts more: parameters, then `context`, then `metadata`. Null is no value."""
        parameters = self._context.get("request_parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise _refused("context.request_parameters", "must be an object")
        plain = {
            name: value
            for name, value in self._context.items()
            if name not in _OWN_FIELDS and isinstance(value, str | int | float)
        }
        said = self._metadata | plain | {name: one for name, one in (parameters or {}).items() if one is not None}
        return {name: _as_text(value) for name, value in said.items() if value is not None}

    def _requirements(self) -> ContextRequirements | None:
        found = self._context.get("context_requirements")
        if found is None:
            return None
        where = "context.context_requirements"
        if not isinstance(found, dict):
            raise _refused(where, "must be an object")
        unknown = sorted(found.keys() - _REQUIREMENTS)
        if unknown:
            name = str(unknown[0])[:100]
            raise _refused(f"{where}.{name}", f"is unknown; {_known(name, _REQUIREMENTS)}")
        try:
            return msgspec.convert(_by_their_usual_names(found), ContextRequirements)
        except msgspec.ValidationError as error:
            raise _refused(where, f"cannot be read: {error}") from None


def _check_fields(context: Mapping[str, Json]) -> None:
    """Raises `InvalidRequest` for what would be read by nobody: a wrong name, or a need in the wrong place."""
    for name in context.keys() - _OWN_FIELDS:
        where = f"context.{str(name)[:100]}"
        if name in _REQUIREMENTS:
            raise _refused(where, "belongs under context.context_requirements")
        if isinstance(context[name], dict | list):
            known = _known(name, _OWN_FIELDS)
            raise _refused(where, f"is unknown and no text, number or truth value; {known}")


def _known(name: str, names: frozenset[str]) -> str:
    """What a name may have meant, or what there is."""
    meant = nearest_name(name, sorted(names), _NEAR)
    return f"did you mean {meant}?" if meant else f"known are {', '.join(sorted(names))}"


def _refused(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{where} {what}", param=where)


def _by_their_usual_names(requirements: Mapping[str, Json]) -> dict[str, Json]:
    """A context document names two of them otherwise."""
    usual = dict(requirements)
    similarity = usual.pop("memory_similarity_threshold", None)
    keys = usual.pop("tool_context_sources", None)
    if similarity is not None:
        search = usual.get("memory_search")
        usual["memory_search"] = {"min_similarity": similarity} | (search if isinstance(search, dict) else {})
    if keys is not None:
        usual.setdefault("tool_data", keys)
    return usual


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _variables(
    said: _Said, text: str, agent: Agent | None, capability: str | None
) -> tuple[dict[str, str], list[str], list[str]]:
    """All variables, what was guessed, and what was said but does not count: what a request is is not for it to say."""
    derived = {
        "user_request": text or None,
        "agent": None if agent is None else agent.name,
        "capability": capability,
        "requesting_agent": said.requesting_agent,
    }
    known = {name: value for name, value in derived.items() if value is not None}
    given = said.variables
    unused = [
        f"the parameter {name} is not used: the request itself says what it is"
        for name, value in known.items()
        if given.get(name, value) != value
    ]
    variables = {"user_request": text} | given | known
    notes = []
    if "request_type" not in variables and capability is not None:
        variables["request_type"] = capability
        notes.append("request_type is not given: it is taken from the capability")
    return variables, notes, unused


def _misspelt(said: _Said, agent: Agent | None, tools: Sequence[DescribedTool]) -> Iterator[str]:
    """Parameters that nobody reads and that are called almost like one that is read."""
    given = said.variables
    if not given:
        return
    read = {*DERIVED_VARIABLES}
    if agent is not None:
        read.update(agent.known_variables or (), variables_of(agent.user_prompt_template or ""))
    for tool in tools:
        search = None if tool.requirements is None else tool.requirements.memory_search
        read.update(variables_of(search.query_template or "") if search is not None else ())
    for name in given:
        meant = None if name in read else nearest_name(name, sorted(read), _MISSPELT)
        if meant is not None:
            yield f"the parameter {name[:100]} is read by no template: did you mean {meant}?"


def _compared(text: str, capability: str | None, said: _Said) -> str:
    return " ".join((capability or "", *said.variables.values(), text))


def _named_tools(request: ChatRequest) -> Iterator[str]:
    choice = request.tool_choice
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        yield function["name"]


def _likeliest(tools: tuple[LikelyTool, ...], most: int) -> tuple[LikelyTool, ...]:
    best = max((tool.score for tool in tools if not tool.is_named), default=0.0)
    return tuple(tool for tool in tools if tool.is_named or tool.score >= best * _LIKELY_SHARE)[:most]


def _needs(
    tools: Sequence[DescribedTool],
    likely: Sequence[LikelyTool],
    said: _Said,
    variables: Mapping[str, str],
    notes: list[str],
) -> Requirements:
    by_name = {tool.name: tool.requirements for tool in tools}
    asking = [(tool.name, by_name.get(tool.name)) for tool in likely]
    asking.append((REQUEST, said.requirements))
    needs = []
    for name, requirements in asking:
        if requirements is not None:
            query = _query(name, requirements, variables, notes)
            needs.append(requirements_of(name, requirements, query))
    every = ((tool.name, tool.requirements) for tool in tools)
    needs += (
        requirements_of(name, _of_providers(one), None)
        for name, one in every
        if one is not None and one.provider_optimization
    )
    return merged(needs)


def _of_providers(requirements: ContextRequirements) -> ContextRequirements:
    return ContextRequirements(provider_optimization=requirements.provider_optimization)


def _query(name: str, needs: ContextRequirements, variables: Mapping[str, str], notes: list[str]) -> str | None:
    """The search that is wanted; without a template the request's own text."""
    search = needs.memory_search
    if search is None:
        return None
    filled = fill(search.query_template or "{{user_request}}", variables)
    notes += (
        f"the memory search of {name} leaves out {missing}: the request has no value for it"
        for missing in filled.missing
    )
    text = " ".join(filled.text.split())
    if len(text) > _MAX_QUERY:
        notes.append(f"the memory search of {name} is cut off after {_MAX_QUERY} characters")
    return text[:_MAX_QUERY]
