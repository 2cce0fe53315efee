"""The modules that a pickle names, without unpickling it."""

from __future__ import annotations

from typing import Any, Final

from headrace.errors import InvalidRequest

_SUBIMPORT: Final = "subimport"
"""cloudpickle's function that imports the module named by its argument."""
_STRINGS: Final = frozenset(
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 UNICODE SHORT_BINSTRING BINSTRING STRING".split()
)
_KEEPS: Final = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_RECALLS: Final = frozenset(("GET", "BINGET", "LONG_BINGET"))


def modules_in_pickle(data: bytes) -> set[str]:
    """The modules whose classes, functions and names loading `data` would import.

    Nothing is loaded: the opcodes are read as `pickletools` reads them. Modules that cloudpickle
    imports for functions that it carries by value count too. Raises InvalidRequest where `data`
    is no pickle.
    """
    import pickletools

    reader = _Reader()
    try:
        for opcode, argument, _position in pickletools.genops(data):
            reader.take(opcode.name, argument)
    except (ValueError, IndexError, OverflowError, UnicodeError) as error:
        raise InvalidRequest(f"This is no pickle: {error}.") from None
    return reader.modules


class _Reader:
    """Follows strings through the memo; of all else only that it is no string matters."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._memo: dict[int, str | None] = {}
        self._last: list[str | None] = [None, None]
        self._imports_next = False

    def take(self, name: str, argument: Any) -> None:
        """One opcode and its argument."""
        if name == "MEMOIZE":
            self._memo[len(self._memo)] = self._last[-1]
        elif name in _KEEPS:
            self._memo[int(argument)] = self._last[-1]
        elif name in _RECALLS:
            self._push(self._memo.get(int(argument)))
        elif name in _STRINGS:
            self._push(str(argument))
        elif name in ("GLOBAL", "INST"):
            self._global(*str(argument).partition(" ")[::2])
        elif name == "STACK_GLOBAL":
            self._global(*self._last)
        elif name not in ("PROTO", "FRAME"):
            self._push(None)

    def _push(self, value: str | None) -> None:
        if value == f"\0{_SUBIMPORT}":
            self._imports_next = True
        elif value is not None and self._imports_next:
            self.modules.add(value)
            self._imports_next = False
        self._last = [self._last[1], value]

    def _global(self, module: str | None, name: str | None) -> None:
        if module is not None and module.isprintable() and not module.startswith("\0"):
            self.modules.add(module)
        self._push(f"\0{_SUBIMPORT}" if name == _SUBIMPORT else None)
