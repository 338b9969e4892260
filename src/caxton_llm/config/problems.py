"""Gathering everything that is wrong with a document, each thing with its place."""

from collections.abc import Mapping
from dataclasses import replace

from caxton_llm.errors import ConfigurationError, ConfigurationProblem
from caxton_llm.near_names import nearest_name
from caxton_llm.providers.settings import SECRET_FIELDS

__all__ = ["Problems", "holds_secret", "misspelt", "nearest"]

_NEAR = 0.55
_MISSPELT = 0.8

_SECRET_MAPPINGS = frozenset({"env", "headers", "token_params", "extra_body"})


class Problems:
    """The mistakes found so far in one document, and the lines of its keys.

    Paths are dotted keys as people write them: `llm.providers[1].api_key`.
    """

    def __init__(self, file: str = "", lines: Mapping[str, int] = {}, files: Mapping[str, str] = {}) -> None:
        self.file = file
        self.files: dict[str, str] = dict(files)
        """Blocks that stand in files of their own: `agents[3]` -> the file, whose keys are those of the block."""
        self.found: list[ConfigurationProblem] = []
        self.lines: dict[str, int] = dict(lines)
        self.misspelt: set[str] = set()
        """Blocks with a key that does not exist: what seems to be missing there may be what is meant by it."""

    def add(self, message: str, *, path: str = "", line: int | None = None, hint: str = "") -> None:
        """One mistake; its line is that of `path`, or of the nearest block around it that has one."""
        self.found.append(self.at(message, path=path, line=line, hint=hint))

    def add_missing(self, path: str, hint: str = "") -> None:
        """The key at `path` is missing, unless something else was found wrong with it."""
        if not self.reported(path):
            self.add("is missing", path=path, hint=hint)

    def reported(self, path: str) -> bool:
        """Whether something has been found wrong with what stands at `path`, or in it."""
        return any(problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for problem in self.found)

    def adopt(self, error: ConfigurationError, block: str) -> None:
        """The mistakes of an error that names the keys of `block`, each with its line; what was found before is left out."""
        for problem in error.problems:
            path = self.place(block, problem.path) if problem.path else block
            known = any((other.path, other.message) == (path, problem.message) for other in self.found)
            if not known and not (problem.path and self.reported(path)):
                self.add(problem.message, path=path, hint=problem.hint)

    def place(self, block: str, key: str) -> str:
        """Where a key of an entry stands: in its own block, or beside `llm.providers`, for all of them."""
        own, shared = f"{block}.{key}", f"llm.{key}"
        return shared if own not in self.lines and shared in self.lines else own

    def at(self, message: str, *, path: str, line: int | None = None, hint: str = "") -> ConfigurationProblem:
        """A problem with its place, which is not counted as a mistake."""
        line = self.line_of(path) if line is None else line
        return ConfigurationProblem(message, path, self.files.get(_item(path), self.file), line, hint)

    def include(self, own: "Problems", block: str) -> None:
        """What was found in a file whose keys are those of `block`, and the lines of these."""
        self.files[block] = own.file
        self.lines.update((f"{block}.{path}", line) for path, line in own.lines.items())
        for problem in own.found:
            path = f"{block}.{problem.path}" if problem.path else block
            self.add(problem.message, path=path, line=problem.line, hint=problem.hint)

    def shown(self, problem: ConfigurationProblem) -> ConfigurationProblem:
        """The problem with the key as it is written in the problem's own file."""
        block = _item(problem.path)
        return replace(problem, path=problem.path[len(block) + 1 :]) if block in self.files else problem

    def where(self, path: str) -> str:
        """File and line of `path` for a message; empty where neither is known. The file is named where it is another one."""
        line, file = self.line_of(path), self.files.get(_item(path))
        if file is not None:
            return f" in {file}:{line}" if line else f" in {file}"
        return f" in line {line}" if line else ""

    def line_of(self, path: str) -> int | None:
        while path:
            line = self.lines.get(path)
            if line is not None or path in self.files:  # what is around it stands in another file
                return line
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

    def error(self) -> ConfigurationError:
        """Everything found, in the order of the files and of their lines."""
        found = sorted(self.found, key=lambda problem: (problem.file != self.file, problem.file, problem.line or 0))
        return ConfigurationError([self.shown(problem) for problem in found])

    def raise_any(self) -> None:
        """Raises `error()` when anything has been found."""
        if self.found:
            raise self.error()


def _item(path: str) -> str:
    """The item of a list at the top of the file that `path` leads into: `agents[3]`; empty where it leads into none."""
    begin, closed, _ = path.partition("]")
    return begin + closed if closed and "." not in begin else ""


def nearest(name: str, known: list[str]) -> str:
    """A hint: the known name that is nearest to `name`; all of them when none is near and they are few."""
    close = nearest_name(name, known, _NEAR)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"known: {', '.join(known) or 'none'}" if len(known) <= 12 else ""


def misspelt(name: str, known: list[str]) -> str | None:
    """The known name that `name` can hardly be anything else than; `None` when there is none."""
    return nearest_name(name, known, _MISSPELT)


def holds_secret(path: str) -> bool:
    """Whether what stands at `path` may be a secret, so that no message shows it."""
    keys = [key.partition("[")[0] for key in path.split(".")]
    return keys[-1] in SECRET_FIELDS or not _SECRET_MAPPINGS.isdisjoint(keys)
