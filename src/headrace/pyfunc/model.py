"""What MLflow's users import from `mlflow.pyfunc.model`."""

from __future__ import annotations

from headrace.models.python_model import PythonModel, PythonModelContext

__all__ = ["PythonModel", "PythonModelContext"]
