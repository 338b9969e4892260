"""What a message takes, whatever is in it: documents, sound and reasoning are never free, and what nobody knows is said."""

import zlib
from base64 import b64encode

import pytest

from caxton_llm.context.costs import Costs
from caxton_llm.types import AudioInput, ContentPart, FileInput, Json, Message
from made_up_material import costs_of, view

PAGE = b"<< /Type /Page /Parent 2 0 R >>\n"


def costs(kind: str = "openai") -> Costs:
    return costs_of(view(kind, 8_000))


def with_file(data: bytes, kind: str = "application/pdf") -> Message:
    file = FileInput(file_data=f"data:{kind};base64,{b64encode(data).decode()}", filename="a")
    return Message(role="user", content=[ContentPart(type="file", file=file)])


def packed(count: int) -> bytes:
    content = zlib.compress(PAGE * count)
    return b"%PDF-1.7\n1 0 obj\n<< /Type /ObjStm /N 3 /First 12 >>\nstream\n" + content + b"\nendstream"


def test_a_document_takes_what_its_pages_take() -> None:
    two, three = costs().message(with_file(b"%PDF-1.4\n" + PAGE * 2)), costs().message(with_file(packed(3)))
    assert two >= 2 * 3_000
    assert 1.4 < three / two < 1.6


def test_a_document_whose_pages_nobody_finds_takes_a_third_of_its_bytes() -> None:
    assert costs().message(with_file(b"\0" * 30_000)) >= 10_000


def test_a_document_that_is_a_text_is_counted_as_one() -> None:
    text = "Ann ordered nine chairs for Lisbon. " * 40
    assert costs().message(with_file(text.encode(), "text/plain")) == costs().message(
        Message(role="user", content=text)
    )


def test_sound_takes_more_the_longer_it_is() -> None:
    short, long = (
        costs().message(
            Message(
                role="user",
                content=[ContentPart(type="input_audio", input_audio=AudioInput(data="A" * size, format="mp3"))],
            )
        )
        for size in (4_000, 400_000)
    )
    assert long > 10 * short


@pytest.mark.parametrize(("kind", "replayed"), [("anthropic", True), ("openai", False), ("vllm", False)])
def test_thinking_takes_what_its_text_takes_where_it_is_sent_again(kind: str, *, replayed: bool) -> None:
    blocks: list[Json] = [{"type": "thinking", "thinking": "Ann ordered chairs. " * 50, "signature": "c2lnbmVk" * 20}]
    thought = Message(role="assistant", content="Nine.", thinking_blocks=blocks)
    more = costs(kind).message(thought) - costs(kind).message(Message(role="assistant", content="Nine."))
    assert (more > 200) == replayed


def test_reasoning_takes_what_its_text_takes_where_it_is_sent_again() -> None:
    thought = Message(role="assistant", content="Nine.", reasoning_content="Ann ordered chairs. " * 50)
    bare = Message(role="assistant", content="Nine.")
    assert costs("vllm").message(thought) > costs("vllm").message(bare) + 200
    assert costs("openai").message(thought) == costs("openai").message(bare)


def test_what_nobody_can_count_is_named() -> None:
    message = Message(
        role="user",
        content=[
            ContentPart(type="text", text="look"),
            ContentPart(type="file", file=FileInput(file_id="file-1")),
            ContentPart(type="video"),
        ],
    )
    assert costs().uncounted((message,)) == {"file", "video"}
    assert costs().uncounted((with_file(packed(1)),)) == set()


def test_a_plain_message_takes_what_one_of_parts_takes() -> None:
    text = "Ann ordered nine chairs for Lisbon."
    parts = Message(role="user", content=[ContentPart(type="text", text=text)])
    assert costs().message(Message(role="user", content=text)) == costs().message(parts)
