"""Installed packages that add kinds of provider."""

from pathlib import Path

import pytest

__all__ = ["install_plug_in"]


def install_plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, **kinds: str) -> None:
    """A package with one module of this source; `kinds` gives the function in it that makes each kind of provider."""
    module = f"plug_in_{'_'.join(kinds)}"
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    points = [f"{kind} = {module}:{function}\n" for kind, function in kinds.items()]
    (info / "entry_points.txt").write_text("".join(["[caxton_llm.providers]\n", *points]))
    monkeypatch.syspath_prepend(folder)
