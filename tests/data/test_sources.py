"""Where data came from: written as MLflow writes it, and read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headrace import data
from headrace.data import from_numpy, from_pandas, from_polars, get_source
from headrace.errors import InvalidRequest
from headrace.protocol.datasets import Dataset, DatasetInput

DF = pd.DataFrame({"a": [1], "y": [2]})


@pytest.mark.parametrize(
    ("given", "kind", "written"),
    [
        ("data/train.csv", "local", {"uri": "data/train.csv"}),
        (Path("/data/train.csv"), "local", {"uri": "/data/train.csv"}),
        ("file:///data/a%20b", "local", {"uri": "file:///data/a%20b"}),
        ("C:\\data", "local", {"uri": "C:\\data"}),
        ("https://example.org/a", "http", {"url": "https://example.org/a"}),
        ("https://me:secret@e.org/a?sig=s", "http", {"url": "https://e.org/a?sig=HIDDEN"}),
        ("s3://bucket/a", "s3", {"uri": "s3://bucket/a"}),
        ("hf://datasets/a", "hf", {"uri": "hf://datasets/a"}),
    ],
)
def test_paths_and_uris(given: Any, kind: str, written: dict[str, str]) -> None:
    dataset = from_pandas(DF, source=given)
    fields = dataset.to_dict()
    assert (dataset.source_type, fields["source_type"]) == (kind, kind)
    assert json.loads(fields["source"]) == written
    noted = Dataset(**fields)
    assert get_source(noted) == get_source(DatasetInput(noted)) == dataset.source


def test_without_a_source_it_is_the_calling_code() -> None:
    for dataset in (from_pandas(DF), from_numpy([1, 2])):  # type: ignore[arg-type]  # read as one
        assert dataset.source_type == "code"
        assert dataset.source.to_dict()["tags"]["mlflow.source.name"] == __file__


@pytest.mark.parametrize("wrong", [3, "", ["a"], object()])
def test_other_sources_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="'source'"):
        from_pandas(DF, source=wrong)


def test_a_local_source_is_loaded_where_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "a b.csv"
    file.write_text("1")
    assert from_pandas(DF, source=file).source.load() == str(file)
    assert from_pandas(DF, source=file.as_uri()).source.load() == str(file)
    with pytest.raises(InvalidRequest, match="not on this machine"):
        from_pandas(DF, source=tmp_path / "gone").source.load()
    with pytest.raises(InvalidRequest, match="'s3' cannot be loaded"):
        from_pandas(DF, source="s3://a/b").source.load()


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        Dataset(name="a", digest="b", source="no json", source_type="http"),
        Dataset(name="a", digest="b", source="[]", source_type="http"),
    ],
)
def test_what_has_no_source_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest):
        get_source(wrong)


def test_what_a_data_set_is_made_of() -> None:
    dataset = from_pandas(DF, targets="y", predictions="a", name="train")
    assert (dataset.df is DF, dataset.targets, dataset.predictions) == (True, "y", "a")
    assert json.loads(dataset.to_json()) == dataset.to_dict()
    assert sorted(dataset.to_dict()) == sorted(
        ["name", "digest", "source", "source_type", "schema", "profile"]
    )
    assert from_pandas(DF).name == "dataset"
    assert from_pandas(DF, digest="mine").digest == "mine"


def test_mistakes_are_told() -> None:
    wrong: Any = [1, 2]
    with pytest.raises(InvalidRequest, match=r"'targets' is 'z'.*'a', 'y'"):
        from_pandas(DF, targets="z")
    with pytest.raises(InvalidRequest, match="'predictions'"):
        from_pandas(DF, predictions="z")
    with pytest.raises(InvalidRequest, match="expected a pandas DataFrame"):
        from_pandas(wrong)
    with pytest.raises(InvalidRequest, match="expected a Polars DataFrame"):
        from_polars(wrong)
    for nothing in (None, {}, "text", object()):
        given: Any = nothing
        with pytest.raises(InvalidRequest, match="'features'"):
            from_numpy(given)
    for name in (3, "", "x" * 501):
        other: Any = name
        with pytest.raises(InvalidRequest, match="name"):
            from_pandas(DF, name=other)


def test_what_we_leave_out_is_not_there() -> None:
    for name in ("load_delta", "from_spark", "from_tensorflow"):
        assert not hasattr(data, name)
    assert {*data.__all__} <= {*dir(data)}
    for name in data.__all__:
        if name != "from_huggingface":  # its library is not in every environment
            assert callable(getattr(data, name))


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    program = "import headrace.data, sys; dir(headrace.data); print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "pandas", "polars", "pyarrow", "datasets", "urllib3", "msgspec"}
    assert not heavy & set(done.stdout.split())
