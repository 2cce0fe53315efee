"""Models, and requests for them good and bad, for comparing two servers of models.

A request is a name, a content type and a body.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"

_ECHO = """
import headrace.pyfunc
from headrace.models import set_model

class Echo(headrace.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input

set_model(Echo())
"""
_PARAMS = """
import headrace.pyfunc
from headrace.models import set_model

class Params(headrace.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [dict(params) for _ in range(len(model_input))]

set_model(Params())
"""
_HINTED = """
import headrace.pyfunc
from headrace.models import set_model

class Upper(headrace.pyfunc.PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]

set_model(Upper())
"""
_ROWS = """
import pydantic
import headrace.pyfunc
from headrace.models import set_model

class Row(pydantic.BaseModel):
    x: float
    label: str = "none"

class Rows(headrace.pyfunc.PythonModel):
    def predict(self, model_input: list[Row]) -> list[float]:
        return [row.x + len(row.label) for row in model_input]

set_model(Rows())
"""
_ANSWERS = """
import datetime
import numpy as np
import pandas as pd
import headrace.pyfunc
from headrace.models import set_model

KINDS = {
    "frame": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "times": lambda: pd.DataFrame({"t": pd.to_datetime(["2020-01-02T03:04:05", "2021-01-01"])}),
    "series": lambda: pd.Series([1.5, 2.5]),
    "named": lambda: pd.Series([1.5, 2.5], name="s"),
    "array": lambda: np.array([[1, 2], [3, 4]]),
    "floats": lambda: np.array([0.1, 1e300, -0.0, 1e-7], dtype="float64"),
    "float32": lambda: np.array([0.1], dtype="float32"),
    "infinite": lambda: np.array([np.inf, -np.inf]),
    "nan": lambda: np.array([np.nan, 1.0]),
    "text": lambda: "a text",
    "texts": lambda: np.array(["a", "\\u00e4"]),
    "list": lambda: [1, "a", None, True, [2.5]],
    "dict": lambda: {"a": np.array([1, 2]), "b": {"c": [np.float32(0.5)]}},
    "bytes": lambda: [b"ab"],
    "date": lambda: [datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4)],
    "number": lambda: np.int64(3),
    "none": lambda: None,
    "object": lambda: [object()],
    "raises": lambda: 1 // 0,
}

class Answers(headrace.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return KINDS[model_input["kind"].iloc[0]]()

set_model(Answers())
"""
KINDS = (
    "frame times series named array floats float32 infinite nan text texts list dict bytes date "
    "number none object raises"
).split()


def save_all(folder: Path) -> list[Path]:
    """Save every model; their folders."""
    from sklearn.linear_model import LinearRegression

    import headrace.pyfunc
    import headrace.sklearn
    from headrace.models.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from headrace.models.signature import ModelSignature, infer_signature

    table = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 2.5, 4.0]})
    linear = LinearRegression().fit(table, [1.0, 3.0, 6.0])
    headrace.sklearn.save_model(linear, folder / "linear", signature=infer_signature(table, [1.0]))

    def save(name: str, script: str, signature: Any = None) -> None:
        path = folder / f"{name}.py"
        path.write_text(script)
        headrace.pyfunc.save_model(
            folder / name,
            python_model=str(path),
            signature=signature,
            pip_requirements=["pandas"],
        )

    columns = Schema(
        [
            ColSpec("double", "d"),
            ColSpec("float", "f"),
            ColSpec("long", "l"),
            ColSpec("integer", "i"),
            ColSpec("boolean", "o"),
            ColSpec("string", "s"),
            ColSpec("binary", "b", required=False),
            ColSpec("datetime", "t", required=False),
        ]
    )
    save("columns", _ECHO, ModelSignature(columns))
    save("unsigned", _ECHO)
    params = ParamSchema(
        [
            ParamSpec("k", "long", 3),
            ParamSpec("t", "double", 0.5),
            ParamSpec("w", "string", ["a"], (-1,)),
        ]
    )
    save("params", _PARAMS, ModelSignature(Schema([ColSpec("double", "a")]), params=params))
    float32 = np.dtype("float32")
    save("tensor", _ECHO, ModelSignature(Schema([TensorSpec(float32, (-1, 2))])))
    named = [TensorSpec(np.dtype("int64"), (-1,), "x"), TensorSpec(float32, (-1, 2), "y")]
    save("tensors", _ECHO, ModelSignature(Schema(named)))
    save("hinted", _HINTED)
    save("rows", _ROWS)
    save("answers", _ANSWERS, ModelSignature(Schema([ColSpec("string", "kind")])))
    return sorted(each for each in folder.iterdir() if each.is_dir())


def _split(columns: list[str], *rows: list[Any], **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": [*rows], **more}}


_FULL = {
    "d": 1.5,
    "f": 0.5,
    "l": 2,
    "i": 3,
    "o": True,
    "s": "text",
    "b": "AP8=",
    "t": "2020-01-02T03:04:05",
}
_LEAST = {name: _FULL[name] for name in "dflios"}
_AB = ["a", "b"]

_REQUESTS: dict[str, dict[str, Any]] = {
    "linear": {
        "split": _split(_AB, [1.0, 2.0], [3.0, 4.0]),
        "split with an index": _split(_AB, [1.0, 2.0], index=[0]),
        "split with another index": _split(_AB, [1.0, 2.0], index=["k"]),
        "split in another order": _split(["b", "a"], [2.0, 1.0]),
        "split with a column more": _split([*_AB, "c"], [1.0, 2.0, 3.0]),
        "whole numbers": _split(_AB, [1, 2]),
        "records": {"dataframe_records": [{"a": 1.0, "b": 2.0}]},
        "instances": {"instances": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]},
        "inputs by column": {"inputs": {"a": [1.0], "b": [2.0]}},
        "inputs by row": {"inputs": [{"a": 1.0, "b": 2.0}]},
        "inputs of one row": {"inputs": {"a": 1.0, "b": 2.0}},
        "empty params": {**_split(_AB, [1.0, 2.0]), "params": {}},
        "a param that is not known": {**_split(_AB, [1.0, 2.0]), "params": {"x": 1}},
        "no params": {**_split(_AB, [1.0, 2.0]), "params": None},
        "a column less": _split(["a"], [1.0]),
        "a text for a number": _split(_AB, ["x", 1.0]),
        "no rows": _split(_AB),
        "ragged": _split(_AB, [1.0], [1.0, 2.0]),
        "null": _split(_AB, [None, 1.0]),
        "two formats": {**_split(_AB, [1.0, 2.0]), "inputs": []},
        "no format": {"a": [1.0]},
        "a key beside it": {**_split(_AB, [1.0, 2.0]), "x": 1},
        "split that is a list": {"dataframe_split": [[1.0, 2.0]]},
        "split without data": {"dataframe_split": {"columns": _AB}},
        "split with a key more": _split(_AB, [1.0, 2.0], more=1),
        "records that are no list": {"dataframe_records": {"a": 1.0}},
        "an old index": _split(_AB, [1.0, 2.0], index=[0, 1]),
        "instances of several lengths": {"instances": {"a": [1.0], "b": [1.0, 2.0]}},
        "signature_name": {"inputs": {"a": [1.0], "b": [2.0]}, "signature_name": "x"},
        "a list": [1],
        "a number": 1,
    },
    "columns": {
        "records": {"dataframe_records": [_FULL, {**_FULL, "d": 2, "s": "ä"}]},
        "split": _split([*_FULL], [*_FULL.values()]),
        "instances": {"instances": [_FULL]},
        "inputs by column": {"inputs": {name: [value] for name, value in _LEAST.items()}},
        "without optional ones": {"dataframe_records": [_LEAST]},
        "a fraction for an integer": {"dataframe_records": [{**_FULL, "l": 1.5}]},
        "a whole float for an integer": {"dataframe_records": [{**_FULL, "l": 2.0}]},
        "a number for a truth value": {"dataframe_records": [{**_FULL, "o": 1}]},
        "a number for a text": {"dataframe_records": [{**_FULL, "s": 1}]},
        "no time": {"dataframe_records": [{**_FULL, "t": "noon"}]},
        "too large for 32 bits": {"dataframe_records": [{**_FULL, "i": 2**31}]},
    },
    "unsigned": {
        "split": _split(_AB, [1, "x"]),
        "records": {"dataframe_records": [{"a": 1, "b": 2.5}]},
        "inputs": {"inputs": [[1, 2], [3, 4]]},
        "inputs of texts": {"inputs": ["a", "b"]},
        "inputs by name": {"inputs": {"a": [1, 2], "b": [[0.5], [1.5]]}},
        "instances": {"instances": [[1, 2], [3, 4]]},
        "a text": {"inputs": "a"},
        "messages": {"messages": [{"role": "user", "content": "hi"}], "temperature": 0.5},
        "prompt": {"prompt": "hi"},
        "input": {"input": ["hi"]},
    },
    "params": {
        "defaults": _split(["a"], [1.0]),
        "one": {**_split(["a"], [1.0]), "params": {"k": 5}},
        "all": {**_split(["a"], [1.0]), "params": {"k": 5, "t": 1, "w": ["b", "c"]}},
        "of the wrong type": {**_split(["a"], [1.0]), "params": {"k": "x"}},
        "a list for a number": {**_split(["a"], [1.0]), "params": {"k": [1]}},
        "a number for a list": {**_split(["a"], [1.0]), "params": {"w": "b"}},
        "that are a list": {**_split(["a"], [1.0]), "params": [1]},
        "not known": {**_split(["a"], [1.0]), "params": {"z": 1}},
    },
    "tensor": {
        "inputs": {"inputs": [[1.5, 2], [3, 4]]},
        "instances": {"instances": [[1.5, 2]]},
        "of another width": {"inputs": [[1, 2, 3]]},
        "ragged": {"inputs": [[1, 2], [3]]},
        "of texts": {"inputs": [["a", "b"]]},
        "split": _split(_AB, [1.5, 2.5]),
    },
    "tensors": {
        "inputs": {"inputs": {"x": [1, 2], "y": [[1, 2], [3, 4]]}},
        "instances": {"instances": [{"x": 1, "y": [1, 2]}]},
        "one less": {"inputs": {"x": [1]}},
        "of several lengths": {"instances": {"x": [1], "y": [[1, 2], [3, 4]]}},
    },
    "hinted": {
        "inputs": {"inputs": ["a", "b"]},
        "split": _split(["a"], ["x"]),
        "numbers": {"inputs": [1]},
        "a text": {"inputs": "a"},
    },
    "rows": {
        "inputs": {"inputs": [{"x": 1.5}, {"x": 2, "label": "four"}]},
        "without what is needed": {"inputs": [{"label": "a"}]},
    },
    "answers": {kind: _split(["kind"], [kind]) for kind in KINDS},
}
_BODIES: list[tuple[str, str, str, bytes]] = [
    ("linear", "csv", CSV, b"a,b\n1.0,2.0\n3.5,4\n"),
    ("linear", "csv with utf-8", f"{CSV}; charset=utf-8", b"a,b\n1.0,2.0\n"),
    ("linear", "csv without a column", CSV, b"a\n1.0\n"),
    ("linear", "csv of texts", CSV, b"a,b\nx,y\n"),
    ("linear", "empty csv", CSV, b""),
    ("linear", "csv that is no utf-8", CSV, b"a,b\n\xff,1\n"),
    ("columns", "csv", CSV, b"d,f,l,i,o,s\n1.5,0.5,2,3,True,x\n"),
    ("unsigned", "csv", CSV, b"a,b\n1,x\n"),
    ("linear", "json in latin-1", f"{JSON}; charset=latin-1", b"{}"),
    ("linear", "an unknown parameter", f"{JSON}; version=1", b"{}"),
    (
        "linear",
        "json with utf-8",
        f"{JSON}; charset=UTF-8",
        json.dumps(_split(_AB, [1, 2])).encode(),
    ),
    ("linear", "plain text", "text/plain", b"{}"),
    ("linear", "no parquet", PARQUET, b"PAR1"),
    ("linear", "no json", JSON, b"{"),
    ("linear", "no utf-8", JSON, b'{"inputs": "\xff"}'),
    ("linear", "nothing", JSON, b""),
    ("unsigned", "nan", JSON, b'{"inputs": [NaN, 1]}'),
]


def requests() -> list[tuple[str, str, str, bytes]]:
    """Every request: its model, its name, its content type, its body."""
    found = [
        (model, name, JSON, json.dumps(body).encode())
        for model, bodies in _REQUESTS.items()
        for name, body in bodies.items()
    ]
    return [*found, *_BODIES]
