"""Keras models, saved here and in MLflow, loaded in both; hostile archives, which run nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from headrace import keras as door
from headrace import tensorflow as tensorflow_door
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavors.keras_archive import UnsafeArchive, check_archive
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.model import Model

os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = pytest.importorskip("keras")
mlflow = pytest.importorskip("mlflow")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
IRIS = load_iris().data.astype(np.float32)
TARGET = load_iris().target
SIGNATURE = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'


def iris_model(*extra: Any) -> Any:
    """A trained classifier of Keras's own layers, some of them made of functions."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2")(inputs)
    hidden = keras.layers.BatchNormalization()(keras.layers.Dropout(0.1)(hidden))
    hidden = hidden * 2.0 + keras.ops.mean(hidden, axis=-1, keepdims=True)
    for layer in extra:
        hidden = layer(hidden)
    outputs = keras.layers.Dense(3, activation=keras.activations.softmax)(hidden)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(IRIS, TARGET, epochs=1, verbose=0)
    return model


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):  # type: ignore[misc]  # keras is known here as Any
    """A class that is not Keras's own."""

    def call(self, x: Any) -> Any:
        return x * 2


def own_loss(wanted: Any, found: Any) -> Any:
    """A function that is not Keras's own."""
    return keras.ops.mean((wanted - found) ** 2)


def test_saved_here_loads_in_mlflow_and_here_without_trust(
    tmp_path: Path, stranger: Callable[[Path], None]
) -> None:
    model = iris_model()
    door.save_model(model, tmp_path / "m", input_example=IRIS[:3])
    wanted, uri = model.predict(IRIS, verbose=0), str(tmp_path / "m")
    np.testing.assert_allclose(mlflow.pyfunc.load_model(uri).predict(IRIS), wanted, atol=1e-6)
    native = mlflow.keras.load_model(uri)
    np.testing.assert_allclose(native.predict(IRIS, verbose=0), wanted, atol=1e-6)
    for change in (lambda folder: (folder / "model.sig").unlink(), stranger):
        change(tmp_path / "m")
        loaded = load_model(uri)
        assert isinstance(loaded, keras.Model)
        assert loaded.compiled
        np.testing.assert_allclose(loaded.predict(IRIS, verbose=0), wanted, atol=1e-6)
        np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), wanted, atol=1e-6)
    frame = pd.DataFrame(IRIS, index=range(10, 160))
    found = load_pyfunc(uri)._predictor.predict(frame)
    assert list(found.index) == list(frame.index)


def test_saved_in_mlflow_loads_here(tmp_path: Path) -> None:
    model = iris_model()
    signature = mlflow.models.infer_signature(IRIS, model.predict(IRIS, verbose=0))
    mlflow.keras.save_model(
        model, str(tmp_path / "theirs"), signature=signature, pip_requirements=["keras"]
    )
    wanted = model.predict(IRIS, verbose=0)
    np.testing.assert_allclose(load_pyfunc(tmp_path / "theirs").predict(IRIS), wanted, atol=1e-6)
    found = door.load_model(str(tmp_path / "theirs")).predict(IRIS, verbose=0)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    door.save_model(model, tmp_path / "ours", input_example=IRIS[:3])
    theirs, ours = Model.load(tmp_path / "theirs"), Model.load(tmp_path / "ours")
    assert ours.signature == theirs.signature
    assert {**ours.flavors["keras"], "code": 0} == {**theirs.flavors["keras"], "code": 0}
    files = {"data/model.keras", "data/keras_module.txt"}
    for folder in ("ours", "theirs"):
        assert all((tmp_path / folder / name).is_file() for name in files)
    requirements = (tmp_path / "ours/requirements.txt").read_text()
    assert "keras==" in requirements
    assert "torch==" in requirements


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    model = iris_model()
    model.save(tmp_path / "iris.keras")
    door.save_model(tmp_path / "iris.keras", tmp_path / "m", input_example=IRIS[:3])
    given = (tmp_path / "iris.keras").read_bytes()
    assert (tmp_path / "m/data/model.keras").read_bytes() == given
    np.testing.assert_allclose(
        load_pyfunc(tmp_path / "m").predict(IRIS), model.predict(IRIS, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "custom"),
    [
        (lambda: Doubled(), {"Doubled": Doubled}),  # noqa: PLW0108  (Doubled is of type Any)
        (lambda: keras.layers.Lambda(lambda x: x * 2, output_shape=(8,)), None),
    ],
    ids=["class", "lambda"],
)
def test_code_of_ones_own_needs_trust(
    tmp_path: Path,
    stranger: Callable[[Path], None],
    make: Callable[[], Any],
    custom: dict[str, Any] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = iris_model(make())
    with caplog.at_level("INFO", "headrace"):
        door.save_model(model, tmp_path / "m")
    assert "data/model.keras" in caplog.text
    wanted, uri = model.predict(IRIS, verbose=0), str(tmp_path / "m")
    np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), wanted, atol=1e-6)
    stranger(tmp_path / "m")
    with pytest.raises(NotTrusted, match=r"data/model\.keras.*headrace trust add.*trust=True"):
        load_model(uri)
    np.testing.assert_allclose(load_pyfunc(uri, trust=True).predict(IRIS), wanted, atol=1e-6)
    if custom:
        loaded = door.load_model(uri, custom_objects=custom)
        np.testing.assert_allclose(loaded.predict(IRIS, verbose=0), wanted, atol=1e-6)


