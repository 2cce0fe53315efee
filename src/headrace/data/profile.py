"""Profiles: counts and statistics of a data set's columns, the baseline that drift is measured by.

A profile is a JSON document of version 1 (`profile_version`). Beside MLflow's `num_rows` and
`num_elements` it holds one entry for each column, whose `kind` says which of the structs below it
is. For every column `count + missing` is the number of rows; `count` are the values that are
there. NaN counts as missing. All rows are read, nothing is sampled; what is computed from floats
is computed in double precision.

A document is never longer than a mebibyte. Where it would be, whole details are left out of every
column, in this order, until it fits: the histograms, the most frequent values, the quantiles;
then columns from the end. `left_out` names which. Of more than 10,000 columns only the first
10,000 are looked at. Names and values are cut at 100 characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field, structs

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROFILE_VERSION: Final = 1
PROBABILITIES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Where quantiles are taken: the deciles, and the tails."""
HISTOGRAM_BINS: Final = 20
MAX_TOP: Final = 50
"""How many of the most frequent values are kept."""
MAX_FEW: Final = 20
"""Numbers with at most so many distinct values (classes, flags) have each of them counted."""
MAX_TEXT: Final = 100
MAX_COLUMNS: Final = 10_000
MAX_PROFILE_BYTES: Final = 1 << 20


class ValueCount(Struct):
    """How often a value occurs; text over 100 characters is cut, and then ends in "…"."""

    value: str | float | int
    count: int


class Histogram(Struct):
    """Counts between neighbouring edges, all of the same distance; the last edge is inside."""

    edges: list[float]
    counts: list[int]


class NumberProfile(Struct, tag="number", tag_field="kind", omit_defaults=True, kw_only=True):
    """Numbers; durations in seconds. Statistics are of the finite ones, and None without any.

    `std` divides by n - 1. `quantiles` are at the profile's `quantile_probabilities`, with linear
    interpolation between neighbours. `top` is there where there are at most 20 distinct values.
    """

    name: str
    dtype: str
    count: int
    missing: int
    infinite: int = 0
    mean: float | None = None
    std: float | None = None
    min: int | float | None = None
    max: int | float | None = None
    distinct: int = 0
    quantiles: list[float] = []
    histogram: Histogram | None = None
    top: list[ValueCount] = []


class BooleanProfile(Struct, tag="boolean", tag_field="kind", kw_only=True):
    """Truth values: `true + false == count`."""

    name: str
    dtype: str
    count: int
    missing: int
    true: int
    false: int


class CategoryProfile(Struct, tag="category", tag_field="kind", omit_defaults=True, kw_only=True):
    """Texts, categories and mixed values (as texts), with the up to 50 most frequent.

    Where `at_least` is true there are more than a million distinct values: `distinct` is where
    counting them ended, and `top` counts only those that were met until then.
    """

    name: str
    dtype: str
    count: int
    missing: int
    distinct: int = 0
    at_least: bool = False
    top: list[ValueCount] = []


class TimeProfile(Struct, tag="time", tag_field="kind", omit_defaults=True, kw_only=True):
    """Dates and times: the first and the last in ISO 8601, in UTC where they have a zone."""

    name: str
    dtype: str
    count: int
    missing: int
    min: str | None = None
    max: str | None = None


class OtherProfile(Struct, tag="other", tag_field="kind", kw_only=True):
    """Lists, records, bytes and whatever else: only counted."""

    name: str
    dtype: str
    count: int
    missing: int


ColumnProfile = NumberProfile | BooleanProfile | CategoryProfile | TimeProfile | OtherProfile


