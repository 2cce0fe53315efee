"""A program that is killed while it logs a model: no model is READY without its files."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import headrace
from headrace.client.model_loading import load_model
from headrace.errors import InvalidModel
from headrace.protocol.logged_models import SearchLoggedModels
from headrace.store.open import open_store
from tests.crash.logging_world import World
from tests.fixtures.servers import RunningServer

PROGRAM = """
import signal
from sklearn.dummy import DummyClassifier
from headrace.artifacts import transfer

uri, name, count = sys.argv[1:]
headrace.set_tracking_uri(uri)
headrace.set_experiment(name)
send, left = transfer.upload_file, int(count)

def upload_file(*arguments):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return send(*arguments)

transfer.upload_file = upload_file
with headrace.start_run():
    headrace.log_model(DummyClassifier().fit([[0], [1]], [0, 1]), name="dummy")
said("logged")
"""


@pytest.mark.parametrize("files", [0, 1, 3])
def test_a_killed_upload_leaves_no_ready_model(
    world: World, shared_server: RunningServer, files: int
) -> None:
    name = f"killed-{files}"
    program = world.start(shared_server.url, PROGRAM, shared_server.url, name, str(files))
    assert program.wait() == -signal.SIGKILL, program.printed
    assert statuses(shared_server.url, name) == ["LOGGED_MODEL_PENDING"]


def test_killed_before_the_signature_what_is_there_does_not_load_as_signed(
    world: World, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/headrace.db"
    whole = world.start(uri, PROGRAM, uri, "whole", "99")
    whole.succeed()
    assert statuses(uri, "whole") == ["LOGGED_MODEL_READY"]
    (signature,) = tmp_path.rglob("model.sig")
    (signature.parent / "model.skops").unlink()
    with pytest.raises(InvalidModel, match=r"model\.skops.*missing"):
        load_model(signature.parent)


def statuses(uri: str, name: str) -> list[str]:
    """The states of the logged models of an experiment."""
    headrace.set_tracking_uri(uri)
    store = open_store(uri)
    try:
        experiment = headrace.get_experiment_by_name(name)
        assert experiment is not None
        request = SearchLoggedModels(experiment_ids=[experiment.experiment_id])
        return [str(model.info.status) for model in store.logged_models.search(request).models]
    finally:
        headrace.set_tracking_uri("")
        store.close()
