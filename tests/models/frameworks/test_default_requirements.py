"""What any model of a library needs, beside what MLflow says."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import headrace

mlflow = pytest.importorskip("mlflow")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
LIBRARIES = (
    *("catboost", "lightgbm", "onnx", "pyfunc", "pytorch", "sentence_transformers", "sklearn"),
    "statsmodels",
)
"""XGBoost is installed here under another name, `xgboost-cpu`; MLflow asks for `xgboost`."""


def both(name: str) -> tuple[Any, Any]:
    return getattr(headrace, name), importlib.import_module(f"mlflow.{name}")


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_requirements_are_mlflows(name: str) -> None:
    ours, theirs = both(name)
    found = ours.get_default_pip_requirements()
    assert sorted(found) == sorted(theirs.get_default_pip_requirements())


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_conda_environment_is_mlflows(name: str) -> None:
    found, expected = (each.get_default_conda_env() for each in both(name))
    assert found["name"] == expected["name"]
    assert found["channels"] == expected["channels"]
    assert found["dependencies"][:-1] == expected["dependencies"][:-1]
    assert sorted(found["dependencies"][-1]["pip"]) == sorted(expected["dependencies"][-1]["pip"])


@pytest.mark.parametrize("name", ["lightgbm", "sklearn"])
def test_the_forms_that_they_are_saved_in_need_more(name: str) -> None:
    ours, theirs = both(name)
    for given in ({"include_cloudpickle": True}, {"include_skops": True}):
        found = ours.get_default_pip_requirements(**given)
        assert sorted(found) == sorted(theirs.get_default_pip_requirements(**given))
