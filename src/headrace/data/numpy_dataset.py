"""Data sets in NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from headrace.data import profile
from headrace.data.columns import Chunk, Column, Fixed, Kind, Objects, Texts
from headrace.data.dataset import Dataset
from headrace.data.dataset_source import DatasetSource, resolve_source
from headrace.data.digests import array_chunks, arrays_digest
from headrace.data.plain_bytes import is_plain
from headrace.data.profile import Profile, table_profile
from headrace.data.schema import array_schema
from headrace.data.table_profile import profile_column
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    Arrays = NDArray[Any] | dict[str, NDArray[Any]]

_KINDS = {
    "b": Kind.BOOLEAN,
    "M": Kind.TIME,
    "m": Kind.DURATION,
    "U": Kind.TEXT,
    "S": Kind.OBJECT,
    "c": Kind.NESTED,
}


class ArrayProfile(Profile):
    """The profile of arrays: also shape, number of values and bytes, by name where they have one.

    Columns are those of arrays of two dimensions; any other array is one column.
    """

    features_shape: Any = None
    features_size: Any = None
    features_nbytes: Any = None
    targets_shape: Any = None
    targets_size: Any = None
    targets_nbytes: Any = None


class NumpyDataset(Dataset):
    """Arrays of features and perhaps targets, each one array or several by name."""

    def __init__(
        self,
        features: Arrays,
        source: DatasetSource,
        targets: Arrays | None = None,
        name: str | None = None,
        digest: str | None = None,
    ) -> None:
        self._features: Arrays = _checked("features", features)
        self._targets: Arrays | None = None if targets is None else _checked("targets", targets)
        super().__init__(source, name, digest)

    @property
    def features(self) -> Arrays:
        """The array of features, or several by name."""
        return self._features

    @property
    def targets(self) -> Arrays | None:
        """The array of targets, or several by name."""
        return self._targets

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = _by_name("features", self._features)
        if self._targets is not None:
            arrays.update(_by_name("targets", self._targets))
        return arrays

    def _compute_digest(self) -> str:
        return arrays_digest(list(self._arrays().items()))

    def _compute_schema(self) -> dict[str, Any] | None:
        return array_schema(self._features, self._targets)

    def _compute_profile(self) -> Profile:
        arrays = self._arrays()
        rows = {len(values) if values.ndim else 1 for values in arrays.values()}
        width = sum(_width(values) for values in arrays.values())
        columns = chain.from_iterable(_columns(*entry) for entry in arrays.items())
        looked_at = map(profile_column, islice(columns, profile.MAX_COLUMNS))
        plain = table_profile(max(rows), width, looked_at)
        sizes = _sizes("features", self._features)
        if self._targets is not None:
            sizes.update(_sizes("targets", self._targets))
        made = ArrayProfile(**{f: getattr(plain, f) for f in plain.__struct_fields__}, **sizes)
        made.num_elements = sum(values.size for values in arrays.values())
        if width > profile.MAX_COLUMNS:
            made.left_out = ["columns"]
        return made


def from_numpy(
    features: Arrays,
    source: str | os.PathLike[str] | DatasetSource | None = None,
    targets: Arrays | None = None,
    name: str | None = None,
    digest: str | None = None,
) -> NumpyDataset:
    """A data set of NumPy arrays, or of dictionaries of them.

    `source` is a path, a URI or a source; without it, the code that calls. `digest` replaces the
    one that is computed over names, types, shapes and every value. Raises InvalidRequest.
    """
    return NumpyDataset(features, resolve_source(source), targets, name, digest)


def _checked(role: str, given: Any) -> Any:
    """The arrays as they were given; what only looks like an array becomes one."""
    import numpy as np

    if given is None or (isinstance(given, Mapping) and not given):
        raise InvalidRequest(f"'{role}' is empty: expected an array, or a dictionary of arrays.")
    if isinstance(given, Mapping):
        return {name: _checked(f"{role}[{name!r}]", values) for name, values in given.items()}
    if isinstance(given, str | bytes):
        raise InvalidRequest(f"'{role}' is of type {type(given).__name__}: expected an array.")
    try:
        values = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"'{role}' cannot be read as an array: {error}.") from None
    if values.dtype.kind == "O" and values.ndim == 0:
        raise InvalidRequest(f"'{role}' is of type {type(given).__name__}: expected an array.")
    return values


def _by_name(role: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    if isinstance(arrays, Mapping):
        return {f"{role}.{name}": arrays[name] for name in sorted(arrays, key=str)}
    return {role: arrays}


def _sizes(role: str, arrays: Arrays) -> dict[str, Any]:
    def each(read: Callable[[NDArray[Any]], Any]) -> Any:
        if isinstance(arrays, Mapping):
            return {str(name): read(values) for name, values in arrays.items()}
        return read(arrays)

    return {
        f"{role}_shape": each(lambda values: list(values.shape)),
        f"{role}_size": each(lambda values: int(values.size)),
        f"{role}_nbytes": each(lambda values: int(values.nbytes)),
    }


def _width(values: NDArray[Any]) -> int:
    return int(values.shape[1]) if values.ndim == 2 else 1


def _columns(name: str, values: NDArray[Any]) -> Iterator[Column]:
    if values.ndim == 2:
        for place in range(values.shape[1]):
            yield _column(f"{name}[{place}]", values[:, place])
    else:
        yield _column(name, values)


def _column(name: str, values: NDArray[Any]) -> Column:
    import numpy as np

    kind = _KINDS.get(values.dtype.kind, Kind.NUMBER)
    if not is_plain(values.dtype) and values.dtype.kind != "f":
        kind = Kind.OBJECT
    unit = ""
    if values.dtype.kind in "mM":
        unit = np.datetime_data(values.dtype)[0]
        values = values.astype(f"{values.dtype.kind}8[{unit}]", copy=False)  # from 10 s, say, to s

    def read() -> Iterator[Chunk]:
        for chunk in array_chunks(values):
            yield _read(chunk, kind)

    return Column(name, str(values.dtype), kind, read, unit=unit)


def _read(chunk: Chunk, kind: Kind) -> Chunk:
    """The chunk as the profile of that kind reads it: flat, with what is missing marked."""
    import numpy as np

    if isinstance(chunk, Objects):
        items = [item for part in chunk.values for item in np.asarray(part).ravel()]
        return Fixed(np.array(items, "f8")) if kind is Kind.NUMBER else Objects(items)
    assert isinstance(chunk, Fixed)
    values = chunk.values.ravel()
    missing = None if chunk.missing is None else chunk.missing.ravel()
    if kind is Kind.TEXT or kind is Kind.OBJECT:
        plain = values.tolist()
        if missing is not None:
            plain = [None if gone else value for value, gone in zip(plain, missing, strict=True)]
        return Texts(plain) if kind is Kind.TEXT else Objects(plain)
    if values.dtype.kind in "mMc":
        unknown = np.isnan(values) if values.dtype.kind == "c" else np.isnat(values)
        missing = unknown if missing is None else missing | unknown
        values = values if values.dtype.kind == "c" else values.view("i8")
    return Fixed(values, missing)
