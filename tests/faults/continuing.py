"""Servers that go on with an assistant message at the end of the conversation, as vLLM and Ollama do.

Asked for anything else they give the whole `TEXT`, so an answer that was not continued but begun anew is too long.
"""

from fakes import FakeOllama, FakeVllm
from fakes.http_server import Json, Received, Response
from faults.laboratory import TEXT

__all__ = ["ContinuingOllama", "ContinuingVllm"]


class ContinuingVllm(FakeVllm):
    """Continues when `continue_final_message` is true and `add_generation_prompt` false, which vLLM demands together."""

    def respond(self, request: Received) -> Response:
        if request.segments[-1] == "completions":
            body = request.json
            continues = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
            self.reply(_rest(body) if continues else TEXT)
        return super().respond(request)


class ContinuingOllama(FakeOllama):
    """Continues whatever the last message of an assistant began."""

    def respond(self, request: Received) -> Response:
        if request.segments == ["api", "chat"]:
            self.reply(_rest(request.json))
        return super().respond(request)


def _rest(body: Json) -> str:
    last = body["messages"][-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    return TEXT.removeprefix(begun)
