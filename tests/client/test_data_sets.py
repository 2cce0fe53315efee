"""Data sets as inputs of runs: what is noted is what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.data import from_numpy, from_pandas, from_path, from_polars, get_source, read_profile


@pytest.mark.usefixtures("uri")
def test_inputs_come_back_as_they_were_noted(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.csv").write_text("1")
    given = [
        from_pandas(pd.DataFrame({"a": [1.0, None], "ü": ["x", "y"]}), name="pandas"),
        from_polars(pl.DataFrame({"a": [1, 2]}), name="polars", source="s3://bucket/a"),
        from_numpy(np.eye(2), targets=np.array([0, 1]), name="numpy"),
        from_path(tmp_path / "files"),
    ]
    with headrace.start_run() as run:
        for dataset in given:
            headrace.log_input(dataset, context="training")
    inputs = headrace.get_run(run.info.run_id).inputs.dataset_inputs
    noted = {entry.dataset.name: entry for entry in inputs}
    assert len(noted) == len(given)
    for dataset in given:
        entry = noted[dataset.name]
        assert {name: getattr(entry.dataset, name) for name in dataset.to_dict()} == {
            **dataset.to_dict(),
            "schema": dataset.to_dict()["schema"] or entry.dataset.schema,
        }
        assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]
        assert read_profile(entry) == read_profile(dataset)
        assert get_source(entry) == dataset.source
    baseline = read_profile(noted["pandas"]).column("a")
    assert (baseline.count, baseline.missing) == (1, 1)