class Profile(Struct, omit_defaults=True, kw_only=True):
    """The profile of a data set. One that MLflow wrote has `profile_version` 0 and no columns."""

    profile_version: int = 0
    num_rows: int | None = None
    num_elements: int | None = None
    num_columns: int | None = None
    quantile_probabilities: list[float] = []
    left_out: list[str] = []
    columns: list[ColumnProfile] = field(default_factory=list)

    def column(self, name: str) -> ColumnProfile:
        """The first column of this name. Raises InvalidRequest if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidRequest(f"The profile has no column {name!r}.")


def table_profile(rows: int, width: int, columns: Iterable[ColumnProfile]) -> Profile:
    """The profile of a table of `rows` and `width` columns, of which `columns` were looked at."""
    return Profile(
        profile_version=PROFILE_VERSION,
        num_rows=rows,
        num_elements=rows * width,
        num_columns=width,
        quantile_probabilities=list(PROBABILITIES),
        columns=list(columns),
    )


def encode_profile(profile: Profile) -> str:
    """The profile as JSON of at most a mebibyte; what had to go stands in `left_out`."""
    encoded = msgspec.json.encode(profile)
    for detail in ("histogram", "top", "quantiles"):
        if len(encoded) <= MAX_PROFILE_BYTES:
            break
        columns = [_without(column, detail) for column in profile.columns]
        left_out = [*profile.left_out, detail]
        profile = structs.replace(profile, columns=columns, left_out=left_out)
        encoded = msgspec.json.encode(profile)
    while len(encoded) > MAX_PROFILE_BYTES and profile.columns:
        kept = len(profile.columns) * MAX_PROFILE_BYTES * 9 // (len(encoded) * 10)
        left_out = [part for part in profile.left_out if part != "columns"]
        profile = structs.replace(
            profile, columns=profile.columns[:kept], left_out=[*left_out, "columns"]
        )
        encoded = msgspec.json.encode(profile)
    return encoded.decode()


def _without(column: ColumnProfile, detail: str) -> ColumnProfile:
    if not hasattr(column, detail):
        return column
    return structs.replace(column, **{detail: None if detail == "histogram" else []})


def read_profile(dataset: Any) -> Profile:
    """The profile of a data set, of an input that a run noted, or of the JSON itself.

    Reads those that MLflow wrote too. Raises InvalidRequest for what is no profile.
    """
    dataset = getattr(dataset, "dataset", dataset)
    text = getattr(dataset, "_profile_json", None) or getattr(dataset, "profile", dataset)
    if not isinstance(text, str | bytes):
        raise InvalidRequest(
            f"{type(dataset).__name__} has no profile: expected a data set with one, an input of "
            "a run, or the profile's JSON."
        )
    try:
        return msgspec.json.decode(text, type=Profile)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"This is not a profile that we can read: {error}.") from None


def shown(value: Any) -> str:
    """A name or value as text of at most 100 characters that JSON can hold."""
    text = str(value)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    return text.encode("utf-8", "replace").decode()


def profile_numbers(name: str, dtype: str, values: NDArray[Any], missing: int) -> NumberProfile:
    """The profile of numbers of which `missing` more were not there; NaN among them is missing."""
    import numpy as np

    if values.dtype.kind == "f":
        known = values[~np.isnan(values)]
        missing += len(values) - len(known)
        ordered = np.sort(known[np.isfinite(known)])
    else:
        known, ordered = values, np.sort(values)
    profile = NumberProfile(
        name=name,
        dtype=dtype,
        count=len(known),
        missing=missing,
        infinite=len(known) - len(ordered),
    )
    if len(ordered):
        _describe(profile, ordered)
    return profile


def _describe(profile: NumberProfile, ordered: NDArray[Any]) -> None:
    import numpy as np

    profile.min, profile.max = ordered[0].item(), ordered[-1].item()
    profile.mean, profile.std = _moments(ordered)
    profile.quantiles = _quantiles(ordered)
    profile.histogram = _histogram(ordered)
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    profile.distinct = len(starts)
    if len(starts) <= MAX_FEW:
        counts = np.diff(starts, append=len(ordered)).tolist()
        pairs = zip(ordered[starts].tolist(), counts, strict=True)
        profile.top = [ValueCount(v, n) for v, n in sorted(pairs, key=lambda p: (-p[1], p[0]))]


def _moments(ordered: NDArray[Any]) -> tuple[float, float | None]:
    """Mean and standard deviation; scaled, so that the largest floats do not overflow."""
    import numpy as np

    scale = max(abs(float(ordered[0])), abs(float(ordered[-1])))
    scale = scale if scale > 1e100 else 1.0
    numbers = ordered.astype(np.float64) / scale if scale > 1 else ordered.astype(np.float64)
    low, high = float(numbers[0]), float(numbers[-1])
    mean = min(max(float(numbers.mean()), low), high)  # rounding must not lead outside
    std = float(numbers.std(ddof=1)) * scale if len(numbers) > 1 else None
    return mean * scale, std


def _quantiles(ordered: NDArray[Any]) -> list[float]:
    """Type 7 of Hyndman and Fan (1996), as NumPy and pandas compute quantiles unless told other."""
    import numpy as np

    places = np.array(PROBABILITIES) * (len(ordered) - 1)
    below = np.floor(places).astype(np.intp)
    low = ordered[below].astype(np.float64)
    high = ordered[np.minimum(below + 1, len(ordered) - 1)].astype(np.float64)
    found: list[float] = _between(low, high, places - below).tolist()
    return found


def _histogram(ordered: NDArray[Any]) -> Histogram:
    import numpy as np

    low, high = np.float64(ordered[0]), np.float64(ordered[-1])
    if low == high:
        return Histogram([float(low), float(high)], [len(ordered)])
    edges = np.unique(_between(low, high, np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS))
    inner = np.searchsorted(ordered.astype(np.float64), edges[1:-1], side="left")
    counts = np.diff(np.concatenate(([0], inner, [len(ordered)])))
    return Histogram(edges.tolist(), counts.tolist())


def _between(low: Any, high: Any, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """From `low` to `high` by `share`, ends met exactly, even where the way overflows a double."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        way = high - low
        near = np.where(share < 0.5, low + way * share, high - way * (1 - share))
    far = low * (1 - share) + high * share
    between: NDArray[np.float64] = np.clip(np.where(np.isfinite(way), near, far), low, high)
    return between


def profile_categories(
    name: str, dtype: str, counts: Sequence[tuple[Any, int]], count: int, missing: int
) -> CategoryProfile:
    """The profile of `count` values of which each distinct one occurs as often as `counts` says."""
    import heapq

    most = heapq.nsmallest(MAX_TOP, ((-n, shown(value)) for value, n in counts))
    return CategoryProfile(
        name=name,
        dtype=dtype,
        count=count,
        missing=missing,
        distinct=len(counts),
        top=[ValueCount(value, -n) for n, value in most],
    )


def profile_booleans(
    name: str, dtype: str, values: NDArray[np.bool_], missing: int
) -> BooleanProfile:
    """The profile of truth values of which `missing` more were not there."""
    true = int(values.sum())
    return BooleanProfile(
        name=name,
        dtype=dtype,
        count=len(values),
        missing=missing,
        true=true,
        false=len(values) - true,
    )