def test_what_is_for_training_needs_no_trust_to_predict(
    tmp_path: Path, stranger: Callable[[Path], None]
) -> None:
    model = iris_model()
    model.compile("sgd", loss=own_loss)
    door.save_model(model, tmp_path / "m")
    stranger(tmp_path / "m")
    uri = str(tmp_path / "m")
    with pytest.raises(NotTrusted, match="own_loss"):
        door.load_model(uri)
    assert not door.load_model(uri, load_model_kwargs={"compile": False}).compiled
    assert door.load_model(uri, custom_objects={"own_loss": own_loss}).compiled
    assert load_pyfunc(uri).predict(IRIS).shape == (150, 3)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    model = iris_model()
    with pytest.raises(InvalidRequest, match="SavedModel of TensorFlow"):
        door.save_model(model, tmp_path / "m", save_exported_model=True)
    with pytest.raises(InvalidRequest, match=r"keras\.Model or the path"):
        door.save_model(model.layers[1], tmp_path / "m")
    with pytest.raises(InvalidRequest, match=r"no \.keras file"):
        door.save_model("model.h5", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    door.save_model(model, tmp_path / "m")
    with pytest.raises(InvalidRequest, match="does not take this input"):
        load_pyfunc(tmp_path / "m").predict(IRIS[:, :3])


def test_models_of_mlflows_flavor_tensorflow_load_where_keras_can(
    tmp_path: Path, stranger: Callable[[Path], None]
) -> None:
    model = iris_model()
    wanted = model.predict(IRIS, verbose=0)
    tensorflow_door.save_model(model, tmp_path / "keras", input_example=IRIS[:3])
    facts = Model.load(tmp_path / "keras").flavors
    assert facts["tensorflow"]["model_type"] == "keras"
    assert facts["python_function"]["loader_module"] == "mlflow.tensorflow"
    stranger(tmp_path / "keras")
    np.testing.assert_allclose(load_pyfunc(tmp_path / "keras").predict(IRIS), wanted, atol=1e-6)
    found = tensorflow_door.load_model(str(tmp_path / "keras"))
    np.testing.assert_allclose(found.predict(IRIS, verbose=0), wanted, atol=1e-6)
    # As TensorFlow before 2.16 saved it, in HDF5
    old = tmp_path / "keras"
    (old / "model.sig").unlink()
    (old / "data/model.keras").unlink()
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3)])
    wanted = model.predict(IRIS, verbose=0)
    model.save(old / "data/model.h5")
    with pytest.raises(NotTrusted, match=r"data/model\.h5"):
        tensorflow_door.load_model(str(old))
    found = load_pyfunc(old, trust=True).predict(IRIS)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    (old / "data/model.h5").unlink()
    (old / "data/model").mkdir()
    (old / "data/model/saved_model.pb").write_bytes(b"")
    with pytest.raises(InvalidRequest, match="SavedModel"):
        load_pyfunc(old, trust=True)


def crafted(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], *records: tuple[str, bytes]
) -> Path:
    """A model that MLflow saved, unsigned, whose config was changed by somebody."""
    folder = tmp_path / "m"
    mlflow.keras.save_model(iris_model(), str(folder), pip_requirements=["keras"])
    file = folder / "data/model.keras"
    made = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(made, "w") as target:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
        for name, content in records:
            target.writestr(name, content)
    file.write_bytes(made.getvalue())
    return folder


