"""What an independent reviewer tried on model folders: nothing runs, nothing leads out of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.dummy import DummyClassifier

import headrace
from headrace.client.model_changes import set_signature
from headrace.client.model_requirements import update_model_requirements
from headrace.errors import HeadraceError, InvalidModel
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.signature import infer_signature
from headrace.models.trust import SIGNATURE_FILE, open_folder

MODEL = DummyClassifier().fit([[0.0], [1.0]], [0, 1])
DATA = [[0.0]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model that nobody has signed."""
    folder = tmp_path / "model"
    headrace.save_model(MODEL, folder, input_example=DATA)
    (folder / SIGNATURE_FILE).unlink()
    return folder


def _describe(folder: Path, change: Callable[[dict[Any, Any]], object]) -> None:
    file = folder / "MLmodel"
    described = yaml.safe_load(file.read_text())
    change(described)
    file.write_text(yaml.safe_dump(described))


@pytest.mark.parametrize("name", ["MLmodel", "model.skops"])
def test_a_file_swapped_between_two_readings_is_found_though_nobody_signed_it(
    saved: Path, name: str
) -> None:
    folder = open_folder(saved)
    judged = folder.read(name)
    (saved / name).write_bytes(judged + b" ")
    for use in (folder.read, folder.copy):
        with pytest.raises(InvalidModel, match="changed while"):
            use(name)


VALUES: list[Any] = [None, 1, 10**30, float("nan"), True, "", "../../x", b"x", [], [[[]]], {1: 2}]
PLACES: list[tuple[Any, ...]] = [
    ("flavors",),
    ("flavors", 3),
    ("flavors", "sklearn"),
    *(("flavors", "sklearn", key) for key in ("code", "pickled_model", "serialization_format")),
    *(("flavors", "python_function", key) for key in ("code", "config", "loader_module", "env")),
    *(("flavors", "python_function", key) for key in ("predict_fn", "model_path")),
    *((key,) for key in ("saved_input_example_info", "signature", "metadata", "model_id", 5)),
    ("saved_input_example_info", "artifact_path"),
    ("saved_input_example_info", "type"),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_description_of_any_kind_ends_in_a_clear_error(
    saved: Path, place: tuple[Any, ...]
) -> None:
    text = (saved / "MLmodel").read_text()
    for value in VALUES:

        def change(described: dict[Any, Any], value: Any = value) -> None:
            for key in place[:-1]:
                described = described[key]
            described[place[-1]] = value

        _describe(saved, change)
        for use in (_predicts, load_model, headrace.models.get_model_info):
            try:
                use(saved)
            except HeadraceError as error:
                assert str(error)  # noqa: PT017 - many of them are no error
        (saved / "MLmodel").write_text(text)


def _predicts(folder: Path) -> None:
    model = load_pyfunc(folder)
    repr(model)
    model.predict(DATA)
    assert model.input_example is not None or not model.metadata.saved_input_example_info


def _sets_signature(folder: Path) -> None:
    set_signature(folder, infer_signature(DATA))


def _adds_requirement(folder: Path) -> None:
    update_model_requirements(folder, "add", ["numpy"])


CHANGES = [(_sets_signature, "MLmodel"), (_adds_requirement, "requirements.txt")]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_changing_a_model_copies_nothing_from_elsewhere_into_it(
    saved: Path, tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    # A link in a shared folder to the user's own secret: its content would lie there afterwards.
    secret = tmp_path / "secret"
    secret.write_bytes((saved / name).read_bytes() + b"\n# the secret\n")
    (saved / name).unlink()
    (saved / name).symlink_to(secret)
    with pytest.raises(InvalidModel, match="symbolic link"):
        change(saved)
    assert (saved / name).is_symlink()


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_changing_a_model_writes_through_no_link(
    saved: Path, tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (saved / f".{name}.{os.getpid()}").symlink_to(victim)
    change(saved)
    assert victim.read_text() == "as it was"


def test_what_builds_packages_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.models.environment.uv_tool import uv_environment

    names = ["HEADRACE_SIGNING_KEY", "HEADRACE_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"]
    for name in names:
        monkeypatch.setenv(name, "the-secret")
    assert "the-secret" not in uv_environment().values()
