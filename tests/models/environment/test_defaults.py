"""What any model of a library needs."""

from __future__ import annotations

from importlib.metadata import version

import headrace
from headrace.models.environment import MLFLOW_REQUIREMENT
from headrace.models.environment.defaults import default_requirements

SKLEARN = f"scikit-learn=={version('scikit-learn')}"


def test_it_is_pinned_and_has_what_was_asked_for() -> None:
    found = headrace.sklearn.get_default_pip_requirements
    assert found() == [SKLEARN]
    assert found(include_skops=True) == [SKLEARN, f"skops=={version('skops')}"]
    assert found(include_cloudpickle=True)[0].startswith("cloudpickle==")


def test_what_is_not_installed_is_not_pinned() -> None:
    assert headrace.tensorflow.get_default_pip_requirements() == ["tensorflow"]


def test_a_module_that_another_package_brings_is_that_package() -> None:
    """As xgboost-cpu is xgboost, and onnxruntime-gpu onnxruntime."""
    assert default_requirements("yaml") == [f"pyyaml=={version('pyyaml')}"]


def test_the_conda_environment_has_mlflow() -> None:
    found = headrace.sklearn.get_default_conda_env()
    assert found["dependencies"][-1] == {"pip": [MLFLOW_REQUIREMENT, SKLEARN]}
    assert found["dependencies"][0].startswith("python=")
