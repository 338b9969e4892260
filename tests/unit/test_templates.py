"""Templates: which braces are variables, and that values are put in once, word for word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton_llm.agents.templates import fill, needed_variables, render, stray_braces, variables_of
from caxton_llm.errors import InvalidRequest

NAMES = st.sampled_from(["a", "b", "user_request", "c.d", "e-f"])
TEXTS = st.text(alphabet="ab{}| \n.", max_size=40)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{a}}", "1"),
        ("{{ a }}{{\ta}}", "11"),
        ("{{a}}{{a}}", "11"),
        ("{{{a}}}", "{1}"),
        ("{{x|else}}", "else"),
        ("{{a|else}}", "1"),
        ("{{x|}}", ""),
        ("{{x| two words }}", " two words "),
        ("{a} {{a b}} {{1a}} {{}} {{a} {{a\n}}", "{a} {{a b}} {{1a}} {{}} {{a} {{a\n}}"),
        ("{{ä}}", "{{ä}}"),
        ("", ""),
    ],
)
def test_a_variable_is_a_name_in_two_braces_and_all_else_is_text(template: str, text: str) -> None:
    assert fill(template, {"a": "1"}).text == text


def test_an_unknown_variable_is_named_with_those_that_are_known_and_no_value_is_shown() -> None:
    with pytest.raises(InvalidRequest) as caught:
        render("{{a}} {{x}} {{y|d}} {{z}}", {"b": "secret", "a": "1"}, where="agent Writer")
    assert caught.value.param == "context.request_parameters.x"
    assert caught.value.message == (
        "the template of agent Writer needs a value for 'x', 'z'; this request has: a, b. "
        "Give it in context.request_parameters, or in metadata"
    )


def test_a_partly_filled_text_says_what_is_missing() -> None:
    filled = fill("PDF {{report_type}} {{b}} {{report_type}}", {"b": "x"})
    assert (filled.text, filled.missing) == ("PDF  x ", ("report_type",))
    assert "PDF" not in repr(filled)


def test_variables_without_a_default_are_needed() -> None:
    assert needed_variables("{{b}} {{a|d}} {{b}} {{ c.d }} {{e|}}") == ("b", "c.d")


@pytest.mark.parametrize(
    ("template", "at"),
    [("{{a}} {b}", None), ("", None), ("{{a}} {{b c}}", 7), ("{{user_request}", 1), ("{{ä}}", 1), ("{{{a}}}", None)],
)
def test_braces_that_hold_no_variable_are_found(template: str, at: int | None) -> None:
    assert stray_braces(template) == at


def test_the_variables_of_a_template_come_once_in_their_order() -> None:
    assert variables_of("{{b}} {{a|d}} {{b}} {{ c.d }}") == ("b", "a", "c.d")


@given(st.lists(st.tuples(TEXTS.filter(lambda text: "{" not in text and "}" not in text), NAMES)), st.data())
def test_values_are_put_in_word_for_word_and_never_read_again(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    values = {name: data.draw(TEXTS | NAMES.map("{{{{{}}}}}".format)) for _, name in parts}
    template = "".join(f"{text}{{{{{name}}}}}" for text, name in parts)
    assert render(template, values, where="x") == "".join(text + values[name] for text, name in parts)


@given(st.text(alphabet="ab{}| \n.", max_size=200))
def test_without_variables_a_text_stays_as_it_is(text: str) -> None:
    if not variables_of(text):
        assert fill(text, {"a": "1"}).text == text


@pytest.mark.parametrize("begin", ["{{", "{{a", "{{ a ", "{{a|", "{{a |b", "{", "{{ ", "{{a.a"])
def test_text_that_almost_is_a_variable_costs_no_more_than_its_length(begin: str) -> None:
    # Quadratic time would need minutes for a text of this length.
    text = begin * 300_000 + " " * 300_000
    assert fill(text, {}).text == text
