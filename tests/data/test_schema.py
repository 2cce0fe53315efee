"""Schemas: the JSON that MLflow writes for the same data, wherever it writes one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from headrace.data import from_numpy, from_pandas, from_polars

# Names of columns and arrays; what each holds is built by the same program here and there.
BUILD = """
import datetime as dt
import numpy as np
import pandas as pd

COLUMNS = {
    "int64": [1, 2], "float64": [1.5, None], "bool": [True, False], "text": ["a", None],
    "int8": np.array([1, 2], "i1"), "uint8": np.array([1, 2], "u1"),
    "int32": np.array([1, 2], "i4"), "uint32": np.array([1, 2], "u4"),
    "uint16": np.array([1, 2], "u2"), "float32": np.array([1, 2], "f4"),
    "float16": np.array([1, 2], "f2"),
    "Int64": pd.array([1, None], "Int64"), "boolean": pd.array([True, None], "boolean"),
    "Float32": pd.array([1.5, None], "Float32"), "string": pd.array(["a", None], "string"),
    "time": pd.to_datetime(["2020-01-01", None]),
    "zoned": pd.to_datetime(["2020-01-01", None]).tz_localize("UTC"),
    "category": pd.Categorical(["a", None]), "numbers": pd.Categorical([1, 2]),
    "objects": pd.Series(["a", None], dtype=object), "big": [10**15, None],
    "nothing": [None, None], "blobs": [b"a", b"b"],
    "lists": [[1, 2], [3]], "none": [[1], None], "hollow": [[], []],
    "nested": [[[1.5]], []], "arrays": [np.zeros((2, 2)), np.ones((1, 2))],
    "records": [{"b": 1, "a": "x"}, {"b": 2}],
    "deep": [{"b": 1, "a": [{"x": None}]}, {"a": None}],
    "dates": pd.Series([dt.date(2020, 1, 1), None], dtype=object),
    "inf": [float("inf"), None],
}
X = np.zeros((4, 3), "f4")
ARRAYS = {
    "one": (X, None), "two": (X, np.array([1, 2, 3, 4])),
    "named": ({"a": X, "b": X[:, 0]}, {"t": np.zeros(4)}),
    "mixed": (X, {"t": np.zeros(4)}), "texts": (np.array(["a", "b"]), None),
    "bytes": (np.array([b"a"]), None), "objects": (np.array([None, 1], object), None),
    "images": (np.zeros((2, 8, 8, 3), "u1"), None), "times": (np.zeros(2, "M8[ns]"), None),
    "complex": (np.zeros((2, 2), "c16"), None), "bool": (np.zeros(2, "?"), None),
}
"""

PROGRAM = (
    BUILD
    + """
import json, warnings
warnings.simplefilter("ignore")
import mlflow.data
found = {}
for name, values in COLUMNS.items():
    dataset = mlflow.data.from_pandas(pd.DataFrame({name: values}), digest="given")
    found[name] = json.loads(dataset.to_dict()["schema"] or "null")
for name, (features, targets) in ARRAYS.items():
    dataset = mlflow.data.from_numpy(features, targets=targets, digest="given")
    found["array " + name] = json.loads(dataset.to_dict()["schema"] or "null")
print(json.dumps(found))
"""
)


def built() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(BUILD, names)  # noqa: S102  (the program above, so that both sides have the same data)
    return names


@pytest.mark.heavy
def test_schemas_are_those_of_mlflow(mlflow_python: Path) -> None:
    done = subprocess.run(
        [str(mlflow_python), "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=300
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    data = built()
    ours = {
        name: from_pandas(pd.DataFrame({name: values})).schema
        for name, values in data["COLUMNS"].items()
    }
    for name, (features, targets) in data["ARRAYS"].items():
        ours[f"array {name}"] = from_numpy(features, targets=targets).schema
    assert ours == theirs


@pytest.mark.parametrize(
    "values",
    [
        np.array([1], "u8"),
        np.array([1j]),
        pd.to_timedelta(["1s"]),
        pd.Series([1, "a"]),
        pd.Series([[1, "a"]]),
        pd.period_range("2020", periods=1, freq="D"),
        [10**30, object()],
    ],
)
def test_what_mlflow_has_no_type_for_is_any(values: Any) -> None:
    df = pd.DataFrame({"a": values, "b": [1] * len(values)})
    assert from_pandas(df).schema == {
        "mlflow_colspec": [
            {"type": "any", "name": "a", "required": True},
            {"type": "long", "name": "b", "required": True},
        ]
    }


def test_names_that_are_no_texts() -> None:
    schema = from_pandas(pd.DataFrame({0: [1], ("a", "b"): [1]})).schema
    assert schema is not None
    assert [column["name"] for column in schema["mlflow_colspec"]] == [0, "('a', 'b')"]


def test_no_columns_have_no_schema() -> None:
    assert from_pandas(pd.DataFrame()).schema is None
    assert from_pandas(pd.DataFrame()).to_dict()["schema"] is None


def test_a_schema_beyond_the_limit_is_left_out() -> None:
    names = [f"{'n' * 200} {place}" for place in range(5000)]
    wide = from_pandas(pd.DataFrame(np.zeros((1, 5000)), columns=names))
    assert wide.schema is not None
    assert wide.to_dict()["schema"] is None


def test_polars_types() -> None:
    df = pl.DataFrame(
        {
            "i": [1, None],
            "u": pl.Series([1, 2], dtype=pl.UInt32),
            "f": pl.Series([1, 2], dtype=pl.Float32),
            "s": ["a", "b"],
            "l": [[1.5], None],
            "r": [{"x": [True]}, {"x": None}],
            "d": pl.Series([1, 2], dtype=pl.Date),
            "z": [None, None],
        }
    )
    schema = from_polars(df).schema
    assert schema is not None
    assert {column.pop("name"): column for column in schema["mlflow_colspec"]} == {
        "i": {"type": "long", "required": False},
        "u": {"type": "long", "required": True},
        "f": {"type": "float", "required": True},
        "s": {"type": "string", "required": True},
        "l": {"type": "array", "items": {"type": "double"}, "required": False},
        "r": {
            "type": "object",
            "properties": {
                "x": {"type": "array", "items": {"type": "boolean"}, "required": True},
            },
            "required": True,
        },
        "d": {"type": "datetime", "required": True},
        "z": {"type": "any", "required": False},
    }
