"""The modules that code imports: read from its text, never by running it."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger("headrace")


def modules_imported_by(code_paths: Iterable[Path]) -> set[str]:
    """The modules that shipped files, and all Python files in shipped folders, import.

    Imports count wherever they stand, also inside functions, and so does
    `importlib.import_module("a literal")`; those for type checkers only do not, nor do the modules
    that are shipped themselves. A file that is no Python is told of and passed over.
    """
    paths = list(code_paths)
    shipped = {_top_name(path) for path in paths}
    found: set[str] = set()
    for file in _python_files(paths):
        found |= _imported_by(file)
    return {module for module in found if module.partition(".")[0] not in shipped}


def modules_in_source(source: str | bytes, name: str = "<string>") -> set[str]:
    """The modules that a text of Python imports. Raises SyntaxError where it is none."""
    finder = _Finder()
    finder.visit(ast.parse(source, name))
    return finder.modules


def _imported_by(file: Path) -> set[str]:
    try:
        return modules_in_source(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _log.warning("The imports of %s are not known, because it is no Python: %s", file, error)
        return set()


def _python_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            if path.suffix == ".py":
                yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _top_name(path: Path) -> str:
    """The name that a shipped file or folder is imported by: that of the package it lies in."""
    path = path.absolute()
    name = path.name if path.is_dir() else path.stem
    for parent in path.parents:
        if not (parent / "__init__.py").is_file():
            break
        name = parent.name
    return name


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.modules: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.modules.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            # What is imported may be a module too: from google import protobuf.
            self.modules.update(f"{node.module}.{alias.name}" for alias in node.names)

    def visit_If(self, node: ast.If) -> None:
        if _name_of(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _name_of(node.func) in ("import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                relative = first.value.startswith(".")
                self.modules.update(() if relative or not first.value else (first.value,))
        self.generic_visit(node)


def _name_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
