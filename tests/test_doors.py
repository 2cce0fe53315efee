"""Every module that MLflow's users import by name is there without the library that it is for."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import headrace

LIBRARIES = (
    *("catboost", "keras", "lightgbm", "lightning", "numpy", "onnx", "onnxruntime"),
    *("onnxruntime_genai", "pandas", "polars", "pytorch_lightning", "scipy"),
    *("sentence_transformers", "skops", "sklearn", "statsmodels", "tensorflow", "torch"),
    *("transformers", "xgboost"),
)

PROGRAM = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LIBRARIES!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import headrace
doors = sys.argv[1:]
for door in doors:
    module = getattr(headrace, door)
    assert module is importlib.import_module(f"headrace.{{door}}"), door
    for name in getattr(module, "__all__", ()):
        getattr(module, name)
"""


def doors() -> list[str]:
    return sorted(name for name in headrace._DOORS)


def test_every_door_opens_without_its_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *doors()],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("door", ["catboost", "keras", "onnx", "pytorch", "xgboost"])
def test_a_door_says_what_is_missing(door: str, tmp_path: Path) -> None:
    """As far as these libraries are not among those that tests are run with."""
    if find_spec("torch" if door == "pytorch" else door) is not None:
        pytest.skip("its library is installed")
    with pytest.raises(headrace.HeadraceError, match="pip install"):
        getattr(headrace, door).save_model(object(), tmp_path / "m")
