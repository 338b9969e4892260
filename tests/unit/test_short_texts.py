"""Short texts are worked on once, long ones each time."""

from caxton_llm.short_texts import kept_of_short


def test_of_short_texts_what_was_made_is_given_again_and_long_ones_fill_no_memory() -> None:
    made: list[str] = []

    @kept_of_short(2, longest=5)
    def joined(one: str, other: str) -> str:
        made.append(one + other)
        return one + other

    assert [joined("a", "b"), joined("a", "b"), joined("abc", "def"), joined("abc", "def")] == ["ab"] * 2 + [
        "abcdef"
    ] * 2
    assert made == ["ab", "abcdef", "abcdef"]
    joined("c", "d")
    joined("e", "f")
    joined("a", "b")
    assert made.count("ab") == 2
