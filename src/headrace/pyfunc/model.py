"""What MLflow's users import from `mlflow.pyfunc.model`."""

from __future__ import annotations

from typing import Any

from headrace.models.environment.defaults import default_conda_env, default_requirements
from headrace.models.python_model import PythonModel, PythonModelContext

__all__ = [
    "PythonModel",
    "PythonModelContext",
    "get_default_conda_env",
    "get_default_pip_requirements",
]


def get_default_pip_requirements() -> list[str]:
    """What any model written in Python needs, pinned to what is installed."""
    return default_requirements("cloudpickle")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
