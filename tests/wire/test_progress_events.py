"""What is done before an answer goes on, as events that naive clients read over."""

import json

from caxton_llm.types import ChatChunk, ChatRequest, ChunkChoice, Delta, StreamOptions
from caxton_llm.wire.anthropic_messages.client.stream import AnthropicStreamEncoder
from caxton_llm.wire.openai_chat.client.encoder import OpenAIStreamEncoder

PROGRESS = ChatChunk(id="a", model="m", created=7, progress={"tool": "t", "state": "started"})
PING = b'event: ping\ndata: {"type":"ping","caxton":{"progress":{"tool":"t","state":"started"}}}\n\n'
TEXT = ChatChunk(id="b", model="n", created=8, choices=[ChunkChoice(index=0, delta=Delta(content="hi"))])


def openai_events(*chunks: ChatChunk, verbatim: bool = False, usage: bool = False) -> list[dict[str, object]]:
    options = StreamOptions(include_usage=True) if usage else None
    encoder = OpenAIStreamEncoder(ChatRequest(messages=[], stream_options=options), verbatim=verbatim, model="asked")
    body = encoder.encode(list(chunks))
    return [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\n\n") if event]


def test_an_openai_client_gets_a_whole_chunk_with_an_empty_delta() -> None:
    assert openai_events(PROGRESS) == [
        {
            "id": "a",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": None}],
            "caxton": {"progress": {"tool": "t", "state": "started"}},
        }
    ]


def test_with_usage_asked_for_the_chunk_has_none_as_any_other() -> None:
    (event,) = openai_events(PROGRESS, usage=True)
    assert event["usage"] is None


def test_the_role_still_comes_with_the_first_text_after_progress() -> None:
    _, text = openai_events(PROGRESS, TEXT)
    choices = text["choices"]
    assert isinstance(choices, list)
    assert choices[0]["delta"] == {"role": "assistant", "content": "hi"}
    assert text["id"] == "a"


def test_beside_forwarded_chunks_an_openai_client_gets_progress_too() -> None:
    forwarded, progress = openai_events(ChatChunk(wire=b'{"x":1}'), PROGRESS, verbatim=True)
    assert forwarded == {"x": 1}
    assert progress["caxton"] == {"progress": {"tool": "t", "state": "started"}}


def test_an_anthropic_client_gets_a_ping_after_the_message_has_begun() -> None:
    body = AnthropicStreamEncoder(verbatim=False, model="asked").encode([PROGRESS, TEXT])
    begins, ping, *_ = body.split(b"\n\n")
    assert begins.startswith(b"event: message_start\n")
    assert ping + b"\n\n" == PING
    assert body.count(b"event: message_start") == 1


def test_beside_forwarded_events_an_anthropic_client_gets_a_ping_too() -> None:
    begun = ChatChunk(event="message_start", wire=b'{"type":"message_start"}')
    body = AnthropicStreamEncoder(verbatim=True, model="asked").encode([begun, PROGRESS])
    assert body == b'event: message_start\ndata: {"type":"message_start"}\n\n' + PING
