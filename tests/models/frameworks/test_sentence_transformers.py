"""Models of sentence-transformers, saved here and loaded by MLflow, and the other way round."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headrace.sentence_transformers as door
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavor import flavor_of
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import tiny_bert

sentence_transformers = pytest.importorskip("sentence_transformers")
pytestmark = [
    pytest.mark.heavy,
    # MLflow's own, and those of the libraries that it calls in an older way.
    pytest.mark.filterwarnings("ignore"),
]
TEXTS = ["hello world", "What is the capital of France?"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of four parts and random weights."""
    import torch
    from sentence_transformers import models

    torch.manual_seed(5)
    inner = models.Transformer(str(tiny_bert(tmp_path_factory.getbasetemp() / "tiny-BertModel")))
    dense = models.Dense(32, 8, activation_function=torch.nn.Tanh())
    parts = [inner, models.Pooling(32), dense, models.Normalize()]
    return sentence_transformers.SentenceTransformer(modules=parts, device="cpu")


@pytest.fixture
def saved(model: Any, tmp_path: Path) -> Path:
    door.save_model(model, tmp_path / "m")
    return tmp_path / "m"


def test_the_native_object_comes_back(model: Any, saved: Path) -> None:
    assert flavor_of(model).name == "sentence_transformers"
    found = door.load_model(str(saved))
    assert [type(part) for part in found] == [type(part) for part in model]
    np.testing.assert_array_equal(found.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("data", [TEXTS, TEXTS[0], pd.DataFrame({"text": TEXTS})])
def test_it_predicts_the_same_in_both_saved_by_both(
    model: Any, saved: Path, tmp_path: Path, data: Any
) -> None:
    mlflow_pyfunc = pytest.importorskip("mlflow.pyfunc")
    mlflow_flavor = pytest.importorskip("mlflow.sentence_transformers")
    mlflow_flavor.save_model(model, str(tmp_path / "t"), pip_requirements=["sentence-transformers"])
    expected = model.encode(TEXTS if not isinstance(data, str) else [data])
    for each in (saved, tmp_path / "t"):
        np.testing.assert_allclose(load_pyfunc(each).predict(data), expected, rtol=1e-6)
        theirs = mlflow_pyfunc.load_model(str(each)).predict(data)
        np.testing.assert_allclose(theirs, expected, rtol=1e-6)
    ours, theirs = (Model.load(each).to_dict() for each in (saved, tmp_path / "t"))
    for known in (ours, theirs):
        del known["utc_time_created"], known["model_uuid"], known["model_size_bytes"]
    assert ours == theirs


def test_embeddings_in_openai_s_shape(model: Any, tmp_path: Path) -> None:
    mlflow_pyfunc = pytest.importorskip("mlflow.pyfunc")
    door.save_model(model, tmp_path / "m", task="llm/v1/embeddings")
    request = {"input": TEXTS}
    ours = load_pyfunc(tmp_path / "m").predict(request)
    theirs = mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(request)
    assert ours["usage"] == theirs["usage"]
    for one, other in zip(ours["data"], theirs["data"], strict=True):
        assert one["index"] == other["index"]
        np.testing.assert_allclose(one["embedding"], other["embedding"], rtol=1e-6)
    json.dumps(ours)
    with pytest.raises(InvalidRequest, match="llm/v1/embeddings"):
        door.save_model(model, tmp_path / "other", task="llm/v1/chat")


def test_a_folder_is_taken_as_files(saved: Path, model: Any, tmp_path: Path) -> None:
    source = saved / "model.sentence_transformer"
    door.save_model(str(source), tmp_path / "again")
    found = tmp_path / "again" / "model.sentence_transformer"
    names = sorted(each.relative_to(source) for each in source.rglob("*") if each.is_file())
    assert names == sorted(each.relative_to(found) for each in found.rglob("*") if each.is_file())
    loaded = door.load_model(str(tmp_path / "again"))
    np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    with pytest.raises(InvalidRequest, match=r"modules\.json"):
        door.save_model(str(tmp_path), tmp_path / "none")


def test_how_it_predicts_is_kept(model: Any, tmp_path: Path) -> None:
    door.save_model(model, tmp_path / "m", inference_config={"convert_to_numpy": False})
    assert type(load_pyfunc(tmp_path / "m").predict(TEXTS)[0]).__name__ == "Tensor"


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize(
    ("attack", "file"),
    [
        ("class", "modules.json"),
        ("pickle", "pytorch_model.bin"),
        ("auto_map", "config.json"),
        ("activation", "2_Dense/config.json"),
        ("router", "router_config.json"),
    ],
)
def test_nothing_hostile_runs(saved: Path, tmp_path: Path, attack: str, file: str) -> None:
    marker = tmp_path / "code-has-run"
    data = saved / "model.sentence_transformer"
    code = f"open({str(marker)!r}, 'w')\nclass Own:\n    load = print\n"
    (data / "modeling_own.py").write_text(code)
    if attack == "class":
        modules = json.loads((data / "modules.json").read_text())
        modules[0]["type"] = "modeling_own.Own"
        (data / "modules.json").write_text(json.dumps(modules))
    elif attack == "pickle":
        (data / "model.safetensors").unlink()
        (data / "pytorch_model.bin").write_bytes(pickle.dumps(Marks(marker)))
    elif attack == "auto_map":
        config = json.loads((data / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "modeling_own.Own"}}
        (data / "config.json").write_text(json.dumps(config))
    elif attack == "activation":
        config = json.loads((data / "2_Dense" / "config.json").read_text())
        config["activation_function"] = "modeling_own.Own"
        (data / "2_Dense" / "config.json").write_text(json.dumps(config))
    else:
        (data / "router_config.json").write_text(json.dumps({"types": {"a": "modeling_own.Own"}}))
    if attack == "router":
        door.load_model(str(saved))  # the new file is not signed, so it is no part of the model
    else:
        with pytest.raises(InvalidModel):
            door.load_model(str(saved))
    (saved / SIGNATURE_FILE).unlink()
    with pytest.raises(NotTrusted, match=rf"{file}' is .*trust=True.*headrace trust"):
        door.load_model(str(saved))
    assert not marker.exists()


def test_code_of_its_own_runs_when_the_caller_says_so(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "code-has-run"
    data = saved / "model.sentence_transformer"
    (data / "modeling_own.py").write_text(
        "from sentence_transformers.models import Normalize\n"
        f"open({str(marker)!r}, 'w')\nclass Own(Normalize):\n    pass\n"
    )
    modules = json.loads((data / "modules.json").read_text())
    modules[3]["type"] = "modeling_own.Own"
    (data / "modules.json").write_text(json.dumps(modules))
    (saved / SIGNATURE_FILE).unlink()
    assert door.load_model(str(saved), trust=True).encode(TEXTS).shape == (2, 8)
    assert marker.exists()
