"""A reader of UBJSON as XGBoost writes it, which believes no length that the data says.

The format: Universal Binary JSON, draft 12 (ubjson.org), with what XGBoost's own reader takes
(`src/common/json.cc`): keys and lengths are int64 (`L`); arrays have a count (`#`), or a type and a
count (`$`, `#`), or end with `]`; objects end with `}`; `u`, `m` and `M` are unsigned numbers, as
in BJData. Whatever XGBoost's reader would not take, or would read in another way, is an error here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_DEEPEST: Final = 32
_MARKERS: Final = dict(zip("iUIulmLMdD", "bBhHiIqQfd", strict=True))
_FORMS: Final = {marker: f">{letter}" for marker, letter in _MARKERS.items()}
"""The numbers by their markers, as `struct` names their forms: the highest byte first."""
_NUMBERS: Final = {ord(marker): struct.Struct(form) for marker, form in _FORMS.items()}
_SIZES: Final = {marker: form.size for marker, form in _NUMBERS.items()}
_LENGTH: Final = struct.Struct(">Bq")
"""A length with its marker, which is `L`."""
_CONSTANTS: Final = {ord("Z"): None, ord("T"): True, ord("F"): False}


@dataclass(slots=True)  # frozen would take twice as long to make, of which there are thousands
class TypedArray:
    """An array of numbers of one kind, where they lie in the data: nothing was copied.

    Attributes:
        marker: the kind, by its letter in UBJSON: "i", "U", "I", "u", "l", "m", "L", "M", "d", "D".
        data: the bytes of the numbers, the highest first.
    """

    marker: str
    data: memoryview

    def __len__(self) -> int:
        """How many numbers there are."""
        return len(self.data) // _SIZES[ord(self.marker)]

    @property
    def form(self) -> str:
        """The form of a number, as `struct` and NumPy's `dtype` name it (">" and a letter)."""
        return _FORMS[self.marker]


def read_ubjson(data: bytes | bytearray | memoryview) -> Any:
    """What UBJSON says: dict, list, TypedArray, str, int, float, bool and None.

    Takes no more memory than a small multiple of the data's size. Raises ValueError for what is no
    UBJSON, or deeper than 32 levels, or has a key twice, or goes on after its end.
    """
    reader = _Reader(memoryview(data))
    value = reader.value(0)
    if reader.at != reader.end:
        raise ValueError(f"it goes on after its end, at byte {reader.at}")
    return value


def part_of(data: bytes | bytearray | memoryview, key: str) -> memoryview:
    """The bytes of the value of `key` in an object, which are UBJSON too. ValueError as above."""
    reader = _Reader(memoryview(data))
    if reader.byte() != ord("{"):
        raise ValueError("it is no object")
    found = None
    for name, start, end in reader.spans():
        if name == key:
            if found is not None:
                raise ValueError(f"it has '{name}' twice")
            found = reader.data[start:end]
    if found is None:
        raise ValueError(f"it has no '{key}'")
    return found


class _Reader:
    """Where the reading is: `at` is the next byte of `data`, which has `end` of them."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.end = len(data)
        self.at = 0

    def byte(self) -> int:
        """The next byte."""
        found = self._peek()
        self.at += 1
        return found

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """The entries of an object whose `{` was read: key, first byte, byte after the last."""
        while self._peek() != ord("}"):
            name, start = self._text(), self.at
            self.value(1)
            yield name, start, self.at
        self.at += 1

    def value(self, depth: int) -> Any:
        """The next value, which lies in so many others."""
        marker = self.byte()
        made = _MAKERS.get(marker)
        if made is not None:
            if depth >= _DEEPEST:
                raise ValueError(f"it is more than {_DEEPEST} levels deep, at byte {self.at}")
            return made(self, depth + 1)
        if marker == ord("S"):
            return self._text()
        if marker in _NUMBERS:
            return self._number(_NUMBERS[marker])
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        raise ValueError(f"byte {self.at - 1} is 0x{marker:02x}, where a value should begin")

    def object(self, depth: int) -> dict[str, Any]:
        """The entries of an object whose `{` was read."""
        found: dict[str, Any] = {}
        while self._peek() != ord("}"):
            name = self._text()
            if name in found:
                raise ValueError(f"it has '{name[:40]}' twice")
            found[name] = self.value(depth)
        self.at += 1
        return found

    def array(self, depth: int) -> list[Any] | TypedArray:
        """The values of an array whose `[` was read."""
        marker = self._peek()
        if marker == ord("$"):
            return self._typed()
        if marker == ord("#"):
            self.at += 1
            return [self.value(depth) for _ in range(self._length(1))]
        found = []
        while self._peek() != ord("]"):
            found.append(self.value(depth))
        self.at += 1
        return found

    def _typed(self) -> TypedArray:
        self.at += 1
        marker = self.byte()
        size = _SIZES.get(marker)
        if size is None:
            raise ValueError(f"an array is of the kind 0x{marker:02x}, which is no kind of numbers")
        if self.byte() != ord("#"):
            raise ValueError(f"an array has a kind and no count, at byte {self.at - 1}")
        taken = self._length(size) * size
        start, self.at = self.at, self.at + taken
        return TypedArray(chr(marker), self.data[start : self.at])

    def _length(self, size: int) -> int:
        """A count of things of at least `size` bytes, all of which can lie in the data."""
        at = self.at + _LENGTH.size
        if at > self.end:
            raise ValueError("it is cut off")
        marker, length = _LENGTH.unpack_from(self.data, self.at)
        if marker != ord("L"):
            raise ValueError(f"a length is of the kind 0x{marker:02x}; expected int64 (L)")
        if not 0 <= length * size <= self.end - at:
            raise ValueError(f"a length is {length}, more than there is, at byte {at}")
        self.at = at
        return int(length)

    def _text(self) -> str:
        length = self._length(1)
        start, self.at = self.at, self.at + length
        return str(self.data[start : self.at], "utf-8")

    def _number(self, form: struct.Struct) -> Any:
        start, self.at = self.at, self.at + form.size
        if self.at > self.end:
            raise ValueError("it is cut off")
        return form.unpack_from(self.data, start)[0]

    def _peek(self) -> int:
        if self.at >= self.end:
            raise ValueError("it is cut off")
        return self.data[self.at]


_MAKERS: Final[Mapping[int, Callable[[_Reader, int], Any]]] = {
    ord("{"): _Reader.object,
    ord("["): _Reader.array,
}
