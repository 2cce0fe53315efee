"""What MLflow's users import from `mlflow.models.utils`."""

from __future__ import annotations

from headrace.models import also_here
from headrace.models.enforcement import validate_schema
from headrace.models.examples import convert_input_example_to_serving_input

__all__ = ["convert_input_example_to_serving_input", "validate_schema"]

__getattr__ = also_here("load_serving_example", "validate_serving_input")
