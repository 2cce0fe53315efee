"""What a model needs to run: found when it is saved, made when it is to run.

`requirements_for` finds pinned requirements without loading the model, `write_environment` writes
them as MLflow does, `prepare` makes an environment of them with uv, kept by its content.
"""

from __future__ import annotations

from headrace.models.environment.files import write_environment
from headrace.models.environment.given import Requirements
from headrace.models.environment.pickles import modules_in_pickle
from headrace.models.environment.requirements import (
    MLFLOW_REQUIREMENT,
    requirements_for,
)

__all__ = [
    "MLFLOW_REQUIREMENT",
    "Requirements",
    "modules_in_pickle",
    "requirements_for",
    "write_environment",
]
