"""The file in which learned factors outlive a process."""

import logging
from pathlib import Path

import pytest

from caxton_llm.stores.token_factors import TokenFactorFile
from caxton_llm.tokens import Factors, TokenCalibration

ONE = Factors(prose=1.4, code=1.2, deviation=0.02)
OTHER = Factors(prose=0.9, deviation=0.01)


def test_factors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    file = TokenFactorFile(tmp_path / "state" / "factors.json")
    assert file.read() == {}
    file.save({"a": ONE})
    assert TokenFactorFile(file.path).read() == {"a": ONE}
    assert [path.name for path in file.path.parent.iterdir()] == ["factors.json"]


def test_processes_that_share_a_file_keep_each_others_models(tmp_path: Path) -> None:
    path = tmp_path / "factors.json"
    first, second = TokenCalibration(TokenFactorFile(path).read()), TokenCalibration(TokenFactorFile(path).read())
    first.learn("a", "anthropic", {"prose": 1_000}, 1_500)
    second.learn("b", "anthropic", {"prose": 1_000}, 1_200)
    TokenFactorFile(path).save(first.snapshot())
    TokenFactorFile(path).save(second.snapshot())
    assert TokenFactorFile(path).read() == first.snapshot() | second.snapshot()


def test_of_a_model_that_two_have_learned_the_last_to_write_counts(tmp_path: Path) -> None:
    file = TokenFactorFile(tmp_path / "factors.json")
    file.save({"a": ONE, "b": ONE})
    file.save({"a": OTHER})
    assert file.read() == {"a": OTHER, "b": ONE}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "damaged"),
        (b'{"version":1,"models":{"a":{"prose":1.4', "damaged"),
        (b'{"version":1,"models":{"a":{"prose":"1"}}}', "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"version":2,"models":{}}', "version 2"),
        (b'{"version":1,"models":{"a":{"prose":-1}}}', "impossible"),
        (b'{"version":1,"models":{"a":{"code":1e300}}}', "impossible"),
        (b'{"version":1,"models":{"a":{"deviation":-0.5}}}', "impossible"),
    ],
)
def test_a_file_that_cannot_be_used_is_begun_anew_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes, why: str
) -> None:
    path = tmp_path / "factors.json"
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, logger="caxton_llm.tokens"):
        assert TokenFactorFile(path).read() == {}
    assert why in caplog.text
    assert str(path) in caplog.text
    TokenFactorFile(path).save({"a": ONE})
    assert TokenFactorFile(path).read() == {"a": ONE}


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("x")
    with pytest.raises(OSError, match="a-file"):
        TokenFactorFile(blocked / "factors.json").save({"a": ONE})
    assert blocked.read_text() == "x"


def test_nothing_learned_writes_nothing(tmp_path: Path) -> None:
    TokenFactorFile(tmp_path / "factors.json").save({})
    assert list(tmp_path.iterdir()) == []
