"""The configuration reference, written from the types: every key with its kind, its default and its docstring.

`scripts/config_reference.py` puts it into `docs/configuration.md`; a test fails when that file is stale.
"""

import ast
import inspect
import textwrap
from itertools import pairwise

import msgspec.inspect as kinds
from msgspec import NODEFAULT, Struct

from caxton_llm.config import agent_schema, alert_schema, mcp_schema, memory_schema, schema
from caxton_llm.config.advice import ENTRY_KEYS_NOT_YET_APPLIED, NOT_YET_APPLIED
from caxton_llm.config.kinds import API_KEY_VARIABLES
from caxton_llm.context_requirements import ContextRequirements, MemorySearch, ProviderOptimization
from caxton_llm.protocols import Quirks
from caxton_llm.providers import settings
from caxton_llm.types import Json

__all__ = ["BLOCKS", "key_meanings", "render"]

BLOCKS: dict[type[Struct], str] = {
    schema.ConfigurationFile: "The file",
    schema.LlmBlock: "llm",
    schema.ProviderEntry: "Provider entry",
    settings.ModelFacts: "model_facts",
    settings.SecretReference: "Secret reference",
    schema.RetryPolicyBlock: "retry_policy",
    schema.HealthCheckBlock: "health_check",
    schema.CircuitBreakerBlock: "circuit_breaker",
    schema.HedgingBlock: "hedging",
    settings.EntraId: "entra_id",
    settings.CustomApi: "provider_config",
    settings.BuiltinScript: "script",
    settings.BuiltinStep: "script.steps",
    Quirks: "quirks",
    schema.CachingBlock: "caching",
    schema.StreamingBlock: "streaming",
    schema.MonitoringBlock: "monitoring",
    alert_schema.AlertsBlock: "alerts",
    alert_schema.AlertChannelBlock: "alerts.channels",
    schema.SecurityBlock: "security",
    schema.ComplianceBlock: "compliance",
    schema.AgentBlock: "agents",
    agent_schema.CapabilityBlock: "agents.capabilities",
    agent_schema.AgentMemoryBlock: "agents.memory",
    agent_schema.AgentConversationBlock: "agents.conversation",
    agent_schema.AgentContextBlock: "agents.context",
    agent_schema.ContextBlock: "context",
    agent_schema.ContextTimeLimitsBlock: "context.time_limits",
    agent_schema.ConversationsBlock: "context.conversations",
    schema.ServerBlock: "server",
    memory_schema.MemoryBlock: "memory",
    memory_schema.EmbedderBlock: "memory.embedder",
    memory_schema.MemorySearchBlock: "memory.search",
    memory_schema.MemoryWeightsBlock: "memory.search.weights",
    memory_schema.MemoryRetentionBlock: "memory.retention",
    mcp_schema.McpBlock: "mcp",
    mcp_schema.McpServerBlock: "mcp.servers",
    schema.ToolContextFile: "Tool context file",
    ContextRequirements: "context_requirements",
    MemorySearch: "memory_search",
    ProviderOptimization: "provider_optimization",
}
"""Every block in the order of the page, with its heading."""

_PREFACE = """\
# Configuration reference

<!-- Written by scripts/config_reference.py from the types in src/caxton_llm; do not edit. -->

A configuration is a YAML file, `caxton.yaml` by default. Unknown keys, wrong values and missing keys are all reported at
once, each with its file, line and key, by `caxton check` and by every other command that reads the file.

```yaml
llm:
  provider: openai
  model: gpt-5.4-mini
  api_key: "${OPENAI_API_KEY}"
```

## Values from the environment

`${NAME}` is replaced by the environment variable `NAME` in every value; when it is not set, that is an error. With
`${NAME:-default}` the default is taken when the variable is not set or empty. `$${` stands for the two characters `${`.

## Names of files

`ca_file`, `client_cert`, `client_key`, `agents_dir`, `data_dir`, the `path` of `source: file`, those under `memory`, `cwd`
and the files of `tool_data` and `tool_context` count from the folder of the configuration file (also in the files of
`agents_dir`), and from the current folder where there is no file (`Caxton.from_dict`). `~` is the home folder.

## Keys and other secrets

A secret is text, usually `"${NAME}"`, or a [reference](#secret-reference) to where it is kept:

```yaml
api_key:
  source: vault        # env, file, vault, aws_secrets, azure_keyvault
  path: caxton/llm/openai
  key: api_key
```

References are followed when the program starts, not when the file is read; `vault`, `aws_secrets` and `azure_keyvault` need
`caxton-llm[vault]`, `caxton-llm[aws]` and `caxton-llm[azure]`. An entry without `api_key` uses its vendor's
usual variable: """


