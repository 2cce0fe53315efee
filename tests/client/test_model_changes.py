"""Changes to saved models: what is changed is signed anew, by whom may, and stays loadable."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier

import headrace
from headrace.client.model_loading import load_pyfunc, local_model
from headrace.errors import InvalidModel, InvalidRequest, NotFound, NotTrusted
from headrace.models.signature import ModelSignature, infer_signature
from headrace.models.trust import SIGNATURE_FILE, open_folder

MODEL = DummyClassifier().fit([[0.0], [1.0]], [0, 1])
OTHER = infer_signature([{"x": 1.5}], [1])


@pytest.fixture(params=["folder", "logged"])
def model(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> str:
    """A model that says what it takes, by its URI."""
    signature = infer_signature([{"y": "text"}], [1])
    if request.param == "logged":
        return str(headrace.log_model(MODEL, name="dummy", signature=signature).model_uri)
    headrace.save_model(MODEL, tmp_path / "saved", signature=signature)
    return str(tmp_path / "saved")


def test_a_signature_is_set(model: str) -> None:
    before = (local_model(model) / SIGNATURE_FILE).read_bytes()
    headrace.models.set_signature(model, OTHER)
    loaded = load_pyfunc(model)
    assert loaded.signature == OTHER
    assert loaded.predict([{"x": 1}]).shape == (1,)
    assert (local_model(model) / SIGNATURE_FILE).read_bytes() != before
    assert open_folder(local_model(model)).is_trusted


def test_what_stands_in_the_way_is_said(model: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="expected a ModelSignature"):
        headrace.models.set_signature(model, {"inputs": []})
    with pytest.raises(InvalidRequest, match="read-only"):
        headrace.models.set_signature("models:/name/1", OTHER)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="MLmodel"):
        headrace.models.set_signature(tmp_path / "empty", OTHER)


def test_nobody_vouches_for_a_strangers_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace.save_model(MODEL, tmp_path / "saved")
    before = (tmp_path / "saved" / "MLmodel").read_bytes()
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "other"))
    with pytest.raises(NotTrusted, match="trust add"):
        headrace.models.set_signature(tmp_path / "saved", OTHER)
    assert (tmp_path / "saved" / "MLmodel").read_bytes() == before
    headrace.models.set_signature(tmp_path / "saved", OTHER, trust=True)
    assert load_pyfunc(tmp_path / "saved").signature == OTHER


def test_a_changed_description_is_not_signed_over(tmp_path: Path) -> None:
    headrace.save_model(MODEL, tmp_path / "saved")
    with (tmp_path / "saved" / "MLmodel").open("a") as file:
        file.write("metadata: {hidden: change}\n")
    with pytest.raises(InvalidModel, match="changed since the model was signed"):
        headrace.models.set_signature(tmp_path / "saved", ModelSignature(OTHER.inputs))
