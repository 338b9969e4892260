"""The tables of the page on routing are those of the code that decides."""

import runpy
from pathlib import Path

from caxton_llm.errors import LlmError
from caxton_llm.routing.policy import RULES

ROOT = Path(__file__).parents[2]


def test_the_committed_tables_are_what_the_code_decides() -> None:
    with_tables = runpy.run_path(str(ROOT / "scripts/routing_reference.py"))["with_tables"]
    page = (ROOT / "docs/routing.md").read_text(encoding="utf-8")
    assert with_tables(page) == page, "docs/routing.md is stale: run scripts/routing_reference.py"


def test_every_kind_of_error_has_a_rule() -> None:
    kinds, waiting = set[str](), [LlmError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == LlmError.__module__:
            kinds.add(kind.kind)
    assert kinds - RULES.keys() == {"error", "all_targets_failed"}
