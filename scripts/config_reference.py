#!/usr/bin/env python3
"""Write `docs/configuration.md` from the types of the configuration."""

import sys
from pathlib import Path

from caxton_llm.config.reference import render

TARGET = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"


def main() -> int:
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