def render() -> str:
    """The whole page in Markdown."""
    variables = ", ".join(f"`{name}` ({kind})" for kind, name in API_KEY_VARIABLES.items())
    blocks = [f"- `{path}`: {what}" for path, what in NOT_YET_APPLIED.items()]
    keys = [f"- `{key}` of a provider entry: {what}" for key, what in ENTRY_KEYS_NOT_YET_APPLIED.items()]
    later = "\n".join(blocks + keys)
    preface = f"{_PREFACE}{variables}.\nIt is sent only to the vendor's own hosts, never to another `base_url`.\n"
    status = (
        "\n## Not in effect yet\n\nThese keys are read and checked, but what they ask for is not done in this version;"
        f" each is answered with a warning.\n\n{later}\n"
    )
    return preface + status + "".join(_block(block, title) for block, title in BLOCKS.items())


def key_meanings(block: type[Struct]) -> dict[str, str]:
    """The docstring under each key of a block, inherited ones included; empty where there is none."""
    meanings: dict[str, str] = {}
    for owner in reversed(block.__mro__):
        if owner is not Struct and issubclass(owner, Struct):
            meanings |= _own_meanings(owner)
    return {name: meanings.get(name, "") for name in block.__struct_fields__}


def _own_meanings(owner: type[Struct]) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    statements = definition.body if isinstance(definition, ast.ClassDef) else []
    meanings = {}
    for statement, after in pairwise(statements):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                meanings[statement.target.id] = inspect.cleandoc(text.value).replace("\n", " ")
    return meanings


def _block(block: type[Struct], title: str) -> str:
    kind = kinds.type_info(block)
    if not isinstance(kind, kinds.StructType):
        raise TypeError(f"{block.__name__} is not a Struct")
    meanings = key_meanings(block)
    inherited = set(schema.ProviderEntry.__struct_fields__) if block is schema.LlmBlock else set()
    rows = [
        _row(field, meanings[field.name], of_entry=block is schema.ProviderEntry)
        for field in kind.fields
        if field.name not in inherited or field.name == "provider"
    ]
    if inherited:
        rows.append("| … | | | every key of a [provider entry](#provider-entry) |")
    table = "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows])
    return f"\n## {title}\n\n{inspect.cleandoc(block.__doc__ or '')}\n\n{table}\n"


def _row(field: kinds.Field, meaning: str, *, of_entry: bool) -> str:
    notes = [meaning]
    only = settings.APPLIES_TO.get(field.name) if of_entry else None
    if only:
        notes.append(f"Only {', '.join(f'`{kind}`' for kind in sorted(only))}.")
    if of_entry and field.name in schema.SHARED_KEYS:
        notes.append("*Shared.*")
    text = " ".join(notes).replace("|", "\\|")
    return f"| `{field.encode_name}` | {_value(field.type)} | {_default(field)} | {text} |"


def _default(field: kinds.Field) -> str:
    if field.required:
        return "**required**"
    value: Json = field.default if field.default is not NODEFAULT else field.default_factory()
    if value is None or value in ((), {}) or isinstance(value, Struct):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else ""


def _value(kind: kinds.Type) -> str:
    match kind:
        case kinds.UnionType():
            options = [option for option in kind.types if not isinstance(option, kinds.NoneType)]
            return " or ".join(_value(option) for option in options)
        case kinds.StructType():
            title = BLOCKS[kind.cls]
            return f"[{title}](#{title.lower().replace(' ', '-').replace('.', '')})"
        case kinds.LiteralType():
            return ", ".join(f"`{choice}`" for choice in kind.values)
        case kinds.VarTupleType() | kinds.ListType():
            return f"list of: {_value(kind.item_type)}"
        case kinds.DictType():
            return f"mapping to: {_value(kind.value_type)}"
        case kinds.IntType() | kinds.FloatType():
            return _number(kind)
    return {kinds.StrType: "text", kinds.BoolType: "`true`, `false`"}.get(type(kind), "anything")


def _number(kind: kinds.IntType | kinds.FloatType) -> str:
    name = "whole number" if isinstance(kind, kinds.IntType) else "number"
    low = f"from {kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}" if kind.gt is not None else ""
    high = f"to {kind.le:g}" if kind.le is not None else ""
    return " ".join(part for part in (name, low, high) if part)
