"""A column as a stream of chunks: the one form from which digests and profiles are made.

Each library's tables are brought into this form a chunk at a time, so that a column is never
copied whole only to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_ROWS: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Values of one width: numbers, truth values, ticks of a clock, numbers of categories.

    Where `missing` is true, the value means nothing; None stands for "all are there".
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Strings, None where one is missing."""

    values: list[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Byte strings, one behind the other; a missing one has length 0."""

    lengths: NDArray[Any]
    data: Any
    missing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Lists, whose items follow one another in `items`; a missing one has length 0."""

    lengths: NDArray[Any]
    items: tuple[Chunk, ...]
    missing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Values with named fields; those of a missing one are missing."""

    fields: dict[str, Chunk]
    missing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Whatever Python holds."""

    values: list[Any]


Chunk = Fixed | Texts | Blobs | Lists | Records | Objects


class Kind(Enum):
    """What a column's values are, as far as its type tells."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    CODE = "code"
    """Numbers of categories: positions in `Column.categories`."""
    TIME = "time"
    """Ticks since 1970 of `Column.unit`, in UTC where `Column.zoned`."""
    DURATION = "duration"
    OBJECT = "object"
    """Only the values tell."""
    NESTED = "nested"


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column: its name and type as its library writes them, and its values in chunks.

    `chunks()` starts from the first row each time it is called.
    """

    name: Any
    dtype: str
    kind: Kind
    chunks: Callable[[], Iterator[Chunk]]
    categories: tuple[Any, ...] = ()
    unit: str = ""
    zoned: bool = False


def slices(rows: int, step: int = CHUNK_ROWS) -> Iterator[slice]:
    """The rows from 0 to `rows` in pieces of at most `step`."""
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
