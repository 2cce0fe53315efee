"""Models of PyTorch, Keras and ONNX, logged and loaded by their URIs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import headrace
from headrace import keras as keras_door
from headrace import onnx as onnx_door
from headrace import pytorch as pytorch_door
from headrace.client.model_loading import load_pyfunc
from headrace.models.flavor import flavor_of

os.environ.setdefault("KERAS_BACKEND", "torch")
torch: Any = pytest.importorskip("torch")
keras: Any = pytest.importorskip("keras")
lightning: Any = pytest.importorskip("lightning")
skl2onnx = pytest.importorskip("skl2onnx")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
IRIS = load_iris().data.astype(np.float32)
ENVIRONMENT: dict[str, Any] = {"pip_requirements": ["numpy"]}


class Iris(lightning.LightningModule):  # type: ignore[misc]  # lightning is known here as Any
    """A module of Lightning's, as its users write them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, _index: int) -> Any:
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])


@pytest.fixture(autouse=True)
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database of the test's own."""
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/headrace.db")
    yield
    headrace.set_tracking_uri("")


def test_pytorch(tmp_path: Path) -> None:
    model = Iris()
    with headrace.start_run() as run:
        info = pytorch_door.log_model(
            model,
            name="iris",
            input_example=IRIS[:4],
            registered_model_name="iris",
            params={"layers": 1},
            **ENVIRONMENT,
        )
        pytorch_door.log_state_dict(model.state_dict(), "weights")
    headrace.flush()
    assert info.signature is not None
    wanted = model(torch.as_tensor(IRIS)).detach()
    for uri in (info.model_uri, "models:/iris/1", f"runs:/{run.info.run_id}/iris"):
        np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), wanted, atol=1e-6)
    loaded = pytorch_door.load_model(info.model_uri, device="cpu")
    np.testing.assert_allclose(loaded(torch.as_tensor(IRIS)).detach(), wanted, atol=1e-6)
    weights = pytorch_door.load_state_dict(f"runs:/{run.info.run_id}/weights")
    assert torch.equal(weights["layer.weight"], model.layer.weight)


def test_keras() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with headrace.start_run():
        info = keras_door.log_model(model, name="iris", input_example=IRIS[:4], **ENVIRONMENT)
    wanted = model.predict(IRIS, verbose=0)
    np.testing.assert_allclose(load_pyfunc(info.model_uri).predict(IRIS), wanted, atol=1e-6)
    assert isinstance(keras_door.load_model(info.model_uri), keras.Model)


def test_onnx_from_a_file(tmp_path: Path) -> None:
    fitted = LogisticRegression(max_iter=300).fit(IRIS, load_iris().target)
    made = skl2onnx.to_onnx(fitted, IRIS[:1], options={"zipmap": False})
    (tmp_path / "iris.onnx").write_bytes(made.SerializeToString())
    with headrace.start_run():
        info = onnx_door.log_model(
            tmp_path / "iris.onnx", name="iris", input_example=IRIS[:4], **ENVIRONMENT
        )
    found = load_pyfunc(info.model_uri).predict(IRIS)["probabilities"]
    np.testing.assert_allclose(found, fitted.predict_proba(IRIS), atol=1e-5)
    assert onnx_door.load_model(info.model_uri) == made


def test_each_model_finds_its_flavor() -> None:
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    graph = skl2onnx.to_onnx(LogisticRegression().fit(IRIS, load_iris().target), IRIS[:1])
    found = [flavor_of(each).name for each in (Iris(), torch.nn.Linear(1, 1), network, graph)]
    assert found == ["pytorch", "pytorch", "keras", "onnx"]
    assert flavor_of(keras.layers.Dense(3)).name not in ("keras", "pytorch"), "a layer is no model"
