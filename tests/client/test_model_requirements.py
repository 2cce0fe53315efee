"""What logged models need, changed where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

import headrace
from headrace.client.model_loading import local_model
from headrace.client.model_requirements import (
    get_model_dependencies,
    infer_pip_requirements,
    update_model_requirements,
)
from headrace.errors import InvalidModel, NotFound
from headrace.models.environment import Requirements, write_environment
from headrace.models.trust import open_folder, sign_folder

pytestmark = pytest.mark.usefixtures("uri")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A signed folder that says what it needs."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (folder / "weights.bin").write_bytes(b"1" * 1000)
    write_environment(folder, Requirements(pip_requirements=["six==1.17.0"]))
    sign_folder(folder)
    return folder


def logged(model: Path) -> list[str]:
    """The URIs by which the same files are found: a run's folder, a logged model, artifacts."""
    client = headrace.MlflowClient()
    with headrace.start_run() as run:
        headrace.log_artifacts(str(model), "classifier")
        artifacts = headrace.get_artifact_uri("classifier")
        made = headrace.initialize_logged_model("classifier-model")
    client.log_model_artifacts(made.model_id, str(model))
    return [f"runs:/{run.info.run_id}/classifier", f"models:/{made.model_id}", artifacts]


def test_where_the_files_lie(model: Path) -> None:
    for number, uri in enumerate(logged(model)):
        local_model(uri)  # a copy that is kept must not hide what changes
        update_model_requirements(uri, "add", [f"numpy==2.{number}.0"])

        fetched = local_model(uri)
        lines = (fetched / "requirements.txt").read_text(encoding="utf-8").splitlines()
        assert f"numpy==2.{number}.0" in lines
        assert Path(get_model_dependencies(uri)).read_text(encoding="utf-8").splitlines() == lines
        assert open_folder(fetched).is_trusted


def test_what_was_changed_on_the_server_is_not_signed(model: Path, tmp_path: Path) -> None:
    run_uri = logged(model)[0]
    (tmp_path / "requirements.txt").write_text("evil\n", encoding="utf-8")
    run_id = run_uri.split("/")[1]
    client = headrace.MlflowClient()
    client.log_artifact(run_id, str(tmp_path / "requirements.txt"), "classifier")

    with pytest.raises(InvalidModel, match=r"requirements\.txt"):
        update_model_requirements(run_uri, "remove", ["six"])


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound):
        update_model_requirements(f"models:/m-{'0' * 32}", "add", ["six"])


def test_what_is_found_in_a_model_that_is_not_there() -> None:
    uri = f"models:/m-{'0' * 32}"

    with pytest.raises(NotFound):
        infer_pip_requirements(uri, "sklearn")
    assert infer_pip_requirements(uri, "sklearn", fallback=["six"]) == ["six"]
