"""What MLflow's users import from `mlflow.types.type_hints`."""

from __future__ import annotations

from headrace.models.type_hints import TypeFromExample

__all__ = ["TypeFromExample"]
