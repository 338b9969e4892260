"""Tools as agents know them, what a call of one gave, and the data that tools keep: values without I/O."""

from typing import Literal

from msgspec import Struct

from caxton_llm.context_requirements import ContextRequirements
from caxton_llm.discreet import Discreet
from caxton_llm.types import Json

__all__ = ["ToolData", "ToolFailure", "ToolGap", "ToolOutcome", "ToolProgress", "ToolSpec"]

ToolFailure = Literal["arguments", "schema", "timeout", "unavailable", "interrupted", "protocol"]
"""Why a call has no result of the tool: the arguments do not fit its schema; the schema itself is none; no answer in time;
the server cannot be reached; it ended during the call, which may have taken effect; its answer was an error, or is none."""


class ToolSpec(Struct, frozen=True, kw_only=True):
    """One tool that a model may be offered."""

    name: str
    """As the model sees it: unique among all tools, of 1 to 64 letters, digits, `_` and `-`."""
    server: str
    """The configured server's name; empty for a capability of another agent."""
    remote_name: str
    """The server's own name for it."""
    description: str
    input_schema: dict[str, Json]
    requirements: ContextRequirements | None
    """From the configuration, or else from the tool's own `_meta`."""
    read_only: bool | None = None
    """Whether the tool says that it changes nothing; a hint, `None` where it says nothing."""
    idempotent: bool | None = None
    """Whether the tool says that a second call changes nothing more; a hint."""


class ToolOutcome(Discreet, Struct, frozen=True, kw_only=True):
    """What became of one call. With `is_error` the text says what is wrong, in words for the model that asked."""

    text: str
    is_error: bool = False
    truncated: bool = False
    """Whether `text` was cut, or something of the result left out, for its size; the text says so."""
    seconds: float = 0.0
    structured: Json = None
    failure: ToolFailure | None = None
    """Set where the tool itself gave no result; `None` for a result, also for an error that the tool reports."""


class ToolProgress(Discreet, Struct, frozen=True, kw_only=True):
    """How far a call is, in the tool's own units."""

    progress: float
    total: float | None = None
    message: str | None = None


class ToolData(Discreet, Struct, frozen=True, kw_only=True):
    """One of a tool's own data, asked for by its `tool_data` key."""

    key: str
    value: Json
    source: Literal["resource", "configured", "file", "memory"]
    priority: float | None = None
    """0 to 1, where the server says so: 1 is needed, 0 is optional."""
    fetched_at: float
    """Seconds since the epoch."""
    truncated: bool = False
    """Whether the value was cut at the server's `max_result_bytes`; it is text then."""


class ToolGap(Struct, frozen=True, kw_only=True):
    """What could not be had, and why: a server's tools, one tool, or one key of a tool's data."""

    server: str
    name: str
    """The tool or the key; empty for all of a server's tools."""
    reason: str
