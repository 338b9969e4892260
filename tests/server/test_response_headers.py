"""What became of the parameters, as a header says it."""

from caxton_llm.server.headers import format_parameters
from caxton_llm.types import ParameterReport


def test_what_was_mapped_and_dropped_is_listed_in_that_order() -> None:
    report = ParameterReport(mapped={"max_tokens": "max_completion_tokens"}, dropped={"seed": "why", "user": "why"})
    assert format_parameters(report) == "mapped=max_tokens:max_completion_tokens; dropped=seed,user"


def test_nothing_is_said_of_a_request_that_went_as_it_came() -> None:
    assert format_parameters(ParameterReport()) == ""


def test_a_long_list_tells_how_many_more_there_are_and_never_hides_the_other_list() -> None:
    mapped = {f"parameter_{number}": f"another_{number}" for number in range(100)}
    dropped = {f"field_{number}": "why" for number in range(100)}
    said = format_parameters(ParameterReport(mapped=mapped, dropped=dropped))
    assert len(said) < 1100
    for name, items in (("mapped", [f"{key}:{value}" for key, value in mapped.items()]), ("dropped", list(dropped))):
        listed = (
            next(part for part in said.split("; ") if part.startswith(f"{name}=")).removeprefix(f"{name}=").split(",")
        )
        assert listed[-1] == f"...+{100 - len(listed) + 1}"
        assert listed[:-1] == items[: len(listed) - 1]


def test_a_value_cannot_break_out_of_its_place() -> None:
    report = ParameterReport(mapped={"a\r\nx-evil: 1": "b,c;d=e"}, dropped={"ü": "why"})
    assert format_parameters(report) == "mapped=a  x-evil: 1:b c d e; dropped= "
