"""PyTorch's models, saved here and in MLflow, loaded in both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris

from headrace import pytorch as door
from headrace.errors import InvalidRequest, NotTrusted
from headrace.models.loading import load_model, load_pyfunc, open_model
from headrace.models.model import Model
from headrace.models.schema import Schema, TensorSpec
from headrace.models.signature import ModelSignature

torch: Any = pytest.importorskip("torch")
mlflow = pytest.importorskip("mlflow")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:::torch"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore:::copyreg"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
IRIS = load_iris().data.astype(np.float32)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def iris_model() -> Any:
    """A small classifier with layers that act differently when they are trained."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 3),
        torch.nn.Softmax(dim=1),
    )


def expected(model: Any, data: Any = IRIS) -> Any:
    """What the model gives in evaluation mode."""
    was = model.training
    model.eval()
    with torch.no_grad():
        found = model(torch.as_tensor(data)).numpy()
    model.train(was)
    return found


class Words(torch.nn.Module):  # type: ignore[misc]  # torch is known here as Any
    """Takes two inputs by name, gives two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(20, 4)
        self.state = torch.nn.LSTM(4, 8, batch_first=True)

    def forward(self, ids: Any, weight: Any) -> dict[str, Any]:
        found, _ = self.state(self.words(ids))
        with torch.no_grad():
            scaled = found * weight.unsqueeze(-1)
        return {"mean": found.mean(dim=1), "weighted": scaled.sum(dim=1)}


class Branching(torch.nn.Module):  # type: ignore[misc]  # torch is known here as Any
    """What it calculates depends on numbers, so that it cannot be exported."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(x) if x.sum().item() > 0 else -self.layer(x)


def test_saved_here_with_an_example_loads_in_mlflow_and_here_without_trust(
    tmp_path: Path, stranger: Any
) -> None:
    model = iris_model()
    door.save_model(model, tmp_path / "m", input_example=IRIS[:5])
    assert model.training, "the model stays as it was"
    (tmp_path / "m" / "model.sig").unlink()

    assert (tmp_path / "m/data/model.pt2").is_file()
    wanted = expected(model)
    uri = str(tmp_path / "m")
    np.testing.assert_allclose(
        mlflow.pytorch.load_model(uri)(torch.as_tensor(IRIS)).detach(), wanted, atol=1e-6
    )
    np.testing.assert_allclose(mlflow.pyfunc.load_model(uri).predict(IRIS), wanted, atol=1e-6)
    for loaded in (load_model(uri), load_model(uri, "pytorch")):
        np.testing.assert_allclose(loaded(torch.as_tensor(IRIS)).detach(), wanted, atol=1e-6)
    np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), wanted, atol=1e-6)
    stranger(tmp_path / "m")
    np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), wanted, atol=1e-6)


def test_the_signature_and_the_example_are_those_of_mlflow(tmp_path: Path) -> None:
    model = iris_model()
    signature = mlflow.models.infer_signature(IRIS, expected(model))
    mlflow.pytorch.save_model(
        model.eval(),
        tmp_path / "theirs",
        input_example=IRIS[:5],
        signature=signature,
        pip_requirements=["torch"],
    )
    door.save_model(model, tmp_path / "ours", input_example=IRIS[:5])
    theirs, ours = Model.load(tmp_path / "theirs"), Model.load(tmp_path / "ours")
    assert ours.signature == theirs.signature
    assert ours.saved_input_example_info == theirs.saved_input_example_info
    for name in ("pytorch", "python_function"):
        assert ours.flavors[name].keys() == theirs.flavors[name].keys()
    assert ours.flavors["pytorch"] == theirs.flavors["pytorch"]
    requirements = (tmp_path / "ours/requirements.txt").read_text().splitlines()
    assert "torch==2.13.0" in requirements


def test_saved_in_mlflow_loads_here(tmp_path: Path, stranger: Any) -> None:
    model = iris_model().eval()
    mlflow.pytorch.save_model(
        model, tmp_path / "pt2", input_example=IRIS[:5], pip_requirements=["torch"]
    )
    np.testing.assert_allclose(
        load_pyfunc(tmp_path / "pt2").predict(IRIS), expected(model), atol=1e-6
    )
    mlflow.pytorch.save_model(
        model, tmp_path / "pth", serialization_format="pickle", pip_requirements=["torch"]
    )
    with pytest.raises(NotTrusted, match=r"data/model\.pth"):
        load_model(tmp_path / "pth")
    loaded = load_model(tmp_path / "pth", trust=True)
    assert isinstance(loaded, torch.nn.Sequential)
    assert not loaded.training
    np.testing.assert_allclose(expected(loaded), expected(model))
    frame = pd.DataFrame(IRIS, columns=NAMES, index=range(100, 250))
    found = load_pyfunc(tmp_path / "pth", trust=True).predict(frame)
    assert list(found.index) == list(frame.index)
    np.testing.assert_allclose(found, expected(model), atol=1e-6)


