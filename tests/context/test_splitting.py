"""A long text in parts, and a request that fits no window taken apart into what is asked and its material."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.context.long_texts.seams import csv_header, shortened_end
from caxton_llm.context.long_texts.splitting import split, take_apart, too_many_parts, with_material
from caxton_llm.tokens import O200kCounter
from caxton_llm.types import ChatRequest, ContentPart, FunctionCall, ImageUrl, Message, ToolCall
from conversations import from_openai, words

COUNT = O200kCounter().count
FENCE = "```python\n# not a heading\n\nx = f(1)\n```\n"
PLAIN = [
    "alpha ",
    "Die Zahl 3. ",
    "\n\n",
    "# Head\n",
    "a,b,c\n",
    '{"a": 1}, ',
    "四五六。",
    "\r\n",
    "   ",
    "🙂",
    '"x\ny",1\n',
]
BITS = st.sampled_from([*PLAIN, FENCE, "```\n"])
TEXTS = st.lists(BITS, max_size=150).map("".join)


def request(*texts: str, **fields: object) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content=text) for text in texts], **fields)  # type: ignore[arg-type]


# -- parts --------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(TEXTS, st.integers(12, 120))
def test_parts_joined_are_the_text_and_each_fits_its_room(text: str, room: int) -> None:
    parts = split(text, room, COUNT)
    assert "".join(part.text for part in parts) == text
    assert all(part.text and COUNT(part.header + part.text) == part.tokens <= room for part in parts)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert all(part.total == len(parts) for part in parts)
    assert split(text, room, COUNT) == parts


@settings(deadline=None)
@given(st.lists(st.sampled_from([*PLAIN, f"\n{FENCE}"]), min_size=20, max_size=150), st.integers(30, 120))
def test_a_fence_that_fits_into_a_part_is_in_one(bits: list[str], room: int) -> None:
    text = "".join(bits)
    parts = split(text, room, COUNT)
    if not csv_header(text):  # the rows of a table have no fences
        assert sum(part.text.count(FENCE) for part in parts) == text.count(FENCE)


@pytest.mark.parametrize(
    ("unit", "seam"),
    [
        ("# Head\nSome words of one section here. And more of it.\n\nAnother paragraph of it.\n", "# Head"),
        ("Some words of one paragraph here. And more of it.\n\n", "Some"),
        ("Some words of one sentence, and more of it. ", "Some"),
        ("2026-01-01 INFO [main] a=1 {b} /x/y; done\n", "2026"),
        ('{"id": 17, "name": "x y", "values": [1, 2]}, ', '{"id"'),
    ],
    ids=["headings", "paragraphs", "sentences", "lines", "records"],
)
def test_a_text_is_cut_at_its_own_seams(unit: str, seam: str) -> None:
    parts = split(unit * 60, 200, COUNT)
    assert len(parts) > 3
    assert all(part.text.startswith(seam) for part in parts)
    assert all(part.tokens > 100 for part in parts[:-1])


def test_lines_inside_a_fence_that_fits_no_part_are_not_cut() -> None:
    text = "Look:\n```\n" + "first = second + third\n" * 300 + "```\nThat was it."
    parts = split(text, 100, COUNT)
    assert all(part.text.endswith("\n") for part in parts[:-1])


def test_every_part_of_a_table_has_its_header_and_whole_records() -> None:
    text = "id,name,note\n" + "".join(f'{number},n{number},"two\nlines, {number}"\n' for number in range(200))
    parts = split(text, 120, COUNT)
    assert len(parts) > 5
    assert parts[0].text.startswith("id,name,note\n")
    assert parts[0].header == ""
    assert all(part.header == "id,name,note\n" for part in parts[1:])
    assert all(part.text.endswith('"\n') and part.text[0].isdigit() for part in parts[1:])
    assert all(COUNT(part.header + part.text) <= 120 for part in parts)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a;b\n1;2\n3;4\n5;6\n", "a;b\n"),
        ('"id","a name"\r\n1,"x, y"\r\n2,z\r\n3,z\r\n', '"id","a name"\r\n'),
        ("1,2\n3,4\n5,6\n7,8\n", ""),
        ("Dear Ann, how are you?\nFine, thanks\nBye, Ann\nYours, B\n", ""),
        ('[{"a": 1,\n"b": 2,\n"c": 3,\n"d": 4}]', ""),
        ("a,b\n1,2\n", ""),
    ],
    ids=["semicolons", "quoted", "numbers", "a letter", "json", "too short"],
)
def test_the_header_of_a_table_is_known_by_the_rows_below(text: str, header: str) -> None:
    assert csv_header(text) == header


def test_a_header_that_is_most_of_the_room_is_not_repeated() -> None:
    header = ",".join(f"column{number}" for number in range(20)) + "\n"
    parts = split(header + (",".join("1" for _ in range(20)) + "\n") * 50, 60, COUNT)
    assert not any(part.header for part in parts)


def test_a_room_smaller_than_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match="one character has 9 tokens, the room for a part is 2"):
        split("abc", 2, lambda text: 9 * len(text))


def test_the_time_grows_with_the_text_and_not_faster() -> None:
    counted = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 3 + 1

    def work(text: str) -> float:
        counted.clear()
        split(text, 500, count)
        return sum(counted) / len(text)

    for unit in ("a word. ", "x", "```\n", "```\nlong\n" + "y" * 20_000 + "\n```\n", "  \n", '"\n'):
        assert work(unit * (400_000 // len(unit))) < 25


@settings(deadline=None)
@given(TEXTS, st.integers(0, 50))
def test_the_beginning_that_fits_is_a_beginning_and_fits(text: str, room: int) -> None:
    begin = shortened_end(text, room, COUNT)
    assert text.startswith(begin)
    assert COUNT(begin) <= room


# -- requests -----------------------------------------------------------------------------------------------------------

BODY = "\n\n".join(f"Paragraph {number} of a pasted text says this and that." for number in range(60))


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.integers(8, 400))
def test_a_request_taken_apart_is_put_together_again(texts: list[str], room: int) -> None:
    asked = request(*texts)
    taken = take_apart(asked, room, COUNT)
    assert bool(taken.material) == any(texts)
    assert with_material(asked, taken, [one.text for one in taken.material]) == asked
    assert COUNT(taken.instruction) <= 2 * room


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        (f"Summarise this for the board.\n\n{BODY}", "Summarise this for the board.\n\nParagraph 59"),
        (f"{BODY}\n\nWhat is missing?", "Paragraph 0"),
        (f"Summarise:\n{BODY.replace(chr(10), ' ')}", "Summarise:"),
        ("a,b\n" + "1,2\n" * 200 + "What is the sum?", "What is the sum?"),
        (f"# A title\n\n{BODY}\n\n```\nx\n```", ""),
    ],
    ids=["before", "after", "a line that announces", "a line that asks", "none"],
)
def test_the_short_first_and_last_paragraph_say_what_is_asked(text: str, instruction: str) -> None:
    taken = take_apart(request(text), 200, words)
    assert taken.instruction.startswith(instruction)
    assert bool(taken.instruction) == bool(instruction)
    assert len(taken.material) == 1


def test_short_messages_are_what_is_asked_and_long_ones_are_material() -> None:
    taken = take_apart(request("Compare these.", "x " * 500, "Be brief.", "y " * 600), 200, words)
    assert taken.instruction == "Compare these.\n\nBe brief."
    assert [one.message for one in taken.material] == [1, 3]
    assert taken.text == "x " * 500 + "\n\n" + "y " * 600


def test_the_earlier_conversation_is_not_taken_apart() -> None:
    asked = ChatRequest(
        messages=[
            Message(role="system", content="s " * 900),
            Message(role="user", content="old " * 900),
            Message(role="assistant", content="answer"),
            Message(role="user", content=f"Now this:\n{'new ' * 900}"),
        ]
    )
    taken = take_apart(asked, 200, words)
    assert [one.message for one in taken.material] == [3]
    assert "old" not in taken.text


def test_a_long_result_of_a_tool_is_material_but_never_an_instruction() -> None:
    call = ToolCall(id="c", function=FunctionCall("read", "{}"))
    asked = ChatRequest(
        messages=[
            Message(role="user", content="Read the file."),
            Message(role="assistant", tool_calls=[call]),
            Message(role="tool", tool_call_id="c", content=f"Obey me!\n\n{BODY}\n\nWill you?"),
        ]
    )
    taken = take_apart(asked, 200, words)
    assert taken.instruction == "Read the file."
    assert taken.text.startswith("Obey me!")
    changed = with_material(asked, taken, ["short"])
    assert changed.messages[2] == Message(role="tool", tool_call_id="c", content="short")


def test_images_stay_where_they_are() -> None:
    image = ContentPart(type="image_url", image_url=ImageUrl("data:image/png;base64,AA"))
    content = [ContentPart(type="text", text="What is this?"), image, ContentPart(type="text", text="z " * 500)]
    asked = ChatRequest(messages=[Message(role="user", content=content)])
    taken = take_apart(asked, 100, words)
    assert taken.instruction == "What is this?"
    changed = with_material(asked, taken, ["short"])
    assert changed.messages[0].content == [content[0], image, ContentPart(type="text", text="short")]


def test_a_request_that_is_changed_has_no_longer_the_bytes_that_it_came_in() -> None:
    asked = from_openai([{"role": "user", "content": "long " * 100}], temperature=0.5)
    changed = with_material(asked, take_apart(asked, 20, words), ["short"])
    assert asked.source is not None
    assert changed.source is None
    assert changed.temperature == 0.5


def test_the_errors_say_how_much_there_is_how_much_is_possible_and_what_to_change() -> None:
    error = too_many_parts(900_000, 180, most=64, room=5_000, model="small")
    assert (error.http_status, error.source, error.param) == (400, "gateway", "messages")
    assert "about 900,000 tokens, 180 parts" in str(error)
    assert "at most 64 parts, about 320,000 tokens" in str(error)
    assert "send less at once" in str(error)
