"""`caxton check` tells of the budgets that no request would fit into, and of no others."""

from pathlib import Path

import pytest

from caxton_llm import Caxton
from caxton_llm.cli.check_budgets import small_budgets
from caxton_llm.config.load import load_mapping
from caxton_llm.errors import ContextWindowExceeded
from caxton_llm.types import ChatRequest, Json, Message

MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "ollama": "llama3"}


def configured(folder: Path, budget: int, kind: str = "openai") -> dict[str, Json]:
    prompt = "You write reports for the board, and you are brief. " * 8
    return {
        "llm": {"provider": kind, "model": MODELS[kind], "api_key": "key"},
        "agents": [{"name": "Reporter", "system_prompt": prompt, "context": {"budget": budget}}],
        "context": {"conversations": {"data_dir": str(folder / "conversations")}},
    }


@pytest.mark.parametrize("kind", MODELS)
async def test_a_budget_is_told_as_too_small_exactly_where_the_shortest_request_is_refused(
    tmp_path: Path, kind: str
) -> None:
    def is_told(budget: int) -> bool:
        return bool(list(small_budgets(load_mapping(configured(tmp_path, budget, kind), {}))))

    least = next(budget for budget in range(50, 300) if not is_told(budget))
    for budget in (least, least - 1):
        async with Caxton.from_dict(configured(tmp_path, budget, kind), environ={}) as caxton:
            asked = ChatRequest(model="agent:Reporter", messages=[Message(role="user", content="?")])
            if budget == least:
                assert (await caxton.prepare_context(asked)).context_metadata.total_context_tokens == least
                continue
            with pytest.raises(ContextWindowExceeded, match=r"raise the agent's budget \(context.budget\)"):
                await caxton.prepare_context(asked)
