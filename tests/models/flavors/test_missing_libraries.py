"""A library that is not installed is named, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from headrace import keras, onnx, pytorch, tensorflow
from headrace.errors import InvalidRequest
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.model import Model

DOORS = {
    "pytorch": (pytorch, "torch", "pip install 'torch'"),
    "keras": (keras, "keras", "pip install 'keras'"),
    "tensorflow": (tensorflow, "keras", "pip install 'keras'"),
    "onnx": (onnx, "onnx", "pip install 'onnx onnxruntime'"),
}


@pytest.mark.parametrize("name", DOORS)
def test_the_command_that_installs_it_is_named(name: str, tmp_path: Path) -> None:
    door: ModuleType
    door, package, command = DOORS[name]
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(InvalidRequest, match=command):
        door.save_model(object(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    loader = {"loader_module": f"mlflow.{name}"}
    (tmp_path / "m").mkdir()
    Model(flavors={name: {"data": "data"}, "python_function": loader}).save(tmp_path / "m/MLmodel")
    for load in (load_model, load_pyfunc):
        with pytest.raises(InvalidRequest, match=command):
            load(tmp_path / "m")
