"""Short texts are worked on once, long ones each time."""

from caxton_llm.caching.short_texts import kept_of_short


def test_of_short_texts_what_was_made_is_given_again_and_long_ones_fill_no_memory() -> None:
    made: list[str] = []

    @kept_of_short(2, longest=5)
    def same(text: str) -> str:
        made.append(text)
        return text

    assert [same("ab"), same("ab"), same("abcdef"), same("abcdef")] == ["ab"] * 2 + ["abcdef"] * 2
    assert made == ["ab", "abcdef", "abcdef"]
    same("cd")
    same("ef")
    same("ab")
    assert made.count("ab") == 2
