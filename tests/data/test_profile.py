"""Profiles: what is counted adds up, what is computed is right, the JSON can be read again."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.data import from_numpy, from_pandas, from_polars, read_profile, table_profile
from headrace.data.profile import (
    MAX_PROFILE_BYTES,
    PROBABILITIES,
    BooleanProfile,
    CategoryProfile,
    ColumnProfile,
    NumberProfile,
    OtherProfile,
    Profile,
    TimeProfile,
    profile_numbers,
)
from headrace.errors import InvalidRequest
from tests.data.test_digests import tables


def profile(df: pd.DataFrame) -> Profile:
    return read_profile(from_pandas(df))


def column(values: Any) -> ColumnProfile:
    return profile(pd.DataFrame({"a": values})).columns[0]


def strictly_read(text: str) -> Any:
    """JSON as the standard has it: NaN and Infinity are no numbers there."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@given(tables())
def test_counts_add_up_and_json_comes_back(df: pd.DataFrame) -> None:
    dataset = from_pandas(df)
    text = dataset.to_dict()["profile"]
    assert strictly_read(text) == dataset.profile
    read = read_profile(dataset)
    assert read == read_profile(text)
    assert json.loads(msgspec.json.encode(read)) == dataset.profile
    assert (read.num_rows, read.num_elements) == (len(df), df.size)
    for found in read.columns:
        assert found.count + found.missing == len(df)
        assert found.missing == int(df[found.name].isna().sum())
        if isinstance(found, NumberProfile) and found.histogram:
            assert sum(found.histogram.counts) == found.count - found.infinite
        if isinstance(found, CategoryProfile):
            assert sum(top.count for top in found.top) == found.count


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=50))
def test_numbers_are_described_as_numpy_does(values: list[float]) -> None:
    numbers = np.array(values)
    found = profile_numbers("a", "float64", numbers, 0)
    assert found.min == numbers.min()
    assert found.max == numbers.max()
    assert found.distinct == len(np.unique(numbers))
    assert found.quantiles == sorted(found.quantiles)
    assert found.mean is not None
    assert numbers.min() <= found.mean <= numbers.max()
    if np.abs(numbers).max() < 1e100:
        with np.errstate(all="ignore"):
            assert found.quantiles == pytest.approx(np.quantile(numbers, PROBABILITIES).tolist())
            spread = np.abs(numbers).max() * 1e-9
            assert found.mean == pytest.approx(numbers.mean(), abs=spread)
            assert found.std == pytest.approx(numbers.std(ddof=1), abs=spread)
    assert found.histogram is not None
    edges, counts = found.histogram.edges, found.histogram.counts
    assert (edges[0], edges[-1]) == (found.min, found.max)
    if len(edges) == 21:
        assert counts == np.histogram(numbers, np.array(edges))[0].tolist()


def test_infinite_and_missing_numbers() -> None:
    found = column([1.0, float("inf"), float("-inf"), None, 3.0])
    assert isinstance(found, NumberProfile)
    assert (found.count, found.missing, found.infinite) == (4, 1, 2)
    assert (found.mean, found.min, found.max) == (2.0, 1.0, 3.0)
    nothing = column(pd.Series([None, None], dtype="float64"))
    assert isinstance(nothing, NumberProfile)
    assert (nothing.count, nothing.mean, nothing.quantiles) == (0, None, [])


def test_whole_numbers_stay_exact() -> None:
    found = column([2**63 - 1, 2**63 - 2, -(2**63)])
    assert isinstance(found, NumberProfile)
    assert (found.min, found.max, found.distinct) == (-(2**63), 2**63 - 1, 3)
    large = column(np.array([2**64 - 1], dtype="u8"))
    assert isinstance(large, NumberProfile)
    assert large.max == 2**64 - 1


def test_classes_are_counted() -> None:
    found = column([0, 1, 1, 2, 1])
    assert isinstance(found, NumberProfile)
    assert [(top.value, top.count) for top in found.top] == [(1, 3), (0, 1), (2, 1)]


