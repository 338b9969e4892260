"""`caxton agents`: the agents of a configuration and what they can do."""

from pathlib import Path

from caxton_llm.agents.agent import Agent
from caxton_llm.agents.registry import CapabilityRegistry
from caxton_llm.cli.screen import Screen, tokens
from caxton_llm.config.load import load_file
from caxton_llm.config.locate import locate

__all__ = ["show_agents"]

_COLUMNS = ("agent", "capabilities", "tools", "calls", "memory", "conversation", "budget", "description")


def show_agents(config: Path | None, screen: Screen, *, as_json: bool) -> None:
    """A table, or what `/api/v1/agents` and `/api/v1/capabilities` tell. Raises `ConfigurationError`."""
    path = locate(config)
    agents = load_file(path).agents
    if as_json:
        from caxton_llm.server.agents.shapes import agent_list, capability_list  # noqa: PLC0415

        registry = CapabilityRegistry(agents)
        screen.json({"agents": agent_list(registry).agents, "capabilities": capability_list(registry).capabilities})
    elif agents:
        screen.table(_COLUMNS, [_row(agent) for agent in agents])
    else:
        screen.note(f"{path} has no agents: add an `agents` block, see docs/agents.md", style="")


def _row(agent: Agent) -> tuple[str, ...]:
    return (
        agent.name,
        ", ".join(agent.capabilities),
        ", ".join(agent.tools),
        ", ".join(agent.requires),
        _memory(agent),
        _conversation(agent),
        "" if agent.context.budget is None else tokens(agent.context.budget),
        agent.description or "",
    )


def _memory(agent: Agent) -> str:
    memory = agent.memory
    owner = {"agent": "", "workspace": memory.workspace, "global": ""}[memory.scope]
    parts = (memory.scope, owner, f"of {memory.tenant}" if memory.tenant else "", "+" if memory.auto_store else "")
    return " ".join(part for part in parts if part)


def _conversation(agent: Agent) -> str:
    kept = agent.conversation
    return f"last {kept.max_turns} turns" if kept.strategy == "sliding_window" else kept.strategy
