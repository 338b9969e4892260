"""`model_version` pins what may answer, in whatever form the answer comes."""

import json

import pytest

from caxton_llm import Caxton
from caxton_llm.errors import ProviderFailure
from caxton_llm.types import ChatRequest, Message
from fakes import FakeOpenAI
from fakes.script import Text

OTHER = "gpt-4o-2024-11-20"
REQUEST = ChatRequest(messages=[Message(role="user", content="Hi")])


def arrange(fake: FakeOpenAI, form: str) -> None:
    if form == "one body":
        message = {"role": "assistant", "content": "Hello"}
        answer = {"id": "1", "model": OTHER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        fake.reply_raw(json.dumps(answer).encode(), content_type="application/json")
    else:
        fake.reply(None, Text("Hello"), model=OTHER)


@pytest.mark.parametrize("form", ["whole", "stream", "one body"])
@pytest.mark.parametrize("upgrades", [False, True])
async def test_another_version_is_refused_or_warned_of(form: str, upgrades: bool) -> None:
    async with FakeOpenAI() as fake:
        arrange(fake, form)
        entry = {
            "provider": "openai",
            "base_url": fake.base_url,
            "api_key": fake.api_key,
            "model": "gpt-4o",
            "model_version": "gpt-4o-2024-08-06",
            "auto_upgrade": upgrades,
            "retry_policy": {"max_attempts": 1},
        }
        async with Caxton.from_dict({"llm": entry}, environ={}) as caxton:
            if upgrades:
                assert OTHER in (await warnings_of(caxton, form))[0]
                return
            with pytest.raises(ProviderFailure, match="auto_upgrade is false"):
                await warnings_of(caxton, form)


async def warnings_of(caxton: Caxton, form: str) -> list[str]:
    if form == "whole":
        return (await caxton.complete_chat(REQUEST)).warnings
    stream = caxton.stream_chat(REQUEST)
    assert "".join([chunk.text async for chunk in stream]) == "Hello"
    return stream.warnings