def a_layer(entry: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Puts an object in the place of a layer's activation."""
    return lambda config: config["config"]["layers"][1]["config"].update(activation=entry)


def calls(module: str, name: str, *args: str) -> dict[str, Any]:
    """CVE-2025-1550: a function of any module."""
    function = {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }
    layer = {"name": "x", "function": function, "arguments": {"args": list(args)}}
    return {"module": "keras.layers", "class_name": "Lambda", "config": layer}


HOSTILE: dict[str, dict[str, Any]] = {
    "any function": {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    },
    "any function in a Lambda": calls("os", "system", "touch marker"),
    "any class": {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["touch", "marker"]},
        "registered_name": "Popen",
    },
    "a function of Keras that fetches": {
        "module": "keras.utils",
        "class_name": "function",
        "config": "get_file",
        "registered_name": "get_file",
    },
    "turns safe mode off": {
        "module": "keras.config",
        "class_name": "function",
        "config": "enable_unsafe_deserialization",
        "registered_name": "enable_unsafe_deserialization",
    },
    "python code": {
        "class_name": "__lambda__",
        "config": {"value": ["4wEAAAA=", None, None]},
    },
    "a pickle of PyTorch": {
        "module": "keras.layers",
        "class_name": "TorchModuleWrapper",
        "config": {"module": {"class_name": "__bytes__", "config": {"value": "gASV"}}},
        "registered_name": None,
    },
    "a SavedModel": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"filepath": "https://example.com/model"},
        "registered_name": None,
    },
    "a registered class": {
        "module": None,
        "class_name": "Doubled",
        "config": {},
        "registered_name": "tests>Doubled",
    },
    "a registered class by a name of Keras's": {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {},
        "registered_name": "tests>Doubled",
    },
    "a file to read": {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"vocabulary": "/etc/passwd"},
        "registered_name": None,
    },
    "a config that turns safe mode off": {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"units": 1, "safe_mode": False},
        "registered_name": None,
    },
    "another package's": {
        "module": "keras_hub.models",
        "class_name": "Backbone",
        "config": {},
        "registered_name": None,
    },
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE)
def test_a_crafted_config_is_refused_before_keras_sees_it(
    tmp_path: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = crafted(tmp_path, a_layer(entry))
    seen: list[Any] = []
    monkeypatch.setattr(keras.saving, "load_model", lambda *_args, **_given: seen.append(1))
    monkeypatch.chdir(tmp_path)
    for load in (load_model, load_pyfunc):
        with pytest.raises(NotTrusted, match=r"data/model\.keras.*trust=True"):
            load(folder)
    assert not seen
    assert not (tmp_path / "marker").exists()


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a config."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


@pytest.mark.parametrize("key", ["module", "class_name", "registered_name"])
def test_no_object_anywhere_may_name_what_is_not_kerass(tmp_path: Path, key: str) -> None:
    iris_model().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    count = len(list(_objects(json.loads(records["config.json"]))))
    assert count > 20
    for position in range(count):
        config = json.loads(records["config.json"])
        entry = list(_objects(config))[position]
        if entry["class_name"].startswith("__") and key != "class_name":
            continue  # a plain value, of which Keras reads nothing else
        entry[key] = "os.path"
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as target:
            for name, content in {**records, "config.json": json.dumps(config).encode()}.items():
                target.writestr(name, content)
        with pytest.raises(UnsafeArchive, match=r"os\.path"):
            check_archive(made.getvalue())


@pytest.mark.parametrize(
    "record",
    [
        ("../../evil.py", b"x"),
        ("/tmp/evil.py", b"x"),
        ("assets/../../evil.py", b"x"),
        ("evil.py", b"x"),
        ("model.weights.npz", b"x"),
        ("config.json", b"{}"),
    ],
)
def test_records_that_are_no_part_of_a_model_are_refused(
    tmp_path: Path, record: tuple[str, bytes]
) -> None:
    folder = crafted(tmp_path, lambda _config: None, record)
    with pytest.raises(NotTrusted, match=r"data/model\.keras"):
        load_model(folder)
    assert not list(tmp_path.rglob("evil.py"))


def test_weights_that_lie_in_other_files_are_refused(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "secret").write_bytes(b"s" * 32)
    crafts: list[Callable[[Any], Any]] = [
        lambda file: file.create_dataset(
            "x", (8,), "f4", external=[(str(tmp_path / "secret"), 0, 32)]
        ),
        lambda file: file.__setitem__("x", h5py.ExternalLink(str(tmp_path / "secret"), "/")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/layers")),
    ]
    for craft in crafts:
        folder = tmp_path / "m"
        crafted(tmp_path, lambda _config: None)
        file = folder / "data/model.keras"
        with zipfile.ZipFile(file) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        weights = io.BytesIO(records["model.weights.h5"])
        with h5py.File(weights, "a") as opened:
            craft(opened)
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in {**records, "model.weights.h5": weights.getvalue()}.items():
                archive.writestr(name, content)
        with pytest.raises(NotTrusted, match="weights"):
            load_model(folder)
        for each in sorted(folder.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()


class _Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_pickle_by_the_name_of_a_model_is_not_run(tmp_path: Path, name: str) -> None:
    folder = crafted(tmp_path, lambda _config: None)
    (folder / "data/model.keras").unlink()
    (folder / "data" / name).write_bytes(pickle.dumps(_Marker(tmp_path / "marker")))
    with pytest.raises(NotTrusted, match=name):
        load_model(folder)
    with pytest.raises(InvalidRequest):
        load_model(folder, trust=True)
    (folder / "data" / name).unlink()
    with pytest.raises(InvalidModel, match=r"no file 'data/model\.keras'"):
        load_model(folder, trust=True)
    assert not (tmp_path / "marker").exists()
