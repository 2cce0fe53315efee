"""Predicting with a model by its URI as `mlflow.models` does it, here and in an environment."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import headrace
from headrace.errors import InvalidRequest, NotFound, NotTrusted
from headrace.models.evaluation import MetricThreshold
from headrace.models.model import Model
from headrace.models.utils import load_serving_example
from headrace.predicting import write_answer

TABLE = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
FITTED = LinearRegression().fit(TABLE, [0.0, 2.0, 4.0, 6.0])
REQUEST = {"dataframe_split": {"columns": ["x"], "data": [[1.5], [2.0]]}}


@pytest.fixture(params=["folder", "logged"])
def model(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> str:
    """A model that doubles, with an example, by its URI."""
    if request.param == "logged":
        info = headrace.log_model(FITTED, name="doubles", input_example=TABLE.head(2))
        return str(info.model_uri)
    headrace.save_model(FITTED, tmp_path / "saved", input_example=TABLE.head(2))
    return str(tmp_path / "saved")


def rounded(text: str) -> list[float]:
    return [round(value, 6) for value in json.loads(text)["predictions"]]


def test_objects_and_files_are_predicted_for(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = headrace.models.predict
    rows = pd.DataFrame({"x": [1.5, 2.0]})
    (tmp_path / "rows.csv").write_text("x\n1.5\n2.0\n")
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    given: list[dict[str, Any]] = [
        {"input_data": rows},
        {"input_data": rows, "content_type": "csv"},
        {"input_data": "x\n1.5\n2.0\n", "content_type": "csv"},
        {"input_data": {"x": [1.5, 2.0]}, "content_type": "csv"},
        {"input_path": tmp_path / "rows.csv", "content_type": "csv"},
        {"input_path": str(tmp_path / "request.json")},
    ]
    for each in given:
        predict(model, env_manager="local", **each)
        assert rounded(capsys.readouterr().out) == [3.0, 4.0]
    predict(model, rows, env_manager="local", output_path=tmp_path / "answer.json")
    assert capsys.readouterr().out == ""
    assert rounded((tmp_path / "answer.json").read_text()) == [3.0, 4.0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "Give one of"),
        ({"input_data": TABLE, "input_path": "x"}, "Give one of"),
        ({"input_path": "no/such"}, "no/such"),
        ({"input_data": TABLE, "content_type": "xml"}, "xml"),
        ({"input_data": TABLE, "env_manager": "conda"}, "conda"),
        ({"input_data": 5, "content_type": "csv"}, "table"),
        ({"input_data": TABLE, "pip_requirements_override": ["six"]}, "pip_requirements_override"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    headrace.save_model(FITTED, tmp_path / "saved")
    with pytest.raises(InvalidRequest, match=said):
        headrace.models.predict(tmp_path / "saved", **{"env_manager": "local", **wrong})


def test_variables_reach_a_model_here_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "variable.py"
    script.write_text(
        "import os\nfrom headrace.models import set_model\n\n"
        "def variable(model_input):\n"
        "    return [os.environ.get('ADDED')] * len(model_input)\n\n"
        "set_model(variable)\n"
    )
    headrace.pyfunc.save_model(
        tmp_path / "saved", python_model=str(script), pip_requirements=["six"]
    )
    headrace.models.predict(
        tmp_path / "saved", TABLE.head(1), env_manager="local", extra_envs={"ADDED": "a=b"}
    )
    assert json.loads(capsys.readouterr().out) == {"predictions": ["a=b"]}
    assert "ADDED" not in os.environ


def test_a_request_is_tried(model: str) -> None:
    found = headrace.models.validate_serving_input(model, REQUEST)
    assert [round(value, 6) for value in found] == [3.0, 4.0]
    assert len(headrace.models.validate_serving_input(model, load_serving_example(model))) == 2
    with pytest.raises(InvalidRequest, match="'x'"):
        headrace.models.validate_serving_input(
            model, {"dataframe_split": {"columns": ["y"], "data": [[1]]}}
        )


def test_the_example_is_read_by_uri(model: str, tmp_path: Path) -> None:
    described = Model.load(model)
    assert described.load_input_example(model).equals(TABLE.head(2))
    assert described.load_input_example_params(model) is None
    assert json.loads(described.get_serving_input(model) or "") == {
        "dataframe_split": {"columns": ["x"], "data": [[0.0], [1.0]]}
    }
    headrace.save_model(FITTED, tmp_path / "bare")
    bare = Model.load(tmp_path / "bare")
    assert bare.load_input_example(tmp_path / "bare") is None
    assert bare.get_serving_input(tmp_path / "bare") is None
    with pytest.raises(NotFound, match="without an input example"):
        load_serving_example(tmp_path / "bare")


def test_a_logged_model_is_described_by_what_the_store_knows(uri: str) -> None:
    info = headrace.log_model(FITTED, name="doubles", params={"p": 1}, input_example=TABLE.head(2))
    found = headrace.models.get_model_info(info.model_uri)
    assert (found.name, found.params, found.model_uri) == ("doubles", {"p": "1"}, info.model_uri)
    described = Model.load(info.model_uri)
    assert described.load_input_example().equals(TABLE.head(2))
    assert described.get_model_info().model_uri == info.model_uri
    logged = headrace.get_logged_model(str(info.model_id))
    assert described.get_model_info(logged).name == "doubles"
    assert set(described.get_tags_dict()["flavors"]) == {"python_function", "sklearn"}
    assert MetricThreshold is headrace.models.MetricThreshold


def test_a_strangers_model_runs_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headrace.sklearn.save_model(FITTED, tmp_path / "saved", serialization_format="cloudpickle")
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "other"))
    with pytest.raises(NotTrusted):
        headrace.models.predict(tmp_path / "saved", TABLE, env_manager="local")
    with pytest.raises(NotTrusted):
        headrace.models.validate_serving_input(tmp_path / "saved", REQUEST)
    with pytest.raises(NotTrusted):
        headrace.models.predict(tmp_path / "saved", TABLE)
    assert len(headrace.models.validate_serving_input(tmp_path / "saved", REQUEST, trust=True)) == 2


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_it_predicts_in_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    headrace.save_model(FITTED, tmp_path / "saved", input_example=TABLE.head(2))
    headrace.models.predict(tmp_path / "saved", pd.DataFrame({"x": [1.5]}), extra_envs={"A": "1"})
    assert rounded(capsys.readouterr().out) == [3.0]
    with pytest.raises(InvalidRequest, match="'x'"):
        headrace.models.predict(tmp_path / "saved", pd.DataFrame({"other": [1.5]}))


def test_a_missing_folder_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there is no folder"):
        headrace.models.predict(
            tmp_path / "no model", [1], output_path=tmp_path / "missing" / "answer.json"
        )


def test_no_half_of_an_answer_is_left(tmp_path: Path) -> None:
    whole = tmp_path / "answer.json"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))  # as a full disk does
    try:
        with pytest.raises(OSError, match="too large"):
            write_answer(whole, b"x" * (1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not whole.exists()
    with pytest.raises(OSError, match="space"):
        write_answer(Path("/dev/full"), b"x")
    assert Path("/dev/full").exists()
    write_answer(Path("/dev/null"), b"x")
    write_answer(whole, b"x")
    assert whole.read_bytes() == b"x"
