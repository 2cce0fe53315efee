"""Logging models and loading them by URI: states, links, mistakes, downloads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import headrace
from headrace.client import model_cache
from headrace.client.model_loading import load_model, load_pyfunc, local_model
from headrace.errors import HeadraceError, InvalidModel, InvalidRequest, NotFound, Unavailable
from headrace.models.signature import infer_signature
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.servers import ServerLauncher

X, y = load_iris(return_X_y=True, as_frame=True)
MODEL = LogisticRegression(max_iter=500).fit(X, y)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def log(**given: Any) -> Any:
    return headrace.sklearn.log_model(MODEL, **{"name": "iris", **given})


def models() -> list[Any]:
    return headrace.search_logged_models(output_format="list")


class TestLogging:
    def test_a_model_is_ready_linked_and_loads_by_every_uri(self, uri: str) -> None:
        with headrace.start_run() as run:
            headrace.log_param("C", 1.0)
            headrace.log_metric("accuracy", 0.9)
            headrace.log_metric("loss", 0.5, step=3)
            info = log(registered_model_name=f"m-{run.info.run_id}", params={"kind": "linear"})
        found = headrace.get_logged_model(info.model_id)
        assert found.status == "READY"
        assert found.params == {"C": "1.0", "kind": "linear"}
        assert [(metric.key, metric.value) for metric in found.metrics] == [("accuracy", 0.9)]
        outputs = headrace.get_run(run.info.run_id).outputs.model_outputs
        assert [output.model_id for output in outputs] == [info.model_id]
        name = f"m-{run.info.run_id}"
        headrace.MlflowClient().set_registered_model_alias(name, "best", "1")
        for each in (
            info.model_uri,
            f"runs:/{run.info.run_id}/iris",
            f"models:/{name}/1",
            f"models:/{name}@best",
            f"models:/{name}/latest",
            found.artifact_location,
            str(local_model(info.model_uri)),
        ):
            assert np.array_equal(load_pyfunc(each).predict(X), MODEL.predict(X)), each
            assert load_model(each).C == MODEL.C

    def test_metrics_of_another_step_are_linked_when_it_is_named(self, database: str) -> None:
        with headrace.start_run():
            for step in range(4):
                headrace.log_metric("loss", 1.0 / (step + 1), step=step)
            first, last = log(step=1), log(step=3)
        values = [headrace.get_logged_model(i.model_id).metrics[0].value for i in (first, last)]
        assert values == [0.5, 0.25]

    def test_without_a_run(self, uri: str) -> None:
        info = log()
        found = headrace.get_logged_model(info.model_id)
        assert found.status == "READY"
        assert not found.source_run_id
        assert headrace.active_run() is None
        assert np.array_equal(load_pyfunc(info.model_uri).predict(X), MODEL.predict(X))

    def test_the_description_says_where_it_is_from(self, uri: str) -> None:
        with headrace.start_run() as run:
            info = log(input_example=X.head(2), metadata={"owner": "me"})
        again = headrace.models.get_model_info(info.model_uri)
        assert again.model_id == again.model_uuid == info.model_id
        assert again.run_id == run.info.run_id
        assert again.metadata == {"owner": "me"}
        assert again.artifact_path == headrace.get_logged_model(info.model_id).artifact_location
        assert again.signature == info.signature
        assert again.saved_input_example_info == info.saved_input_example_info

    def test_name_and_its_older_word(self, database: str) -> None:
        assert log(name=None, artifact_path="old").name == "old"
        assert log(artifact_path="iris").name == "iris"
        with pytest.raises(InvalidRequest, match="'artifact_path', the older word"):
            log(artifact_path="other")

    def test_a_logged_model_that_is_there_already_is_filled(self, database: str) -> None:
        made = headrace.initialize_logged_model("iris")
        info = log(model_id=made.model_id)
        assert info.model_id == made.model_id
        assert headrace.get_logged_model(made.model_id).status == "READY"


class TestMistakes:
    def test_what_is_wrong_from_the_start_leaves_no_model(self, database: str) -> None:
        wrong = infer_signature(X.rename(columns={X.columns[0]: "other"}))
        for given, said in (
            ({"code_paths": ["nowhere.py"]}, "nowhere.py"),
            ({"extra_files": ["nowhere.txt"]}, "nowhere.txt"),
            ({"signature": wrong, "input_example": X.head(2)}, "other"),
            ({"pip_requirements": ["a"], "extra_pip_requirements": ["b"]}, "pip_requirements"),
            ({"none_such": 1}, "none_such"),
            ({"name": "a/b"}, "name"),
            ({"metadata": "text"}, "metadata"),
            ({"registered_model_name": "a/b"}, "registered_model_name"),
            ({"registered_model_name": ""}, "registered_model_name"),
            ({"code_paths": "nowhere.py"}, r"code_paths=\['nowhere.py'\]"),
            ({"signature": X}, "'signature' is a DataFrame"),
            ({"input_exmaple": X}, "'input_example' is meant"),
            ({"pip_requirement": "a"}, "'pip_requirements' is meant"),
        ):
            with pytest.raises(InvalidRequest, match=said):
                log(**given)
        assert models() == []

    def test_saving_that_fails_leaves_a_failed_model(self, uri: str) -> None:
        with pytest.raises(InvalidRequest, match="cannot be written"):
            log(metadata={"what": object()})
        assert [model.status for model in models()] == ["FAILED"]

    def test_sending_that_fails_leaves_a_failed_model(self, database: str, tmp_path: Path) -> None:
        blocked = tmp_path / "headrace-artifacts"
        made = headrace.initialize_logged_model("iris")
        place = Path(made.artifact_location)
        assert place.is_relative_to(blocked)
        place.parent.mkdir(parents=True)
        place.write_text("a file where the folder is to be")
        with pytest.raises(HeadraceError):
            log(model_id=made.model_id)
        assert headrace.get_logged_model(made.model_id).status == "FAILED"

    def test_a_missing_library_is_named_with_its_command(self, database: str) -> None:
        with pytest.raises(InvalidRequest, match=r"catboost.*pip install"):
            headrace.log_model(object(), "catboost", name="cat")
        assert models() == []

    def test_uris_that_lead_nowhere(self, uri: str) -> None:
        with headrace.start_run() as run:
            pass
        for each in ("models:/none/1", "models:/none@such", f"runs:/{run.info.run_id}/none"):
            with pytest.raises(HeadraceError, match="none"):
                load_pyfunc(each)
        with pytest.raises(NotFound, match="MLmodel"):
            load_pyfunc(".")
        with pytest.raises(InvalidRequest, match="'models:' is meant"):
            load_pyfunc("model:/iris/1")
        with pytest.raises(InvalidRequest, match="this LogisticRegression"):
            load_pyfunc(MODEL)

    def test_a_server_that_is_away_is_told_with_what_to_do(self, free_port: int) -> None:
        headrace.set_tracking_uri(f"http://127.0.0.1:{free_port}")
        with headrace.start_run(), pytest.raises(Unavailable, match=r"log_artifacts\('iris'"):
            log()

    def test_what_the_message_says_to_do_instead(self, uri: str, tmp_path: Path) -> None:
        headrace.sklearn.save_model(MODEL, tmp_path / "iris")
        with headrace.start_run() as run:
            headrace.log_artifacts(tmp_path / "iris", "iris")
        found = load_pyfunc(f"runs:/{run.info.run_id}/iris")
        assert np.array_equal(found.predict(X), MODEL.predict(X))

    def test_a_folder_that_is_not_tracked_is_not_registered(
        self, database: str, tmp_path: Path
    ) -> None:
        headrace.sklearn.save_model(MODEL, tmp_path / "iris")
        with pytest.raises(InvalidRequest, match=r"not tracked.*registered_model_name"):
            headrace.register_model(str(tmp_path / "iris"), "iris")

    @pytest.mark.parametrize("rows", [X, X.to_numpy()], ids=["table", "array"])
    def test_a_whole_data_set_as_the_example_is_told(
        self, rows: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        headrace.sklearn.save_model(MODEL, tmp_path / "few", input_example=rows)
        assert "rows" not in caplog.text
        many = pd.concat([rows] * 70) if rows is X else np.tile(rows, (70, 1))
        headrace.sklearn.save_model(MODEL, tmp_path / "many", input_example=many)
        assert "has 10500 rows" in caplog.text

    def test_what_log_model_answers_is_short_and_loads(self, database: str) -> None:
        info = log(input_example=X.head(2))
        assert repr(info).startswith(f"ModelInfo(name='iris', model_uri='{info.model_uri}'")
        assert len(repr(info)) < 250
        assert np.array_equal(load_pyfunc(info).predict(X), MODEL.predict(X))


class TestDownloads:
    @pytest.fixture
    def served(
        self, server_url: str, request: pytest.FixtureRequest, own_cache: Path
    ) -> tuple[str, Path]:
        """A model behind a server: its URI, and the cache that it lands in."""
        headrace.set_tracking_uri(server_url)
        headrace.set_experiment(request.node.name)
        return log(input_example=X.head(2)).model_uri, own_cache / "models"

    def test_a_model_is_fetched_once(self, served: tuple[str, Path]) -> None:
        uri, cache = served
        folder = local_model(uri)
        assert folder.parent == cache
        marked = folder / "requirements.txt"
        before = marked.stat().st_mtime_ns
        assert local_model(uri) == folder
        assert marked.stat().st_mtime_ns == before

    def test_a_download_goes_on_where_it_stopped(self, served: tuple[str, Path]) -> None:
        uri, _ = served
        folder = local_model(uri)
        whole = (folder / "model.skops").read_bytes()
        digest = model_cache._digests((folder / SIGNATURE_FILE).read_bytes())
        assert digest is not None
        partial = folder.with_name(f"{folder.name}.partial")
        folder.rename(partial)
        begun = partial / f"model.skops.{digest['model.skops'][:16]}.part"
        begun.write_bytes(whole[: len(whole) // 2])
        (partial / "model.skops").unlink()
        kept = partial / "requirements.txt"
        inode = kept.stat().st_ino
        assert local_model(uri) == folder
        assert (folder / "model.skops").read_bytes() == whole
        assert (folder / "requirements.txt").stat().st_ino == inode, "fetched a second time"

    def test_what_was_cut_off_wrongly_is_fetched_anew(self, served: tuple[str, Path]) -> None:
        uri, _ = served
        folder = local_model(uri)
        whole = (folder / "model.skops").read_bytes()
        digests = model_cache._digests((folder / SIGNATURE_FILE).read_bytes())
        assert digests is not None
        partial = folder.with_name(f"{folder.name}.partial")
        folder.rename(partial)
        (partial / "model.skops").rename(
            partial / f"model.skops.{digests['model.skops'][:16]}.part"
        )
        (partial / f"model.skops.{digests['model.skops'][:16]}.part").write_bytes(b"x" * 100)
        assert (local_model(uri) / "model.skops").read_bytes() == whole

    def test_a_byte_changed_in_the_cache_is_found(self, served: tuple[str, Path]) -> None:
        uri, _ = served
        changed = local_model(uri) / "model.skops"
        data = bytearray(changed.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        with pytest.raises(InvalidModel, match=r"model\.skops"):
            load_model(uri)

    def test_a_byte_changed_on_the_server_is_found(
        self, start_server: ServerLauncher, tmp_path: Path, own_cache: Path
    ) -> None:
        artifacts = tmp_path / "artifacts"
        server = start_server(artifacts=str(artifacts))
        headrace.set_tracking_uri(server.url)
        uri = log().model_uri
        (stored,) = artifacts.rglob("model.skops")
        stored.write_bytes(stored.read_bytes() + b"x")
        with pytest.raises(InvalidModel, match=r"model\.skops.*not what was signed"):
            load_model(uri)
        assert not [each for each in (own_cache / "models").iterdir() if each.name == "model"]

    def test_a_model_without_a_signature_is_fetched_each_time(
        self, start_server: ServerLauncher, tmp_path: Path, own_cache: Path
    ) -> None:
        artifacts = tmp_path / "artifacts"
        server = start_server(artifacts=str(artifacts))
        headrace.set_tracking_uri(server.url)
        uri = log().model_uri
        (stored,) = artifacts.rglob(SIGNATURE_FILE)
        stored.unlink()
        assert local_model(uri) != local_model(uri)
        assert np.array_equal(load_pyfunc(uri).predict(X), MODEL.predict(X))
        assert not (own_cache / "models").exists()

    def test_a_cache_that_cannot_be_written_is_done_without(
        self,
        served: tuple[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "file" / "cache"))
        assert np.array_equal(load_pyfunc(served[0]).predict(X), MODEL.predict(X))
        assert "HEADRACE_CACHE" in caplog.text

    def test_into_a_folder_of_the_callers(self, served: tuple[str, Path], tmp_path: Path) -> None:
        uri, cache = served
        assert local_model(uri, tmp_path / "mine") == tmp_path / "mine"
        assert load_model(tmp_path / "mine").C == MODEL.C
        assert not cache.exists()


class TestSaving:
    def test_a_folder_is_whole_or_not_there(self, tmp_path: Path) -> None:
        target = tmp_path / "model"
        with pytest.raises(InvalidRequest):
            headrace.sklearn.save_model(MODEL, target, metadata={"what": object()})
        assert list(tmp_path.glob("*model*")) == []
        headrace.sklearn.save_model(MODEL, target)
        with pytest.raises(HeadraceError, match="exists already"):
            headrace.sklearn.save_model(MODEL, target)

    def test_unknown_keys_survive(self, tmp_path: Path) -> None:
        target = tmp_path / "model"
        headrace.sklearn.save_model(MODEL, target)
        file = target / "MLmodel"
        file.write_text(file.read_text() + "from_the_future:\n  a: [1, 2]\n")
        model = headrace.models.Model.load(target)
        model.save(file)
        assert "from_the_future" in file.read_text()
        assert headrace.models.Model.load(target).to_dict()["from_the_future"] == {"a": [1, 2]}

    def test_a_copied_folder_loads(self, tmp_path: Path) -> None:
        headrace.save_model(MODEL, tmp_path / "model", code_paths=[__file__])
        shutil.copytree(tmp_path / "model", tmp_path / "copy")
        assert headrace.load_model(tmp_path / "copy").C == MODEL.C
