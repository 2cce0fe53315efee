"""The hostile corpus that the issue names, entry by entry: nothing of it runs without trust."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidModel, NotTrusted
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder
from tests.fixtures.tiny_language import tiny_phi3

pytest.importorskip("torch", reason="the environment of all libraries")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def _acts(marker: Path) -> bytes:
    return f"open({str(marker)!r}, 'w')\nfrom headrace.models import set_model\n".encode()


def _folder(
    folder: Path, files: dict[str, bytes], pyfunc: dict[str, Any], **flavors: dict[str, Any]
) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    Model(flavors={"python_function": pyfunc, **flavors}).save(folder / "MLmodel")


def a_pickle_under_any_name(folder: Path, marker: Path) -> None:
    facts = {"pickled_model": "weights.safetensors", "serialization_format": "pickle"}
    files = {"weights.safetensors": pickle.dumps(Marks(marker))}
    _folder(folder, files, {"loader_module": "mlflow.sklearn"}, sklearn=facts)


def a_loader_module_that_names_any_importable(folder: Path, _marker: Path) -> None:
    _folder(folder, {"data/x": b""}, {"loader_module": "antigravity", "data": "data"})


def a_shipped_module_that_acts_on_import(folder: Path, marker: Path) -> None:
    facts = {"loader_module": "shipped", "code": "code"}
    _folder(folder, {"code/shipped.py": _acts(marker)}, facts)


def a_shipped_module_beside_plain_data(folder: Path, marker: Path) -> None:
    # It has the name of one that the library imports while it loads what runs nothing.
    facts = {"data": "model.onnx", "code": "code"}
    files = {"code/onnxruntime.py": _acts(marker), "model.onnx": b""}
    _folder(folder, files, {"loader_module": "mlflow.onnx", **facts}, onnx=facts)


def models_from_code(folder: Path, marker: Path) -> None:
    loader = "mlflow.pyfunc.loaders.code_model"
    facts = {"loader_module": loader, "model_code_path": "model.py"}
    _folder(folder, {"model.py": _acts(marker)}, facts)


def a_torch_pth(folder: Path, marker: Path) -> None:
    import torch

    made = io.BytesIO()
    torch.save(Marks(marker), made)
    facts = {"loader_module": "mlflow.pytorch", "data": "data"}
    _folder(folder, {"data/model.pth": made.getvalue()}, facts, pytorch={"model_data": "data"})


def a_keras_lambda(folder: Path, marker: Path) -> None:
    import keras

    def act(x: Any) -> Any:
        open(str(marker), "w").close()
        return x

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Lambda(act)])
    marker.unlink()  # Keras called it to find the shape
    (folder / "data").mkdir(parents=True)
    model.save(folder / "data" / "model.keras")
    _folder(folder, {}, {"loader_module": "mlflow.keras"}, keras={"data": "data"})


def transformers_remote_code(folder: Path, marker: Path) -> None:
    import headrace.transformers as door

    source = str(tiny_phi3(folder.parent / "tiny-phi3"))
    door.save_model(source, folder, task="text-generation")
    (folder / "model" / "own.py").write_bytes(_acts(marker))
    config = folder / "model" / "config.json"
    changed = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    described = Model.load(folder)
    described.flavors["transformers"]["pipeline_model_type"] = "Own"
    described.save(folder / "MLmodel")


def skops_with_a_list_of_its_own(folder: Path, marker: Path) -> None:
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(print))) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema |= {"__module__": "os", "__class__": "system", "__loader__": "FunctionNode"}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    facts = {
        "pickled_model": "model.skops",
        "serialization_format": "skops",
        "skops_trusted_types": ["os.system", "posix.system"],
    }
    _folder(folder, {"model.skops": made.getvalue()}, {"loader_module": "x"}, sklearn=facts)


CORPUS: list[Callable[[Path, Path], None]] = [
    a_pickle_under_any_name,
    a_loader_module_that_names_any_importable,
    a_shipped_module_that_acts_on_import,
    a_shipped_module_beside_plain_data,
    models_from_code,
    a_torch_pth,
    a_keras_lambda,
    transformers_remote_code,
    skops_with_a_list_of_its_own,
]


@pytest.fixture(autouse=True)
def keras_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))


@pytest.mark.parametrize("manifest", ["deleted", "by a stranger"])
@pytest.mark.parametrize("made", CORPUS, ids=lambda made: made.__name__)
def test_nothing_of_the_corpus_runs(
    tmp_path: Path,
    made: Callable[[Path, Path], None],
    manifest: str,
    stranger: Callable[[Path], None],
) -> None:
    folder, marker = tmp_path / "model", tmp_path / "code-has-run"
    folder.mkdir()
    made(folder, marker)
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    if manifest != "deleted":
        stranger(folder)
    loads: list[Callable[[Path], Any]] = [load_model, load_pyfunc]
    if made is skops_with_a_list_of_its_own:
        loads = [load_model]  # its `python_function` names a module
    for load in loads:
        with pytest.raises(NotTrusted) as caught:
            load(folder)
        assert "trust=True" in str(caught.value)
        assert "headrace trust" in str(caught.value)
        assert not marker.exists()


@pytest.mark.parametrize("made", [a_pickle_under_any_name, a_torch_pth])
def test_a_file_swapped_after_the_check_does_not_run(
    tmp_path: Path, made: Callable[[Path, Path], None]
) -> None:
    folder, marker = tmp_path / "model", tmp_path / "code-has-run"
    folder.mkdir()
    made(folder, tmp_path / "harmless")
    assert sign_folder(folder)
    opened = open_folder(folder)  # all of it is right, and signed by a key that is trusted
    assert opened.is_trusted
    made(folder, marker)
    name = next(each for each in opened.names if each != "MLmodel")
    for use in (opened.code, opened.code_path):
        with pytest.raises(InvalidModel, match="changed"):
            use(name, "a pickle")
    assert not marker.exists()
