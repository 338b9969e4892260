"""Names of tools on the wire: reversible, collision-free, and stable."""

from hypothesis import given, settings
from hypothesis import strategies as st

from caxton_llm.wire.tool_names import wire_tool_names


def test_names_that_every_provider_accepts_stay() -> None:
    assert wire_tool_names(["get_weather", "a-b", "_", "x" * 64]) == {}


def test_a_foreign_name_becomes_a_readable_one_whatever_else_there_is() -> None:
    alone = wire_tool_names(["files/read"])
    among = wire_tool_names(["files.read", "get_weather", "files/read", "files_read"])
    assert alone["files/read"] == among["files/read"]
    assert alone["files/read"].startswith("files_read_")


def test_names_are_taken_from_any_iterable() -> None:
    assert set(wire_tool_names(name for name in ("a b", "ok"))) == {"a b"}


@given(names=st.lists(st.text(max_size=80), max_size=12), limit=st.sampled_from([24, 64, 128]))
@settings(max_examples=150, deadline=None)
def test_renaming_is_reversible_and_fits_the_alphabet(names: list[str], limit: int) -> None:
    renamed = wire_tool_names(names, limit=limit)
    wire = {name: renamed.get(name, name) for name in names}
    assert len(set(wire.values())) == len(wire)
    for name in wire.values():
        assert 0 < len(name) <= limit
        assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in name)
    assert wire_tool_names(reversed(names), limit=limit) == renamed
