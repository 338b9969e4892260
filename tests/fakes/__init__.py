"""Fake providers: real HTTP servers on loopback that answer, and refuse, as the vendors do.

`async with FakeOpenAI() as server:` starts one; `server.base_url` and `server.api_key` are for the client, `server.reply`,
`server.fail` and `server.reply_raw` script it, `server.requests` has what it got. The vendors' own packages prove them in
`tests/fakes_proof`.
"""

from fakes.anthropic import FakeAnthropic
from fakes.anthropic_checks import ClaudeModel
from fakes.azure import FakeAzure
from fakes.custom import FakeCustom
from fakes.embeddings import FakeEmbeddings
from fakes.media import TINY_PNG
from fakes.ollama import FakeOllama
from fakes.ollama_checks import OllamaModel
from fakes.openai import FakeOpenAI
from fakes.openai_checks import ChatModel
from fakes.script import Reasoning, Redacted, Refused, Reply, Text, ToolCall, Usage
from fakes.vllm import FakeVllm

__all__ = [
    "ChatModel",
    "ClaudeModel",
    "FakeAnthropic",
    "FakeAzure",
    "FakeCustom",
    "FakeEmbeddings",
    "FakeOllama",
    "FakeOpenAI",
    "FakeVllm",
    "OllamaModel",
    "Reasoning",
    "Redacted",
    "Refused",
    "Reply",
    "TINY_PNG",
    "Text",
    "ToolCall",
    "Usage",
]
