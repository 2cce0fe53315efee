"""The modules that functions import which are saved by value, inside a pickle.

A class or function of the main program (or of a notebook) goes into a pickle by cloudpickle as its
code. What its body imports is said only there, in the code's instructions.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


def modules_in_functions(value: Any) -> set[str]:
    """The modules that an object's class, its methods, and all functions and classes that they
    name need, as far as these are saved by value; nothing is imported or called for it.
    """
    found: set[str] = set()
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, ModuleType):
            found.add(each.__name__)
        elif isinstance(each, FunctionType | type) and not _is_by_value(each):
            found.add(each.__module__)
        elif isinstance(each, FunctionType):
            for code in _codes(each.__code__):
                found.update(_imported(code))
                waiting.extend(_named(code.co_names, each.__globals__))
            waiting.extend(_cells(each))
        elif isinstance(each, type):
            waiting.extend([*each.__mro__[1:], *vars(each).values()])
        else:
            waiting.extend(_inner(each))
    return found - {"builtins", "__main__"}


def _is_by_value(thing: FunctionType | type) -> bool:
    """As cloudpickle decides: what the main program, or no module that can be imported, has."""
    module = sys.modules.get(thing.__module__ or "")
    return module is None or thing.__module__ == "__main__"


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _imported(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield str(instruction.argval)


def _named(names: Iterable[str], space: dict[str, Any]) -> list[Any]:
    """The functions, classes and modules that a function finds under its global names."""
    found = [space[name] for name in names if name in space]
    return [each for each in found if isinstance(each, FunctionType | type | ModuleType)]


def _cells(function: FunctionType) -> list[Any]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue  # not filled yet
    return [each for each in found if isinstance(each, FunctionType | type | ModuleType)]


def _inner(value: Any) -> list[Any]:
    """What a method, a property or an object is made of."""
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, property):
        return [each for each in (value.fget, value.fset, value.fdel) if each is not None]
    kind = type(value)
    return [kind] if kind.__module__ != "builtins" else []
