"""Short texts are worked on once, long ones each time."""

from caxton_llm.caching.texts import kept_of_text


def test_of_short_texts_what_was_made_is_given_again_and_long_ones_fill_no_memory() -> None:
    made: list[str] = []

    @kept_of_text(2, longest=5)
    def same(text: str) -> str:
        made.append(text)
        return text

    assert [same("ab"), same("ab"), same("abcdef"), same("abcdef")] == ["ab"] * 2 + ["abcdef"] * 2
    assert made == ["ab", "abcdef", "abcdef"]
    same("cd")
    same("ef")
    same("ab")
    assert made.count("ab") == 2


def test_of_long_texts_as_much_is_kept_as_bytes_permit() -> None:
    made: list[str] = []

    @kept_of_text(2, longest=5, long_bytes=1_500, weight=lambda text: 100 * len(text))
    def upper(text: str) -> str:
        made.append(text)
        return text.upper()

    for text in ("abcdef", "\ud800bcdef", "abcdef", "\ud800bcdef"):
        assert upper(text) == text.upper()
    assert made == ["abcdef", "\ud800bcdef"] * 2  # of two only one has room
    assert upper("\ud800bcdef") == "\ud800BCDEF"
    assert len(made) == 4
    assert upper("a" * 50) == "A" * 50  # too heavy to be kept
    upper("a" * 50)
    assert made.count("a" * 50) == 2