def test_texts_are_counted() -> None:
    found = column(["b", "a", "b", None, "ü" * 300])
    assert isinstance(found, CategoryProfile)
    assert (found.count, found.missing, found.distinct) == (4, 1, 3)
    assert (found.top[0].value, found.top[0].count) == ("b", 2)
    assert found.top[2].value == "ü" * 99 + "…"


def test_many_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_profile, "MAX_DISTINCT", 1000)
    values = ["often"] * 100_000 + [f"id {number}" for number in range(100_000)]
    found = column([*values, "often"])
    assert isinstance(found, CategoryProfile)
    assert found.at_least
    assert 1000 <= found.distinct < 100_000
    assert (found.top[0].value, found.top[0].count) == ("often", 100_001)
    assert (len(found.top), found.count) == (50, 200_001)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, "a", None], CategoryProfile),
        ([], OtherProfile),
        ([None, None], OtherProfile),
        ([[1], [2]], OtherProfile),
        ([{"a": 1}, None], OtherProfile),
        ([b"a"], OtherProfile),
        ([1 + 2j], OtherProfile),
        ([10**400, -(10**400), 10**30], NumberProfile),
        ([decimal.Decimal("1.5"), decimal.Decimal("NaN")], NumberProfile),
        ([True, None], BooleanProfile),
        ([dt.date(2020, 1, 1), None], TimeProfile),
        ([dt.date(2020, 1, 1), dt.datetime.fromisoformat("2020-01-01T01:00")], OtherProfile),
        (pd.Categorical(["a", None]), CategoryProfile),
        (pd.Categorical([1, 2]), CategoryProfile),
        (pd.array([1, None], "Int64"), NumberProfile),
        (pd.array([1.5, None], "Float32"), NumberProfile),
        (pd.array([True, None], "boolean"), BooleanProfile),
        (pd.array(["a", None], "string"), CategoryProfile),
        (pd.to_timedelta(["1s", None]), NumberProfile),
        (pd.interval_range(0, 2), OtherProfile),
        (pd.period_range("2020", periods=2, freq="D"), OtherProfile),
        (pd.arrays.SparseArray([0, 1]), NumberProfile),
        (["\ud800", "a"], CategoryProfile),
    ],
)
def test_columns_of_every_kind(values: Any, kind: type[Any]) -> None:
    dataset = from_pandas(pd.DataFrame({"a": pd.Series(values)}))
    found = read_profile(strictly_read(dataset.to_json())["profile"]).columns[0]
    assert isinstance(found, kind)
    assert found.count + found.missing == len(values)


def test_times_are_written_in_utc() -> None:
    zoned = pd.DatetimeIndex(["2020-01-01 12:00", None]).tz_localize("Europe/Berlin")
    found = column(zoned)
    assert isinstance(found, TimeProfile)
    assert found.min is not None
    assert found.min.startswith("2020-01-01T11:00:00")
    assert found.min.endswith("+00:00")
    assert (found.count, found.missing) == (1, 1)


def test_two_columns_of_one_name() -> None:
    found = profile(pd.DataFrame([[1, "x"]], columns=["a", "a"]))
    assert [type(each) for each in found.columns] == [NumberProfile, CategoryProfile]


def test_a_wide_table_stays_within_bounds() -> None:
    rng = np.random.default_rng(0)
    names = [f"the measurement with the number {place}" for place in range(10_000)]
    wide = from_pandas(pd.DataFrame(rng.normal(size=(30, 10_000)), columns=names))
    text = wide.to_dict()["profile"]
    found = read_profile(text)
    assert len(text.encode()) <= MAX_PROFILE_BYTES
    assert found.left_out == ["histogram", "top", "quantiles", "columns"]
    assert found.num_columns == 10_000
    assert len(found.columns) > 3000
    narrow = read_profile(from_pandas(pd.DataFrame(rng.normal(size=(30, 100)))))
    assert not narrow.left_out


def test_more_columns_than_are_looked_at() -> None:
    found = read_profile(from_numpy(np.zeros((2, 10_001), dtype=bool)))
    assert (found.num_columns, found.left_out) == (10_001, ["columns"])


