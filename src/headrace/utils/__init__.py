"""What MLflow's users import from `mlflow.utils`: the names of tags."""

from __future__ import annotations

from headrace.utils import mlflow_tags

__all__ = ["mlflow_tags"]
