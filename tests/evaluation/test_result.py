"""Results: saved and loaded, shown, and read from folders that mean no good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.errors import InvalidRequest
from headrace.evaluation.artifact import EvaluationArtifact
from headrace.evaluation.evaluate import evaluate
from headrace.evaluation.result import EvaluationResult


@pytest.fixture
def result(database: str) -> EvaluationResult:
    return evaluate(
        data=np.zeros((6, 1)),
        targets=["a", "b", "a", "b", "a", "a"],
        predictions=["a", "b", "b", "b", "a", "a"],
        model_type="classifier",
        slices=[{"name": "all", "where": np.ones(6, bool)}],
        thresholds={"accuracy_score": ">= 0.9"},
    )


def test_what_is_saved_is_loaded(result: EvaluationResult, tmp_path: Path) -> None:
    result.save(tmp_path / "kept")
    read = EvaluationResult.load(tmp_path / "kept")
    assert read.metrics == result.metrics
    assert read.slice_metrics == result.slice_metrics
    assert read.missing == result.missing
    assert read.verdict == result.verdict
    assert read.run_id == result.run_id
    assert {k: v.data for k, v in read.artifacts.items()} == {
        k: v.data for k, v in result.artifacts.items()
    }
    assert read.tables["per_class_metrics"].equals(result.tables["per_class_metrics"])
    assert repr(read) == repr(result)


def test_an_artifact_knows_where_it_is(result: EvaluationResult) -> None:
    from headrace.client.artifacts import download_artifacts

    file = result.artifacts["per_class_metrics"]
    local = download_artifacts(file.uri)
    assert Path(local).read_bytes() == file.data


@pytest.mark.parametrize(
    "uri", ["file:///etc/..", "x/..%2f..%2fsecret.txt", "", "a\\..\\b.txt", "x/link.txt"]
)
def test_no_name_leads_out_of_the_folder(uri: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "kept" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder.parent / "metrics.json").write_text("{}")
    facts = {"a": {"uri": uri, "class_name": "os.system"}}
    (folder.parent / "artifacts_metadata.json").write_text(json.dumps(facts))
    with pytest.raises(InvalidRequest):
        EvaluationResult.load(folder.parent)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", "{"),
        ("artifacts_metadata.json", "[1]"),
        ("artifacts_metadata.json", '{"a": {}}'),
        ("artifacts_metadata.json", '{"a": {"uri": "x/absent.csv"}}'),
        ("evaluation.json", '{"verdict": [{"strange": 1}]}'),
        ("evaluation.json", "[]"),
    ],
)
def test_a_folder_that_is_broken(
    name: str, text: str, result: EvaluationResult, tmp_path: Path
) -> None:
    result.save(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRequest):
        EvaluationResult.load(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no metrics\.json"):
        EvaluationResult.load(tmp_path / "none")


def test_pickles_are_never_opened() -> None:
    with pytest.raises(InvalidRequest, match="no kind that can be read"):
        _ = EvaluationArtifact("x/a.pickle", b"cos\nsystem\n(S'false'\ntR.").content
    objects: Any = np.array([object()])
    import io

    stream = io.BytesIO()
    np.save(stream, objects, allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        _ = EvaluationArtifact("x/a.npy", stream.getvalue()).content
