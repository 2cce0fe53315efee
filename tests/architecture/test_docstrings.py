"""Everything public says what it promises.

A method that implements one of a documented base class in this tree inherits that contract, as
the store of each database does: saying it again would be a second place to keep true.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from tests.architecture.source_tree import (
    FunctionNode,
    PythonFile,
    classes,
    is_public,
    python_files,
    report,
)

_NO_NEED = {"overload", "override", "setter", "deleter"}


def base_names(node: ast.ClassDef) -> list[str]:
    """`Store` of `class X(base.Store[Y])`."""
    names = []
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        names.append(plain.attr if isinstance(plain, ast.Attribute) else getattr(plain, "id", ""))
    return names


def contract_is_inherited(
    node: ast.ClassDef, method: str, by_name: Mapping[str, Sequence[ast.ClassDef]]
) -> bool:
    for base_name in base_names(node):
        for base in by_name.get(base_name, ()):
            if base is node:
                continue
            for child in base.body:
                if isinstance(child, FunctionNode) and child.name == method:
                    return True  # documented, or reported where it stands
            if contract_is_inherited(base, method, by_name):
                return True
    return False


def public_definitions(
    body: Sequence[ast.stmt], owner: ast.ClassDef | None = None
) -> Iterator[tuple[ast.ClassDef | FunctionNode, ast.ClassDef | None]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield node, owner
            yield from public_definitions(node.body, node)
        elif isinstance(node, FunctionNode) and is_public(node.name):
            yield node, owner


def has_no_need(node: FunctionNode) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & _NO_NEED)


def undocumented(files: Sequence[PythonFile]) -> list[str]:
    by_name: dict[str, list[ast.ClassDef]] = {}
    for file in files:
        for found in classes(file.tree):
            by_name.setdefault(found.name, []).append(found)
    problems = []
    for file in files:
        if any(part.startswith("_") and part != "__init__.py" for part in file.path.split("/")):
            continue
        for node, owner in public_definitions(file.tree.body):
            if ast.get_docstring(node):
                continue
            if isinstance(node, FunctionNode) and has_no_need(node):
                continue
            if owner and contract_is_inherited(owner, node.name, by_name):
                continue
            name = f"{owner.name}.{node.name}" if owner else node.name
            problems.append(f"{file.path}:{node.lineno}: {name} does not say what it promises")
    return problems


def test_everything_public_has_a_docstring() -> None:
    problems = undocumented(python_files("src", "examples"))
    assert not problems, report(problems)


def test_the_rule_bites() -> None:
    file = PythonFile(
        "x.py",
        '''
class Store:
    """A contract."""
    def get(self):
        """One thing."""
    def put(self): ...

class Quick(Store):
    """Faster."""
    def get(self): ...
    def more(self): ...
    def _inner(self): ...

def read(): ...
class _Hidden:
    def shown(self): ...
''',
    )
    assert undocumented([file]) == [
        "x.py:6: Store.put does not say what it promises",
        "x.py:11: Quick.more does not say what it promises",
        "x.py:14: read does not say what it promises",
    ]