def test_arrays_have_mlflows_figures_too() -> None:
    dataset = from_numpy({"x": np.zeros((4, 3), "f4")}, targets=np.array([0, 1, 1, 0]))
    assert dataset.profile["features_shape"] == {"x": [4, 3]}
    assert dataset.profile["features_nbytes"] == {"x": 48}
    assert dataset.profile["targets_size"] == 4
    found = read_profile(dataset)
    assert (found.num_rows, found.num_elements, found.num_columns) == (4, 16, 4)
    assert [each.name for each in found.columns] == [
        *(f"features.x[{place}]" for place in range(3)),
        "targets",
    ]


@pytest.mark.parametrize(
    ("values", "kind", "missing"),
    [
        (np.zeros((2, 3, 4)), NumberProfile, 0),
        (np.array(1.0), NumberProfile, 0),
        (np.array([]), NumberProfile, 0),
        (np.array(["a", "b"]), CategoryProfile, 0),
        (np.array([None, 1, "a"], dtype=object), CategoryProfile, 1),
        (np.array(["2020-01-01", "NaT"], dtype="M8[D]"), TimeProfile, 1),
        (np.array([1, 2], dtype="m8[10s]"), NumberProfile, 0),
        (np.array([1.5, np.nan], dtype=np.longdouble), NumberProfile, 1),
        (np.array([1.5, np.nan], dtype="f2"), NumberProfile, 1),
        (np.ma.masked_array([1, 2], mask=[True, False]), NumberProfile, 1),
        (np.ma.masked_array(["a", "b"], mask=[True, False]), CategoryProfile, 1),
        (np.array([1 + 2j]), OtherProfile, 0),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), OtherProfile, 0),
    ],
)
def test_arrays_of_every_kind(values: Any, kind: type[Any], missing: int) -> None:
    dataset = from_numpy(values)
    found = read_profile(strictly_read(dataset.to_json())["profile"]).columns[0]
    assert isinstance(found, kind)
    assert (found.count, found.missing) == (values.size - missing, missing)


def test_durations_are_in_seconds() -> None:
    found = read_profile(from_numpy(np.array([1, 2], dtype="m8[10s]"))).columns[0]
    assert isinstance(found, NumberProfile)
    assert found.max == 20.0
    shown = read_profile(from_polars(pl.DataFrame({"a": [dt.time(1, 2)]}))).columns[0]
    assert isinstance(shown, NumberProfile)
    assert shown.max == 3720.0


def test_polars_columns() -> None:
    df = pl.DataFrame(
        {
            "n": [1, None, 3],
            "f": [1.0, float("nan"), None],
            "s": ["a", None, "a"],
            "l": [[1], [], None],
            "d": [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1)],
            "b": [True, None, False],
            "z": [None, None, None],
        }
    ).with_columns(c=pl.Series(["x", None, "x"], dtype=pl.Enum(["x", "y"])))
    found = {each.name: each for each in read_profile(from_polars(df)).columns}
    missing = {name: each.missing for name, each in found.items()}
    assert missing == {"n": 1, "f": 2, "s": 1, "l": 1, "d": 1, "b": 1, "z": 3, "c": 1}
    assert isinstance(found["d"], TimeProfile)
    assert found["d"].max == "2021-01-01"
    assert isinstance(found["c"], CategoryProfile)
    assert found["c"].top[0].count == 2
    empty = read_profile(from_polars(df.head(0)))
    assert [each.count for each in empty.columns] == [0] * 8


def test_empty_tables() -> None:
    assert profile(pd.DataFrame()).num_rows == 0
    assert profile(pd.DataFrame({"a": [1], "b": ["x"]}).iloc[:0]).columns[1].count == 0
    assert read_profile(from_polars(pl.DataFrame())).columns == []


def test_profiles_of_mlflow_can_be_read() -> None:
    found = read_profile('{"num_rows": 3, "num_elements": 36}')
    assert (found.profile_version, found.num_rows, found.columns) == (0, 3, [])


def test_a_column_is_found_by_its_name() -> None:
    found = profile(pd.DataFrame({"a": [1], "b": [2]}))
    assert found.column("b").name == "b"
    with pytest.raises(InvalidRequest, match="no column 'c'"):
        found.column("c")


@pytest.mark.parametrize("wrong", ["{", '{"columns": 3}', 5, None])
def test_what_is_no_profile_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest):
        read_profile(wrong)
