"""One interface to every LLM provider.

async with Caxton.from_file("caxton.yaml") as caxton:
    response = await caxton.complete_chat(messages=[{"role": "user", "content": "Hello"}])
"""

from typing import TYPE_CHECKING

from caxton_llm.caxton import Caxton, TokenCount
from caxton_llm.errors import (
    AccessDenied,
    AllTargetsFailed,
    Authentication,
    ConfigurationError,
    ConfigurationProblem,
    ConnectFailed,
    ConnectTimeout,
    ContentBlocked,
    ContentFiltered,
    ContextWindowExceeded,
    DeadlineExceeded,
    FirstByteTimeout,
    IdleTimeout,
    InvalidRequest,
    LimitExceeded,
    LlmError,
    MalformedResponse,
    MemoryStoreError,
    ModelNotFound,
    Overloaded,
    Permission,
    ProviderError,
    ProviderFailure,
    QuotaExhausted,
    RateLimited,
    RequestTooLarge,
    StreamInterrupted,
    TransportError,
    UnknownModel,
    UnsupportedFeature,
)
from caxton_llm.model_info import ModelInfo
from caxton_llm.protocols import LlmProvider
from caxton_llm.sync import SyncCaxton, SyncChatStream
from caxton_llm.types import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ChatStream,
    ContentPart,
    Message,
    ParameterReport,
    Tool,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from caxton_llm.memory_system import Memory

__all__ = [
    "AccessDenied",
    "AllTargetsFailed",
    "Authentication",
    "Caxton",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "ChatStream",
    "ConfigurationError",
    "ConfigurationProblem",
    "ConnectFailed",
    "ConnectTimeout",
    "ContentBlocked",
    "ContentFiltered",
    "ContentPart",
    "ContextWindowExceeded",
    "DeadlineExceeded",
    "FirstByteTimeout",
    "IdleTimeout",
    "InvalidRequest",
    "LimitExceeded",
    "LlmError",
    "LlmProvider",
    "MalformedResponse",
    "Memory",
    "MemoryStoreError",
    "Message",
    "ModelInfo",
    "ModelNotFound",
    "Overloaded",
    "ParameterReport",
    "Permission",
    "ProviderError",
    "ProviderFailure",
    "QuotaExhausted",
    "RateLimited",
    "RequestTooLarge",
    "StreamInterrupted",
    "SyncCaxton",
    "SyncChatStream",
    "TokenCount",
    "Tool",
    "ToolCall",
    "TransportError",
    "UnknownModel",
    "UnsupportedFeature",
    "Usage",
    "__version__",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`Memory` with its indexes and numpy is imported by the programs that use it."""
    if name == "Memory":
        from caxton_llm.memory_system import Memory  # noqa: PLC0415

        return Memory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
