"""Data sets of Hugging Face, with the real library (in `.bench/frameworks`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

datasets: Any = pytest.importorskip("datasets", reason="runs in .bench/frameworks")

from headrace.data import from_huggingface, from_pandas, get_source, read_profile  # noqa: E402  (the library comes first)
from headrace.data.profile import CategoryProfile  # noqa: E402  (the library comes first)
from headrace.errors import InvalidRequest  # noqa: E402  (the library comes first)

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore::FutureWarning:pyarrow")]

datasets.disable_progress_bars()

NOON = dt.datetime.fromisoformat("2020-01-01T12:00")


def big() -> Any:
    rows = range(5000)
    return datasets.Dataset.from_dict(
        {
            "x": list(rows),
            "text": [f"number {row}" for row in rows],
            "pair": [[row, row + 1] for row in rows],
            "bytes": [b"x" * (row % 7) for row in rows],
        }
    )


def test_the_digest_is_of_the_rows_however_they_are_kept() -> None:
    whole = big()
    known = from_huggingface(whole).digest
    mixed = whole.shuffle(seed=1)
    assert from_huggingface(mixed).digest != known
    assert from_huggingface(mixed.sort("x")).digest == known
    assert from_huggingface(mixed.sort("x").flatten_indices()).digest == known
    parts = [whole.select(range(1234)), whole.select(range(1234, 5000))]
    assert from_huggingface(datasets.concatenate_datasets(parts)).digest == known
    assert from_huggingface(whole.with_format("numpy")).digest == known
    assert from_huggingface(whole.rename_column("x", "y")).digest != known
    assert from_huggingface(whole.select(range(4999))).digest != known


@pytest.mark.parametrize("column", ["x", "text", "pair", "bytes"])
def test_every_column_counts(column: str) -> None:
    rows = big().to_dict()
    rows[column][4321] = rows[column][4322]
    assert (
        from_huggingface(datasets.Dataset.from_dict(rows)).digest != from_huggingface(big()).digest
    )


def test_columns_of_every_kind() -> None:
    ds = datasets.Dataset.from_dict(
        {
            "label": [0, 1, None],
            "text": ["a", None, "ü"],
            "list": [[1.0, 2.0], [], None],
            "blob": [b"1", None, b"22"],
            "record": [{"x": 1}, {"x": None}, None],
            "time": [
                dt.datetime.fromisoformat("2020-01-01"),
                None,
                dt.datetime.fromisoformat("2021-01-01"),
            ],
            "nothing": [None, None, None],
            "number": [1.5, float("nan"), None],
        }
    ).cast_column("label", datasets.ClassLabel(names=["neg", "pos"]))
    dataset = from_huggingface(ds, targets="label", name="reviews")
    found = {each.name: each for each in read_profile(dataset).columns}
    assert {name: each.missing for name, each in found.items()} == {
        **dict.fromkeys(["label", "text", "list", "blob", "record", "time"], 1),
        "nothing": 3,
        "number": 2,
    }
    labels = found["label"]
    assert isinstance(labels, CategoryProfile)
    assert [(top.value, top.count) for top in labels.top] == [("neg", 1), ("pos", 1)]
    assert dataset.schema is not None
    assert {each["name"]: each["type"] for each in dataset.schema["mlflow_colspec"]} == {
        "label": "long",
        "text": "string",
        "list": "array",
        "blob": "binary",
        "record": "object",
        "time": "datetime",
        "nothing": "any",
        "number": "double",
    }
    assert dataset.profile["num_rows"] == 3
    assert "dataset_size" not in dataset.profile
    assert (dataset.targets, dataset.ds is ds, dataset.source_type) == ("label", True, "code")


def test_arrays_and_empty_data_sets() -> None:
    images = datasets.Dataset.from_dict(
        {"a": [[[1, 2], [3, 4]]] * 2},
        features=datasets.Features({"a": datasets.Array2D((2, 2), "int32")}),
    )
    dataset = from_huggingface(images)
    assert dataset.schema is not None
    items = dataset.schema["mlflow_colspec"][0]["items"]
    assert items == {"type": "array", "items": {"type": "integer"}}
    assert from_huggingface(big().select([])).profile["num_rows"] == 0
    assert from_huggingface(datasets.Dataset.from_dict({})).schema is None


def test_the_hub_is_the_source() -> None:
    dataset = from_huggingface(big(), path="me/numbers", revision="v1", data_files=["a", "b"])
    assert dataset.source.to_dict() == {
        "path": "me/numbers",
        "config_name": None,
        "data_dir": None,
        "data_files": ["a", "b"],
        "split": "None",
        "revision": "v1",
    }
    assert (dataset.source_type, get_source(dataset).path) == ("hugging_face", "me/numbers")


def test_a_source_wins_over_a_path(caplog: pytest.LogCaptureFixture) -> None:
    dataset = from_huggingface(big(), path="me/numbers", source="s3://a/b")
    assert dataset.source_type == "s3"
    assert "'path' is not used" in caplog.text


def test_a_source_can_be_loaded(tmp_path: Any) -> None:
    """A folder stands in for the hub: `load_dataset` takes either."""
    big().select_columns(["x", "text"]).to_csv(str(tmp_path / "data" / "train.csv"))
    loaded = datasets.load_dataset(str(tmp_path / "data"), split="train", cache_dir=str(tmp_path))
    dataset = from_huggingface(loaded, path=str(tmp_path / "data"))
    again = get_source(dataset).load(str(tmp_path))
    assert from_huggingface(again).digest == dataset.digest


def test_several_splits_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="one split"):
        from_huggingface(datasets.DatasetDict({"train": big()}))
    with pytest.raises(InvalidRequest, match="'targets'"):
        from_huggingface(big(), targets="y")


def test_pandas_on_arrow() -> None:
    import pandas as pd
    import pyarrow as pa

    def table(number: int) -> Any:
        values = {"a": [number, None], "b": ["x", None], "c": [[number], None]}
        types = {"a": pa.int64(), "b": pa.string(), "c": pa.list_(pa.int64())}
        columns = {
            name: pd.Series(values[name], dtype=pd.ArrowDtype(types[name])) for name in types
        }
        return pd.DataFrame(columns)

    dataset = from_pandas(table(1))
    assert dataset.digest == from_pandas(table(1)).digest != from_pandas(table(2)).digest
    assert [each.missing for each in read_profile(dataset).columns] == [1, 1, 1]
