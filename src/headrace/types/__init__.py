"""What MLflow's users import from `mlflow.types`: the types that a signature is made of."""

from __future__ import annotations

from headrace.models.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

__all__ = ["ColSpec", "DataType", "ParamSchema", "ParamSpec", "Schema", "TensorSpec"]
