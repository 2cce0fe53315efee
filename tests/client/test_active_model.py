"""The active logged model, and the last one that was made."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import headrace


@pytest.fixture(autouse=True)
def no_active_model() -> None:
    headrace.clear_active_model()


def test_by_name_by_id_and_for_a_block(uri: str) -> None:
    assert headrace.get_active_model_id() is None
    first = headrace.set_active_model(name="net")
    assert (first.name, headrace.get_active_model_id()) == ("net", first.model_id)
    assert first.tags["mlflow.model.isExternal"] == "true"
    assert headrace.set_active_model(name="net").model_id == first.model_id
    other = headrace.create_external_model("other")
    with headrace.set_active_model(model_id=other.model_id) as active:
        assert headrace.get_active_model_id() == active.model_id == other.model_id
        with headrace.set_active_model(name="inner"):
            assert headrace.get_active_model_id() not in (first.model_id, other.model_id)
        assert headrace.get_active_model_id() == other.model_id
    assert headrace.get_active_model_id() == first.model_id
    assert dict(active) == dict(other)
    headrace.clear_active_model()
    assert headrace.get_active_model_id() is None


def test_mistakes(database: str) -> None:
    with pytest.raises(headrace.MlflowException, match="'name' or 'model_id'"):
        headrace.set_active_model()
    model = headrace.create_external_model("net")
    with pytest.raises(headrace.MlflowException, match="is named 'net', not 'x'"):
        headrace.set_active_model(name="x", model_id=model.model_id)
    with pytest.raises(headrace.MlflowException, match="may not hold"):
        headrace.set_active_model(name="a' OR '1")
    with pytest.raises(headrace.MlflowException, match="set_active_model"):
        headrace.log_model_params({"p": "1"})


def test_each_thread_has_its_own(database: str) -> None:
    headrace.set_active_model(name="net")
    headrace.create_external_model("last")
    seen: list[object] = []

    def look() -> None:
        seen.extend((headrace.get_active_model_id(), headrace.last_logged_model()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [None, None]


def test_processes_begin_with_the_one_of_the_environment(database: str) -> None:
    program = "import headrace; print(headrace.get_active_model_id())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MLFLOW_ACTIVE_MODEL_ID": "m-1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["m-1"]


def test_params_go_to_the_active_model(uri: str) -> None:
    model = headrace.set_active_model(name="net")
    headrace.log_model_params({"p": "1"})
    assert headrace.get_logged_model(model.model_id).params == {"p": "1"}


def test_the_last_logged_model(uri: str) -> None:
    made = headrace.initialize_logged_model("net")
    headrace.finalize_logged_model(made.model_id, "READY")
    last = headrace.last_logged_model()
    assert last is not None
    assert (last.model_id, last.status) == (made.model_id, "READY")
