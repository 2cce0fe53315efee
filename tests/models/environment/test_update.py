"""Requirements of saved models, added and removed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import yaml

from headrace.client.model_requirements import get_model_dependencies, update_model_requirements
from headrace.errors import InvalidModel, InvalidRequest, NotFound, NotTrusted
from headrace.models.environment.update import changed
from headrace.models.trust import open_folder, sign_folder
from tests.models.environment.conftest import put


def lines_of(model: Path) -> list[str]:
    """The requirements, which both files must agree on."""
    text = (model / "requirements.txt").read_text(encoding="utf-8").splitlines()
    [pip] = [
        each["pip"]
        for each in yaml.safe_load((model / "conda.yaml").read_text())["dependencies"]
        if isinstance(each, dict)
    ]
    assert text == pip
    return text


@pytest.mark.parametrize(
    ("operation", "requirements", "expected"),
    [
        ("add", ["b==2"], ["a==1", "b==2", "--pre", "-c constraints.txt"]),
        ("add", ["c", "A>=1"], ["A>=1", "b[x]", "--pre", "c", "-c constraints.txt"]),
        ("remove", ["B==7"], ["a==1", "--pre", "-c constraints.txt"]),
        ("remove", ["a", "b"], ["--pre", "-c constraints.txt"]),
        ("remove", ["other"], ["a==1", "b[x]", "--pre", "-c constraints.txt"]),
    ],
)
def test_lists(operation: str, requirements: list[str], expected: list[str]) -> None:
    assert changed(["a==1", "b[x]", "--pre", "-c constraints.txt"], operation, requirements) == (
        expected
    )


def test_both_files_of_an_unsigned_model(model: Path) -> None:
    update_model_requirements(model, "add", ["numpy==2.1.0", "six==1.16.0"])
    assert lines_of(model) == ["mlflow==3.17.2", "six==1.16.0", "numpy==2.1.0"]

    update_model_requirements(str(model), "remove", ["six"])
    assert lines_of(model) == ["mlflow==3.17.2", "numpy==2.1.0"]
    assert not (model / "model.sig").exists()


def test_what_is_not_there_to_remove_is_said_once(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = lines_of(model)
    update_model_requirements(model, "remove", ["other"])
    assert lines_of(model) == before
    assert caplog.text.count("'other' is not among the requirements") == 1


def test_a_signed_model_is_signed_anew(model: Path) -> None:
    put(model, {"weights.bin": "1"})
    sign_folder(model)

    update_model_requirements(model, "add", ["numpy==2.1.0"])

    assert open_folder(model).is_trusted
    put(model, {"weights.bin": "2"})
    with pytest.raises(InvalidModel, match=r"weights\.bin"):
        open_folder(model)


def test_a_weight_changed_before_is_still_found(model: Path) -> None:
    put(model, {"weights.bin": "1"})
    sign_folder(model)
    put(model, {"weights.bin": "2"})

    update_model_requirements(model, "add", ["numpy==2.1.0"])

    with pytest.raises(InvalidModel, match=r"weights\.bin"):
        open_folder(model)


def test_requirements_changed_by_hand_are_not_signed(model: Path) -> None:
    sign_folder(model)
    put(model, {"requirements.txt": "evil\n"})

    with pytest.raises(InvalidModel, match=r"requirements\.txt"):
        update_model_requirements(model, "add", ["numpy"])


def test_a_strangers_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HEADRACE_KEYS", str(tmp_path / "strangers-keys"))
        sign_folder(model)

    with pytest.raises(NotTrusted, match="whom you do not trust"):
        update_model_requirements(model, "add", ["numpy"])

    update_model_requirements(model, "add", ["numpy"], trust=True)
    assert open_folder(model).is_trusted


@pytest.mark.parametrize(
    ("operation", "requirements", "message"),
    [
        ("change", ["a"], "expected 'add' or 'remove'"),
        ("add", [], "No requirements"),
        ("add", ["-i https://host.example"], "no requirement of a package"),
        ("add", ["a==b==c"], "is no requirement"),
        ("add", ["a==1", "a==2"], "exclude each other"),
        ("add", ["a @ https://me:hunter2@host.example"], "password"),
    ],
)
def test_what_is_refused(
    model: Path, operation: str, requirements: list[str], message: str
) -> None:
    before = lines_of(model)

    with pytest.raises(InvalidRequest, match=message):
        update_model_requirements(model, operation, requirements)

    assert lines_of(model) == before


def test_registered_versions_are_read_only() -> None:
    for uri in ("models:/churn/1", "models:/churn@champion"):
        with pytest.raises(InvalidRequest, match="read-only"):
            update_model_requirements(uri, "add", ["a"])


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing to change"):
        update_model_requirements(tmp_path, "add", ["a"])


def test_what_is_not_there_is_told(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace"):
        update_model_requirements(model, "remove", ["tomli"])

    assert "tomli" in caplog.text


def test_the_file_that_says_what_a_model_needs(model: Path, tmp_path: Path) -> None:
    assert get_model_dependencies(model) == str(model / "requirements.txt")
    assert get_model_dependencies(model, format="conda") == str(model / "conda.yaml")

    older = Path(shutil.copytree(model, tmp_path / "older"))
    (older / "requirements.txt").unlink()
    made = Path(get_model_dependencies(older))
    assert made.read_text() == "mlflow==3.17.2\nsix==1.17.0\n"

    (older / "conda.yaml").unlink()
    with pytest.raises(NotFound):
        get_model_dependencies(older)
    with pytest.raises(InvalidRequest, match="'format'"):
        get_model_dependencies(model, format="poetry")
