"""What any model of a flavor needs, under MLflow's names: `get_default_pip_requirements`, and
`get_default_conda_env`.
"""

from __future__ import annotations

from typing import Any

from headrace.models.environment.files import conda_environment
from headrace.models.environment.requirements import MLFLOW_REQUIREMENT, requirements_for


def default_requirements(*packages: str) -> list[str]:
    """Requirements of these packages, pinned to what is installed, without MLflow's own line.

    One that is not installed stays without a version.
    """
    return requirements_for(packages)[1:]


def default_conda_env(requirements: list[str]) -> dict[str, Any]:
    """The conda environment of these requirements and of MLflow, as `conda.yaml` holds it."""
    return conda_environment([MLFLOW_REQUIREMENT, *requirements])