def test_a_model_without_an_example_is_pickled_and_is_itself_again(
    tmp_path: Path, stranger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = iris_model()
    with caplog.at_level("INFO", "headrace"):
        door.save_model(model, tmp_path / "m")
    assert "data/model.pth" in caplog.text
    uri = str(tmp_path / "m")
    loaded = door.load_model(uri)
    assert isinstance(loaded, torch.nn.Sequential)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    np.testing.assert_allclose(
        mlflow.pyfunc.load_model(uri).predict(IRIS), expected(model), atol=1e-6
    )
    stranger(tmp_path / "m")
    with pytest.raises(NotTrusted, match=r"data/model\.pth.*headrace trust add.*trust=True"):
        door.load_model(uri)
    assert isinstance(door.load_model(uri, trust=True), torch.nn.Sequential)


def test_a_model_that_cannot_be_exported_is_pickled_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Branching()
    door.save_model(model, tmp_path / "m", input_example=IRIS[:5])
    assert "cannot be exported" in caplog.text
    assert capsys.readouterr() == ("", "")  # no graphs, no tracebacks of PyTorch's
    assert (tmp_path / "m/data/model.pth").is_file()
    np.testing.assert_allclose(
        load_pyfunc(tmp_path / "m").predict(IRIS), expected(model), atol=1e-6
    )
    with pytest.raises(InvalidRequest, match="cannot be exported"):
        door.save_model(model, tmp_path / "n", input_example=IRIS[:5], serialization_format="pt2")
    assert not (tmp_path / "n").exists()


def test_sizes_that_the_signature_leaves_open_may_vary_even_with_an_example_of_one_row(
    tmp_path: Path,
) -> None:
    digits = load_digits().images.astype(np.float32)[:, None]
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding="same"),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    )
    door.save_model(model, tmp_path / "m", input_example=digits[:1])
    predict = load_pyfunc(tmp_path / "m").predict
    np.testing.assert_allclose(predict(digits[:50]), expected(model, digits[:50]), atol=1e-5)
    open_sizes = Schema([TensorSpec(np.dtype("float32"), (-1, 1, -1, -1))])
    door.save_model(
        model, tmp_path / "n", input_example=digits[:2], signature=ModelSignature(open_sizes)
    )
    larger = np.zeros((3, 1, 20, 12), np.float32)
    found = load_pyfunc(tmp_path / "n").predict(larger)
    np.testing.assert_allclose(found, expected(model, larger), atol=1e-5)


def test_a_dictionary_gives_inputs_by_their_names(tmp_path: Path) -> None:
    model = Words()
    data = {
        "ids": np.arange(12).reshape(3, 4) % 20,
        "weight": np.ones((3, 4), np.float32),
    }
    door.save_model(model, tmp_path / "m", input_example=data)
    assert (tmp_path / "m/data/model.pt2").is_file()
    (tmp_path / "m/model.sig").unlink()
    loaded = load_pyfunc(tmp_path / "m")
    assert loaded.signature is not None
    assert loaded.signature.inputs is not None
    assert loaded.signature.inputs.input_names() == ["ids", "weight"]
    more = {name: np.concatenate([value, value]) for name, value in data.items()}
    wanted = model(*(torch.as_tensor(each) for each in more.values()))
    found = loaded.predict(more)
    assert set(found) == {"mean", "weighted"}
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name].detach(), atol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        IRIS[:4],
        IRIS[:4].astype(np.float64),
        IRIS[:4].tolist(),
        torch.as_tensor(IRIS[:4]),
        pd.DataFrame(IRIS[:4], columns=NAMES),
        [torch.as_tensor(IRIS[:4])],
    ],
    ids=["array", "double", "list", "tensor", "table", "list of tensors"],
)
def test_a_model_without_a_signature_takes_data_of_all_kinds(tmp_path: Path, data: Any) -> None:
    model = iris_model()
    door.save_model(model, tmp_path / "m")
    np.testing.assert_allclose(
        load_pyfunc(tmp_path / "m").predict(data), expected(model, IRIS[:4]), atol=1e-6
    )


