"""What a demonstration runs against, and the most that it can cost."""

import msgspec
from msgspec import Struct

from caxton_llm.cli.demo.clients import AnthropicClient, OpenAiClient
from caxton_llm.cli.screen import money
from caxton_llm.model_info import ModelPrice
from caxton_llm.types import Json

__all__ = ["QUESTION", "TOOL_QUESTION", "Plan", "offline_plan"]

QUESTION = "In one sentence: what does a gateway do?"
TOOL_QUESTION = "What is the weather in Lisbon? To find out, use get_weather."

_CHUNK_DELAY_MS = 25
_REQUESTS_PER_CLIENT = 4
_UNSEEN_TOKENS = 1000
"""What a provider may add to a prompt of its own accord: the instructions for tools, mostly."""


class Plan(Struct, frozen=True, kw_only=True):
    """The gateway's configuration, and what is to be said of it."""

    about: str
    configuration: dict[str, Json]
    max_tokens: int
    costs: bool
    price: ModelPrice | None = None
    """`None` where it is not known, or where nothing costs."""

    def cost_bound(self) -> str:
        """A sentence: what the whole demonstration costs at most."""
        if not self.costs:
            return "It runs on your own machine and costs nothing."
        prompt, completion = self._most_tokens()
        limits = f"at most {prompt} prompt tokens and {completion} completion tokens"
        if self.price is None:
            return f"Its price is not known here; it takes {limits}."
        usd = (prompt * self.price.input + completion * self.price.output) / 1_000_000
        return f"It costs at most {money(usd)}: {limits}."

    def _most_tokens(self) -> tuple[int, int]:
        """A token is at least one byte, so the bytes of the requests bound their tokens; an answer is sent back once."""
        prompt = 0
        for client in (OpenAiClient(), AnthropicClient()):
            body = client.question(TOOL_QUESTION, self.max_tokens, tools=True)
            prompt += _REQUESTS_PER_CLIENT * (len(msgspec.json.encode(body)) + _UNSEEN_TOKENS) + self.max_tokens
        return prompt, 2 * _REQUESTS_PER_CLIENT * self.max_tokens


def offline_plan() -> Plan:
    """The `builtin` provider, at a pace that a reader can follow."""
    script = {"steps": [{"chunk_delay_ms": _CHUNK_DELAY_MS}], "repeat": True}
    return Plan(
        about="the `builtin` provider, which needs no key and no network and answers from the request it gets",
        configuration={"llm": {"provider": "builtin", "script": script}},
        max_tokens=100,
        costs=False,
    )
