"""The files of this repository, as the house rules see them."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class PythonFile:
    """One Python file: its path from the root, and its text."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def line_count(self) -> int:
        return len(self.text.splitlines())


@functools.cache
def repository_files() -> tuple[str, ...]:
    """Paths of all files that are, or would be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0:
        names = [name for name in listing.stdout.split("\0") if name]
    else:  # a source distribution: no git, and nothing but our files
        folders = ("src", "tests", "docs", "examples", "benchmarks", "constraints")
        found = (path for folder in folders for path in (ROOT / folder).rglob("*"))
        names = [str(path.relative_to(ROOT)) for path in (*found, *ROOT.glob("*.*"))]
    return tuple(
        sorted(name for name in names if "__pycache__" not in name and (ROOT / name).is_file())
    )


def text_files() -> Iterator[tuple[str, str]]:
    """Path and text of every file that is text."""
    for name in repository_files():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@functools.cache
def python_files(*folders: str) -> tuple[PythonFile, ...]:
    """All Python files below `folders`, such as "src"."""
    return tuple(
        PythonFile(name, (ROOT / name).read_text(encoding="utf-8"))
        for name in repository_files()
        if name.endswith(".py") and name.split("/", 1)[0] in folders
    )


def functions(tree: ast.AST) -> Iterator[FunctionNode]:
    """Every function and method, however deep."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    """Every class, however deep."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node


def is_public(name: str) -> bool:
    """Whether users may rely on this name."""
    return not name.startswith("_")


def report(problems: list[str]) -> str:
    """Problems as the message of a failed assertion, one a line."""
    return "\n".join(["", *problems])
