"""Requests to agents, from the name to what is kept."""

from caxton_llm.agent_service.service import AgentService

__all__ = ["AgentService"]
