"""The names of the files about the environment, as MLflow has them."""

from __future__ import annotations

from typing import Final

REQUIREMENTS_FILE: Final = "requirements.txt"
CONSTRAINTS_FILE: Final = "constraints.txt"
CONDA_FILE: Final = "conda.yaml"
PYTHON_FILE: Final = "python_env.yaml"
