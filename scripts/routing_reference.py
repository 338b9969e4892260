#!/usr/bin/env python3
"""Write the tables of `docs/routing.md` from the code that decides."""

import sys
from pathlib import Path

from caxton_llm.routing.reference import decision_table, strategy_table

TARGET = Path(__file__).resolve().parents[1] / "docs" / "routing.md"


def with_tables(page: str) -> str:
    """The page with what stands between its markers written anew."""
    for name, table in (("decisions", decision_table()), ("strategies", strategy_table())):
        begin, end = f"<!-- {name}: written by scripts/routing_reference.py -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def main() -> int:
    TARGET.write_text(with_tables(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote the tables of {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
