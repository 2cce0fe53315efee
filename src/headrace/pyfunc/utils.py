"""What MLflow's users import from `mlflow.pyfunc.utils`."""

from __future__ import annotations

from headrace.models.python_model import pyfunc

__all__ = ["pyfunc"]
