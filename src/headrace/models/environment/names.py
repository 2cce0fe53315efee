"""The names of the files about the environment, as MLflow has them."""

from __future__ import annotations

from typing import Final

REQUIREMENTS_FILE: Final = "requirements.txt"
CONSTRAINTS_FILE: Final = "constraints.txt"
CONDA_FILE: Final = "conda.yaml"
PYTHON_FILE: Final = "python_env.yaml"
SCRIPT_FOR_MLFLOW: Final = "genai_model.py"
"""The script by which MLflow loads a model for ONNX Runtime GenAI; nothing else runs it."""
