"""Putting a function around another one, in a class or module, and taking it away again."""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_MISSING: Final = object()


class Around:
    """What runs instead of a function: `around(original, *args, **kwargs)`.

    In a pickle it is `operator.call`, which just calls. cloudpickle takes classes of notebooks and
    scripts along by value, with the methods that they have: where they are loaded, nobody logs and
    Headrace need not be there.
    """

    def __call__(self, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run, in place of `original(*args, **kwargs)`."""
        return original(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.itemgetter(0), ((operator.call,),)


class Replacement:
    """One attribute of a class or module that has another value now; `undo` puts the old back."""

    def __init__(self, owner: type | ModuleType, name: str, value: Any) -> None:
        """Replace. TypeError for a class that cannot be changed."""
        self._original = owner.__dict__.get(name, _MISSING)
        self._owner = weakref.ref(owner)
        self._name = name
        self._put = value
        setattr(owner, name, value)

    @property
    def in_place(self) -> bool:
        """Whether it is there still: a reload, or another patch over it, may have removed it."""
        owner = self._owner()
        return owner is not None and owner.__dict__.get(self._name) is self._put

    def undo(self) -> None:
        """Put back what was there. What somebody has put over it meanwhile stays."""
        owner = self._owner()
        if owner is None or not self.in_place:
            return
        if self._original is _MISSING:
            delattr(owner, self._name)
        else:
            setattr(owner, self._name, self._original)


def is_function(found: Any) -> bool:
    """Whether `wrapped` can take this attribute, as it is in its class's or module's `__dict__`."""
    if isinstance(found, staticmethod | classmethod):
        return True
    return (callable(found) and not inspect.isclass(found)) or callable(getattr(found, "fn", None))


def wrapped(found: Any, around: Around) -> Any:
    """A function, a static or class method, or scikit-learn's `available_if`, with `around`."""
    if isinstance(found, staticmethod | classmethod):
        return type(found)(_around(found.__func__, around))
    if not is_function(found):
        raise TypeError(f"{found!r} is no function, so it cannot be observed.")
    if not callable(found):
        changed = copy.copy(found)
        changed.fn = _around(found.fn, around)
        return changed
    return _around(found, around)


def _around(original: Callable[..., Any], around: Around) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    return wrapper
