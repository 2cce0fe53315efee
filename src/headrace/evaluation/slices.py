"""Parts of the data that are measured by themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.evaluation.values import array_of, missing_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.assessment import Assessment
    from headrace.evaluation.rows import Rows
    from headrace.evaluation.tables import Table

    Array = NDArray[Any]

PREFIX: Final = "slices/"
MAX_VALUES: Final = 20
"""Of a column with more values the most frequent ones are slices, and the others together one."""
_MAX_NUMBERS: Final = 10
_NOT_IN_KEYS: Final = re.compile(r"[^\w.\- :]")


@dataclass(frozen=True)
class Slice:
    """Some rows, by a mask."""

    name: str
    rows: Array


def slices_of(given: Any, rows: Rows) -> list[Slice]:
    """The slices that a caller asks for, each with at least one row. InvalidRequest.

    An entry is the name of a column, or a dictionary with a `name` and either `where` (a boolean
    array, or a function that makes one of the table) or `by` (values, each of which is a slice).
    """
    if given is None:
        return []
    entries = [given] if isinstance(given, str | Mapping) else list(given)
    found = [part for entry in entries for part in _slices(entry, rows)]
    seen: set[str] = set()
    for part in found:
        if part.name in seen:
            raise InvalidRequest(f"'slices' has {part.name!r} twice: give each slice its name.")
        seen.add(part.name)
    return found


@dataclass
class SliceMetrics:
    """The metrics of slices: by key for the run and for thresholds, and as a table."""

    values: dict[str, float]
    missing: dict[str, str]
    small: set[str]
    table: Table


def measure_slices(
    slices: list[Slice], assessment: Assessment, whole: Mapping[str, float], min_rows: int
) -> SliceMetrics:
    """Each slice measured, and compared with all rows; below `min_rows` rows it is small."""
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    small: set[str] = set()
    lines: list[dict[str, Any]] = []
    headline = assessment.headline
    for part in slices:
        count = int(part.rows.sum())
        measured = assessment.measure_part(part.rows)
        key = PREFIX + _NOT_IN_KEYS.sub("_", part.name)[:150]
        values |= {f"{key}/{name}": value for name, value in measured.values.items()}
        missing |= {f"{key}/{name}": why for name, why in measured.missing.items()}
        if count < min_rows:
            small.add(key)
        lines.append(
            {
                "slice": part.name,
                "rows": count,
                "small": count < min_rows,
                f"{headline}_difference": measured.values[headline] - whole[headline],
                **{k: v for k, v in measured.values.items() if k != "example_count"},
            }
        )
    names = list(dict.fromkeys(name for line in lines for name in line))
    return SliceMetrics(
        values, missing, small, {name: [line.get(name) for line in lines] for name in names}
    )


def _slices(entry: Any, rows: Rows) -> Iterator[Slice]:
    if isinstance(entry, str):
        yield from _groups(entry, rows.column(entry), len(rows))
        return
    if isinstance(entry, Slice):
        entry = {"name": entry.name, "where": entry.rows}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise InvalidRequest(
            f"Invalid value {entry!r:.80} in 'slices': expected the name of a column, or a "
            "dictionary with 'name' and 'where'."
        )
    name = entry["name"]
    if "by" in entry:
        yield from _groups(name, array_of(entry["by"], name), len(rows))
    elif "where" in entry:
        yield Slice(name, _mask(name, entry["where"], rows))
    else:
        raise InvalidRequest(f"The slice {name!r} has neither 'where' nor 'by'.")


def _mask(name: str, where: Any, rows: Rows) -> Array:
    if callable(where):
        where = _called(name, where, rows)
    mask = array_of(where, f"where of the slice {name!r}")
    if mask.dtype.kind != "b" or mask.shape != (len(rows),):
        raise InvalidRequest(
            f"'where' of the slice {name!r} has the type {mask.dtype} and shape {mask.shape}: "
            f"expected {len(rows):,} values, each True or False."
        )
    if not mask.any():
        raise InvalidRequest(f"The slice {name!r} has no rows.")
    return mask


def _called(name: str, where: Callable[[Any], Any], rows: Rows) -> Any:
    try:
        return where(rows.table)
    except Exception as error:
        raise InvalidRequest(
            f"'where' of the slice {name!r} raised {type(error).__name__}: {error}"
        ) from error


def _groups(name: str, values: Array, count: int) -> Iterator[Slice]:
    if values.shape != (count,):
        raise InvalidRequest(
            f"The slices by {name!r} have the shape {values.shape}: expected one value for each "
            f"of {count:,} rows."
        )
    import numpy as np

    missing = missing_in(values)
    present = values if not missing.any() else values[~missing]
    codes, labels = _binned(present) if _is_measure(present) else _valued(present)
    every = np.full(count, -1)
    every[~missing] = codes
    for place, label in enumerate(labels):
        yield Slice(f"{name}: {label}", every == place)
    if missing.any():
        yield Slice(f"{name}: missing", missing)


def _is_measure(values: Array) -> bool:
    """Whether it is a quantity to be binned, rather than a few values."""
    import numpy as np

    return values.dtype.kind in "iufmM" and len(np.unique(values)) > _MAX_NUMBERS


def _binned(values: Array) -> tuple[Array, list[str]]:
    """Quartiles, each called by its least and greatest value."""
    import numpy as np

    plain = values.astype(np.int64) if values.dtype.kind in "mM" else values
    edges = np.unique(np.quantile(plain, [0.25, 0.5, 0.75]))
    codes = np.searchsorted(edges, plain)  # up to and with the edge
    _, codes = np.unique(codes, return_inverse=True)
    labels = []
    for place in range(int(codes.max()) + 1):
        inside = values[codes == place]
        labels.append(f"{_short(inside.min())} to {_short(inside.max())}")
    return codes, labels


def _valued(values: Array) -> tuple[Array, list[str]]:
    """Each value, in order of size; the less frequent of many together."""
    import numpy as np

    plain = values.tolist()
    counts: dict[Any, int] = {}
    for value in plain:
        counts[value] = counts.get(value, 0) + 1
    frequent = sorted(counts, key=lambda value: (-counts[value], str(value)))
    kept = frequent if len(frequent) <= MAX_VALUES else frequent[: MAX_VALUES - 1]
    kept = sorted(kept, key=lambda value: (str(type(value)), value))
    places = {value: place for place, value in enumerate(kept)}
    codes = np.fromiter((places.get(value, len(kept)) for value in plain), np.int64, len(plain))
    labels = [_short(value) for value in kept]
    return codes, labels if len(kept) == len(counts) else [*labels, "all others"]


def _short(value: Any) -> str:
    if isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f":
        return f"{float(value):.6g}"
    return str(value)[:100]
