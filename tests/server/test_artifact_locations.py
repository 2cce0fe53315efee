"""Files by what they belong to: runs, logged models, versions of registered models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from headrace.artifacts.local import LocalArtifactStore
from headrace.errors import InvalidRequest, NotFound
from headrace.protocol.artifacts import ListRunArtifacts
from headrace.protocol.experiments import CreateExperiment
from headrace.protocol.logged_models import CreateLoggedModel, ListLoggedModelArtifacts
from headrace.protocol.model_versions import CreateModelVersion
from headrace.protocol.registered_models import CreateRegisteredModel
from headrace.protocol.runs import CreateRun
from headrace.server.artifact_listing import list_logged_model_artifacts, list_run_artifacts
from headrace.server.artifact_locations import store_path
from headrace.server.artifacts import MAX_PAGE_UPLOAD
from headrace.store.base import Store
from headrace.store.sql.open import open_sql_store
from headrace.testing.artifact_store import put
from tests.server.artifact_server import ArtifactServer, serving

UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"


@dataclass
class Tracked:
    """A server, its store of runs, and the ids in it."""

    server: ArtifactServer
    store: Store
    artifacts: LocalArtifactStore
    run_id: str
    model_id: str
    elsewhere: str


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    store = open_sql_store(f"sqlite:///{folder}/headrace.db", "mlflow-artifacts:/")
    artifacts = LocalArtifactStore(folder / "root")
    run_id = store.runs.create(CreateRun(experiment_id="0")).run.info.run_id
    model = store.logged_models.create(CreateLoggedModel(experiment_id="0")).model.info
    put(artifacts, f"0/{run_id}/artifacts/sub/m.txt", b"of the run")
    put(artifacts, store_path(artifacts, f"{model.artifact_uri}/sub/MLmodel"), b"of the model")
    store.registered_models.create(CreateRegisteredModel(name="m"))
    source = f"models:/{model.model_id}"
    store.model_versions.create(
        CreateModelVersion(name="m", source=source, model_id=model.model_id)
    )
    far = CreateExperiment(name="far", artifact_location="s3://bucket/far")
    far_id = store.experiments.create(far).experiment_id
    elsewhere = store.runs.create(CreateRun(experiment_id=far_id)).run.info.run_id
    with serving(folder / "root", store) as server:
        yield Tracked(server, store, artifacts, run_id, model.model_id, elsewhere)
    store.close()


def test_the_file_of_a_run(tracked: Tracked) -> None:
    for name in ("run_id", "run_uuid"):
        answer = tracked.server.call(
            "GET", f"/get-artifact?{name}={tracked.run_id}&path=sub%2Fm.txt"
        )
        assert (answer.status, answer.body) == (200, b"of the run")
        assert answer.headers["content-disposition"] == 'attachment; filename="m.txt"'
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_file_of_a_logged_model_and_of_its_version(tracked: Tracked) -> None:
    files = f"/ajax-api/2.0/mlflow/logged-models/{tracked.model_id}/artifacts/files"
    answer = tracked.server.call("GET", f"{files}?artifact_file_path=sub/MLmodel")
    assert (answer.status, answer.body) == (200, b"of the model")
    version = tracked.server.call(
        "GET", "/model-versions/get-artifact?name=m&version=1&path=sub/MLmodel"
    )
    assert (version.status, version.body) == (200, b"of the model")


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "/etc/passwd", "a\\b", ".headrace/k", ""])
def test_unsafe_paths_in_queries(tracked: Tracked, path: str) -> None:
    text = quote(path, safe="")
    model = f"/ajax-api/2.0/mlflow/logged-models/{tracked.model_id}/artifacts/files"
    for url in (
        f"/get-artifact?run_id={tracked.run_id}&path={text}",
        f"/model-versions/get-artifact?name=m&version=1&path={text}",
        f"{model}?artifact_file_path={text}",
    ):
        answer = tracked.server.call("GET", url)
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "path" in answer.json["message"]
    answer = tracked.server.call("POST", f"{UPLOAD}?run_uuid={tracked.run_id}&path={text}", b"x")
    assert answer.status == 400


def test_what_is_missing(tracked: Tracked) -> None:
    for url in (
        f"/get-artifact?run_id={'0' * 32}&path=m.txt",
        f"/get-artifact?run_id={tracked.run_id}&path=nothing",
        "/model-versions/get-artifact?name=m&version=9&path=x",
        f"/ajax-api/2.0/mlflow/logged-models/m-{'0' * 32}/artifacts/files?artifact_file_path=x",
    ):
        assert tracked.server.call("GET", url).status == 404, url
    for url in ("/get-artifact?path=m.txt", "/model-versions/get-artifact?name=m&path=x"):
        assert tracked.server.call("GET", url).status == 400, url


def test_files_kept_elsewhere_are_not_fetched(tracked: Tracked) -> None:
    answer = tracked.server.call("GET", f"/get-artifact?run_id={tracked.elsewhere}&path=m.txt")
    assert answer.status == 400
    assert "s3://bucket/far" in answer.json["message"]
    with pytest.raises(InvalidRequest, match="not in this server's artifact root"):
        store_path(tracked.artifacts, "/etc")
    assert store_path(tracked.artifacts, f"file://{tracked.artifacts.root}/0/r") == "0/r"


def test_uploads_from_a_page(tracked: Tracked) -> None:
    url = f"{UPLOAD}?run_uuid={tracked.run_id}&path=page/notes.md"
    answer = tracked.server.call("POST", url, b"notes")
    assert (answer.status, answer.json) == (200, {})
    read = tracked.server.call("GET", f"/get-artifact?run_id={tracked.run_id}&path=page/notes.md")
    assert (read.body, read.headers["content-type"]) == (b"notes", "text/plain")
    exact = tracked.server.call("POST", url, bytes(MAX_PAGE_UPLOAD))
    assert exact.status == 200
    pieces = [bytes(1 << 20)] * 10 + [b"x"]
    for body in (b"".join(pieces), iter(pieces)):
        refused = tracked.server.call("POST", url, body)
        assert (refused.status, refused.json["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
    assert tracked.server.temporary_files() == []


def test_listings(tracked: Tracked) -> None:
    root = list_run_artifacts(
        tracked.store, tracked.artifacts, ListRunArtifacts(run_id=tracked.run_id)
    )
    assert root.root_uri == f"mlflow-artifacts:/0/{tracked.run_id}/artifacts"
    assert ("sub", True, None) in [(f.path, f.is_dir, f.file_size) for f in root.files]
    below = list_run_artifacts(
        tracked.store, tracked.artifacts, ListRunArtifacts(run_id=tracked.run_id, path="sub")
    )
    assert [(f.path, f.is_dir, f.file_size) for f in below.files] == [("sub/m.txt", False, 10)]
    of_model = list_logged_model_artifacts(
        tracked.store,
        tracked.artifacts,
        ListLoggedModelArtifacts(model_id=tracked.model_id, artifact_directory_path="sub/"),
    )
    assert [f.path for f in of_model.files] == ["sub/MLmodel"]
    with pytest.raises(NotFound):
        list_run_artifacts(tracked.store, tracked.artifacts, ListRunArtifacts(run_id="0" * 32))
    with pytest.raises(InvalidRequest):
        list_run_artifacts(
            tracked.store, tracked.artifacts, ListRunArtifacts(run_id=tracked.run_id, path="..")
        )
