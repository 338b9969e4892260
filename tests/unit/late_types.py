"""Tells how many types functions read, and which of them msgspec looks through only then. A program of its own, because what
a process has read once stays looked through."""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType

import msgspec

import caxton_llm

_READING = ("convert", "decode")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[ModuleType]:
    """Every module of the package."""
    names = [one.name for one in pkgutil.walk_packages(caxton_llm.__path__, "caxton_llm.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def read_in(tree: ast.Module) -> Iterator[tuple[str | None, ast.expr]]:
    """What functions read, as `msgspec.convert(..., kind)` or `...decode(..., type=kind)`, with the function's name where the
    kind is one of its parameters."""
    for function in ast.walk(tree):
        if isinstance(function, _Function):
            parameters = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _READING:
                    given = [one.value for one in call.keywords if one.arg == "type"]
                    for kind in (*given, *(call.args[1:2] if call.func.attr == "convert" else ())):
                        is_parameter = isinstance(kind, ast.Name) and kind.id in parameters
                        yield function.name if is_parameter else None, kind


def kinds(every: list[ModuleType]) -> Iterator[object]:
    """The types that functions read, and those that are given to functions which read what they are given."""
    trees = [(module, ast.parse(Path(module.__file__ or "").read_text())) for module in every if module.__file__]
    found = [(module, name, kind) for module, tree in trees for name, kind in read_in(tree)]
    readers = {name for _, name, _ in found if name}
    for module, name, kind in found:
        if name is None:
            yield eval(ast.unparse(kind), vars(module))
    for module, tree in trees:
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) in readers:
                for given in (*call.args, *(one.value for one in call.keywords)):
                    value = vars(module).get(given.id) if isinstance(given, ast.Name) else None
                    if isinstance(value, type) and issubclass(value, msgspec.Struct):
                        yield value


class Fresh(msgspec.Struct):
    """Never read before `main` runs: it has to be seen there."""


def main() -> None:
    late: set[str] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "get_class_annotations":
            late.add(f"{frame.f_locals['obj'].__module__}.{frame.f_locals['obj'].__name__}")

    found = [Fresh, *kinds(modules())]
    sys.setprofile(watch)
    for kind in found:
        msgspec.json.Decoder(kind)
    sys.setprofile(None)
    sys.stdout.write(" ".join([str(len(found)), *sorted(late)]))


if __name__ == "__main__":
    main()
