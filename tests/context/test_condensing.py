"""The long material of a request made shorter: what says most stands word for word, and every gap is marked."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.context.long_texts.condensing import condense, condensed
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.tokens import O200kCounter, message_tokens
from caxton_llm.types import ChatRequest, Message

COUNT = O200kCounter().count
EMBEDDER = StaticEmbedder.default()
MARK = re.compile(r"\n?\[\.\.\. ([\d,]+) (?:word|character)s? left out \.\.\.\]\n?")
SENTENCES = st.sampled_from(
    [
        "Revenue grew by 12 percent in the third quarter. ",
        "Ann Miller leads the office in Oslo.\n",
        "It rained a lot.\n\n",
        "What do we do next? ",
        "x = f(1)\n",
        "会議は月曜日に東京で開かれます。",
    ]
)
TEXTS = st.lists(SENTENCES, min_size=1, max_size=150).map("".join)
FILLER = "The weather was neither good nor bad on that day, as on most days. " * 5
LONG = "".join(f"{FILLER}\n\n" for _ in range(60))


@settings(deadline=None)
@given(TEXTS, st.integers(0, 400))
def test_what_is_shortened_fits_its_room_and_is_made_of_the_text_and_marks(text: str, room: int) -> None:
    shorter = condense(text, room, COUNT, EMBEDDER)
    assert COUNT(shorter) <= room
    assert condense(text, room, COUNT, EMBEDDER) == shorter
    place = 0
    for piece in MARK.sub("\0", shorter).split("\0"):
        found = text.find(piece.strip(), place)
        assert found >= 0
        place = found + len(piece.strip())
    if COUNT(text) <= room:
        assert shorter == text
    elif shorter:
        assert MARK.search(shorter)


def test_every_word_stands_or_is_counted_as_left_out() -> None:
    text = f"Report of the office.\n\n{LONG}\n\nSigned by Ann."
    shorter = condense(text, 300, COUNT, EMBEDDER)
    left_out = sum(int(number.replace(",", "")) for number in MARK.findall(shorter))
    assert len(MARK.sub(" ", shorter).split()) + left_out == len(text.split())
    assert left_out > 3_000


def test_beginning_and_end_stand_and_so_does_what_has_numbers_and_names() -> None:
    fact = "Ann Miller of the Oslo office counted 4711 storms on 3 March 2025, said the weather service of Norway."
    text = f"Report of the office on the weather.\n\n{LONG}{fact}\n\n{LONG}Signed by the head of the office."
    shorter = condense(text, 400, COUNT, EMBEDDER)
    assert shorter.startswith("Report of the office")
    assert shorter.endswith("Signed by the head of the office.")
    assert "4711" in shorter


def test_a_table_keeps_its_header() -> None:
    text = "id,city,amount\n" + "".join(f"{number},Oslo,{number * 7}\n" for number in range(3000))
    shorter = condense(text, 300, COUNT, EMBEDDER)
    assert shorter.startswith("id,city,amount\n")
    assert "left out" in shorter


def test_a_script_without_spaces_is_counted_in_characters() -> None:
    shorter = condense("会議は月曜日に東京で開かれます。次の報告は火曜日です。\n" * 200, 300, COUNT, EMBEDDER)
    assert re.search(r"\[\.\.\. [\d,]{4,} characters left out \.\.\.\]", shorter)


def test_a_very_long_text_is_compared_in_pieces_of_a_bounded_number() -> None:
    class Counting:
        name, dimensions, texts = EMBEDDER.name, EMBEDDER.dimensions, 0

        def embed(self, texts: list[str]) -> object:
            self.texts += len(texts)
            return EMBEDDER.embed(texts)

    embedder = Counting()
    condense(LONG * 200, 1000, lambda text: len(text) // 4, embedder)  # type: ignore[arg-type]
    assert 2_000 < embedder.texts < 10_000


# -- requests -----------------------------------------------------------------------------------------------------------


def tokens(request: ChatRequest) -> int:
    return sum(message_tokens(message, COUNT) for message in request.messages if message.role == "user")


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 600))
def test_a_shortened_request_fits_its_room_and_keeps_its_messages(texts: list[str], room: int) -> None:
    request = ChatRequest(messages=[Message(role="user", content=text) for text in texts])
    found = condensed(request, room, COUNT, EMBEDDER)
    if found is None:
        assert tokens(request) > room
        return
    assert tokens(found.request) <= room
    assert len(found.request.messages) == len(texts)
    assert all(message.content for message in found.request.messages)
    assert (found.request is request) == (tokens(request) <= room)
    assert bool(found.notes) == (found.request is not request)


def test_what_is_asked_stays_and_only_the_material_is_shortened() -> None:
    request = ChatRequest(
        messages=[
            Message(role="system", content="You write for the board."),
            Message(role="user", content="Hello"),
            Message(role="assistant", content="Hello."),
            Message(role="user", content=f"Summarise this in one line.\n\n{LONG}\n\nWhat about Oslo?"),
        ]
    )
    found = condensed(request, 500, COUNT, EMBEDDER)
    assert found is not None
    assert found.request.messages[:3] == request.messages[:3]
    text = str(found.request.messages[3].content)
    assert text.startswith("Summarise this in one line.\n\n")
    assert text.endswith("What about Oslo?")
    assert "words left out" in text
    assert re.fullmatch(r"the long text .*, from [\d,]+ characters to [\d,]+: it says where .*", found.notes[0])


def test_a_room_for_nothing_shortens_nothing() -> None:
    assert condensed(ChatRequest(messages=[Message(role="user", content=LONG)]), 20, COUNT, EMBEDDER) is None
    assert condensed(ChatRequest(messages=[Message(role="system", content=LONG)]), 0, COUNT, EMBEDDER) is not None
