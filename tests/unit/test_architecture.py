"""Rules about the code itself that no linter knows."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import caxton_llm
from caxton_llm import errors

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src/caxton_llm").rglob("*.py"))
ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.LlmError)]


def test_public_names_are_sorted_and_exist() -> None:
    names = [name for name in caxton_llm.__all__ if name != "__version__"]
    assert names == sorted(names)
    assert all(hasattr(caxton_llm, name) for name in caxton_llm.__all__)


def test_every_error_is_public_and_has_a_kind_of_its_own_and_a_status() -> None:
    kinds = [kind.kind for kind in ERRORS]
    assert len(set(kinds)) == len(kinds)
    assert all(400 <= kind.http_status <= 599 for kind in ERRORS)
    assert {kind.__name__ for kind in ERRORS} <= set(caxton_llm.__all__)


def test_the_tree_drawn_in_the_module_of_errors_is_the_tree() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("|", " ").replace("--", " ").replace("`", " ").split()
        if len(words) >= 3 and words[1].isdigit():
            drawn[words[0]] = (int(words[1]), words[2])
    real = {kind.__name__: (kind.http_status, kind.kind) for kind in ERRORS if kind is not errors.LlmError}
    assert drawn == real


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_file_is_at_most_500_lines_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "the module has no docstring"


def test_importing_the_package_loads_neither_a_server_nor_a_second_http_client() -> None:
    heavy = (
        "aiohttp",
        "uvicorn",
        "starlette",
        "typer",
        "rich",
        "yaml",
        "pydantic",
        "genai_prices",
        "tiktoken",
        "numpy",
        "prometheus_client",
        "caxton_llm.alerts.sinks",
        "caxton_llm.context.source",
        "tantivy",
        "usearch",
        "numkong",
        "sqlite3",
    )
    code = f"import sys, caxton_llm; print([name for name in {heavy!r} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert printed.strip() == "[]"
