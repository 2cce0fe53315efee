"""Observing all classes that derive from another: those that there are, and each that will be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headrace.client.autolog.library import Library
from headrace.client.autolog.replacement import is_function

Observe = Callable[[type], None]


def observe_subclasses(
    library: Library[Any], base: type[Any], observe: Observe, also: tuple[type[Any], ...] = ()
) -> None:
    """Call `observe` for each class below `base`, now and when one is made, while `library` is on.

    `also` names bases that change a class when it is made (in `__init_subclass__`): `observe` is
    called after all of them. What it raises for a new class is a warning.
    """
    for owner in (base, *also):
        library.put(owner, "__init_subclass__", _noticing(library, owner, observe))
    for found in _below(base):
        observe(found)


def methods_of(kind: type, names: Iterable[str]) -> Iterator[tuple[type, str]]:
    """Where these methods are defined: in a class, its bases and mixins. Properties are none."""
    wanted = set(names)
    for owner in kind.__mro__:
        for name in owner.__dict__.keys() & wanted:
            if is_function(owner.__dict__[name]):
                yield owner, name


class _Making(threading.local):
    depth = 0


_making = _Making()


def _noticing(
    library: Library[Any], owner: type[Any], observe: Observe
) -> classmethod[Any, Any, Any]:
    """An `__init_subclass__` that does what the one before did, then observes the class."""
    had = owner.__dict__.get("__init_subclass__")

    def __init_subclass__(cls: type, /, **kwargs: Any) -> None:  # noqa: N807 - Python's name
        _making.depth += 1
        try:
            if had is None:
                super(owner, cls).__init_subclass__(**kwargs)
            else:
                had.__func__(cls, **kwargs)
        finally:
            _making.depth -= 1
        # One of these may run in another one: the outer one observes.
        if library.on and _making.depth == 0:
            with library.guard(f"the class {cls.__name__}"):
                observe(cls)

    return classmethod(__init_subclass__)


def _below(base: type[Any]) -> Iterator[type]:
    seen: set[type] = {base}
    waiting: list[type] = list(base.__subclasses__())
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += found.__subclasses__()
            yield found
