"""What people write for a key that is called otherwise, in the block where they write it."""

from collections.abc import Mapping

from caxton_llm.config.agent_schema import AgentContextBlock, ContextBlock, ConversationsBlock
from caxton_llm.config.mcp_schema import McpBlock
from caxton_llm.config.memory_schema import MemoryBlock
from caxton_llm.config.schema import AgentBlock, ConfigurationFile

__all__ = ["OTHER_NAMES"]

OTHER_NAMES: Mapping[tuple[type, str], str] = {
    (MemoryBlock, "data_dir"): "path",
    (ConversationsBlock, "path"): "data_dir",
    (McpBlock, "server"): "servers",
    (ConfigurationFile, "mcpServers"): "mcp: {servers: [...]}",
    (AgentBlock, "model"): "llm: {provider: ..., model: ...}",
    (AgentContextBlock, "max_tokens"): "budget",
    (ContextBlock, "max_tokens"): "budget",
}
"""By the type of the block and the key that it does not have: what is meant by it."""