def test_a_table_as_example_is_exported_and_a_table_comes_back(tmp_path: Path) -> None:
    model = iris_model()
    frame = pd.DataFrame(IRIS.astype(np.float64), columns=NAMES)
    door.save_model(model, tmp_path / "m", input_example=frame[:3])
    assert (tmp_path / "m/data/model.pt2").is_file()
    for load in (load_pyfunc, mlflow.pyfunc.load_model):
        found = load(str(tmp_path / "m")).predict(frame)
        assert isinstance(found, pd.DataFrame)
        np.testing.assert_allclose(found, expected(model), atol=1e-6)


def test_torchscript_loads_in_both_and_needs_trust(tmp_path: Path, stranger: Any) -> None:
    model = torch.jit.script(iris_model().eval())
    door.save_model(model, tmp_path / "m", input_example=IRIS[:2])
    uri = str(tmp_path / "m")
    np.testing.assert_allclose(load_pyfunc(uri).predict(IRIS), expected(model), atol=1e-6)
    np.testing.assert_allclose(
        mlflow.pyfunc.load_model(uri).predict(IRIS), expected(model), atol=1e-6
    )
    assert isinstance(load_model(uri), torch.jit.ScriptModule)
    stranger(tmp_path / "m")
    with pytest.raises(NotTrusted, match=r"model\.pth"):
        load_model(uri)
    with pytest.raises(InvalidRequest, match="TorchScript"):
        door.save_model(model, tmp_path / "n", input_example=IRIS, serialization_format="pt2")


def test_an_exported_program_is_saved_as_it_is(tmp_path: Path) -> None:
    model = iris_model().eval()
    program = torch.export.export(
        model, (torch.as_tensor(IRIS[:5]),), dynamic_shapes=[{0: torch.export.Dim.AUTO}]
    )
    door.save_model(program, tmp_path / "m")
    np.testing.assert_allclose(
        load_pyfunc(tmp_path / "m").predict(IRIS), expected(model), atol=1e-6
    )


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    model = iris_model()
    with pytest.raises(InvalidRequest, match="state_dict"):
        door.save_model(model.state_dict(), tmp_path / "m")
    with pytest.raises(InvalidRequest, match=r"torch\.nn\.Module; this is a str"):
        door.save_model("model", tmp_path / "m")
    with pytest.raises(InvalidRequest, match="needs an input_example"):
        door.save_model(model, tmp_path / "m", serialization_format="pt2")
    with pytest.raises(InvalidRequest, match="expected 'pt2' or 'pickle'"):
        door.save_model(model, tmp_path / "m", serialization_format="onnx")  # type: ignore[arg-type]  # it is wrong
    assert list(tmp_path.iterdir()) == []
    door.save_model(model, tmp_path / "m", input_example=IRIS[:5])
    for device in ("cuda", "nowhere"):
        if device == "nowhere" or not torch.cuda.is_available():
            with pytest.raises(InvalidRequest, match=f"device '{device}'"):
                load_pyfunc(tmp_path / "m", {"device": device})
    with pytest.raises(InvalidRequest, match="does not take this input"):
        load_pyfunc(tmp_path / "m")._predictor.predict(IRIS[:, :3])


def test_weights_alone_are_a_state_dict(tmp_path: Path) -> None:
    model = iris_model()
    door.save_state_dict(model.state_dict(), tmp_path / "weights")
    for load in (door.load_state_dict, mlflow.pytorch.load_state_dict):
        found = load(str(tmp_path / "weights"))
        assert all(torch.equal(found[name], each) for name, each in model.state_dict().items())
    with pytest.raises(InvalidRequest, match="dictionary"):
        door.save_state_dict(model, tmp_path / "more")
    torch.save({"run": _Marker()}, tmp_path / "weights/state_dict.pth")
    with pytest.raises(InvalidRequest, match="trust=True"):
        door.load_state_dict(str(tmp_path / "weights"))
    assert _Marker.made == 0


class _Marker:
    made = 0

    def __reduce__(self) -> Any:
        return _mark, ()


def _mark() -> None:
    _Marker.made += 1


def test_the_facts_name_mlflows_loader(tmp_path: Path) -> None:
    door.save_model(iris_model(), tmp_path / "m", input_example=IRIS[:5])
    _, model = open_model(tmp_path / "m")
    assert model.flavors["python_function"]["loader_module"] == "mlflow.pytorch"
    assert model.flavors["python_function"]["config"] == {"device": None}
    assert os.listdir(tmp_path / "m/data") == ["model.pt2"]
