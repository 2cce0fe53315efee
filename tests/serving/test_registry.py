"""Models that are served from a registry: by alias, swapped, refused, shadowed, several at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import headrace
import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.signature import infer_signature
from tests.serving.served import ServingLauncher, ServingProcess
from tests.serving.waiting import wait_until

SCRIPT = Path(__file__).with_name("constant_model.py")
ROWS = pd.DataFrame({"x": [1.0]})
REQUEST = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode()

Register = Callable[..., str]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> headrace.MlflowClient:
    """A registry in a database, for this program and the servers that it starts."""
    uri = f"sqlite:///{tmp_path}/registry.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_TRACKING_URI", uri)
    client = headrace.MlflowClient(uri)
    client.create_registered_model("churn")
    return client


@pytest.fixture
def register(registry: headrace.MlflowClient) -> Register:
    """Log a model that says `value`, and register it; the number of the version."""
    del registry

    def make(value: str, **config: Any) -> str:
        logged = pyfunc.log_model(
            name=f"model-{value}",
            python_model=str(SCRIPT),
            model_config={"value": value, **config},
            signature=infer_signature(ROWS, [value]),
            input_example=ROWS,
            registered_model_name="churn",
        )
        return str(logged.registered_model_version)

    return make


def said(server: ServingProcess, path: str = "/invocations") -> str:
    """What the server predicts."""
    answer = server.ask(REQUEST, path=path)
    assert answer.status == 200, answer
    (value,) = answer.json()["predictions"]
    return str(value)


def state_of(server: ServingProcess, name: str = "churn") -> dict[str, Any]:
    """What `/models` says of a model."""
    found: dict[str, Any] = {
        each["name"]: each for each in server.ask(path="/models").json()["models"]
    }
    state: dict[str, Any] = found[name]
    return state


def workers_of(server: ServingProcess) -> list[psutil.Process]:
    """Its workers; one that ends while they are looked at counts no more."""
    while True:
        try:
            return server.workers()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue


def test_a_moved_alias_swaps_the_version_and_drops_no_request(
    registry: headrace.MlflowClient, register: Register, serving_process: ServingLauncher
) -> None:
    registry.set_registered_model_alias("churn", "prod", register("one"))
    server = serving_process("models:/churn@prod", poll_interval=0.1)
    name = "churn@prod"
    assert said(server) == "one"
    answers: list[str] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        while not is_over.is_set():
            answers.append(said(server))

    callers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for caller in callers:
        caller.start()
    registry.set_registered_model_alias("churn", "prod", register("two"))
    wait_until(lambda: state_of(server, name)["version"]["label"] == "2", "never swapped")
    wait_until(lambda: answers[-1] == "two", "never answered")
    is_over.set()
    for caller in callers:
        caller.join()
    assert set(answers) == {"one", "two"}
    assert said(server) == "two"
    wait_until(lambda: len(workers_of(server)) == 1, "the old version's worker stays")


@pytest.mark.parametrize("fault", ["breaks_with", "dies_with"])
def test_a_version_that_fails_its_check_is_refused_and_reported(
    registry: headrace.MlflowClient,
    register: Register,
    serving_process: ServingLauncher,
    tmp_path: Path,
    fault: str,
) -> None:
    registry.set_registered_model_alias("churn", "prod", register("one"))
    server = serving_process("models:/churn@prod", poll_interval=0.1)
    number = register("bad", **{fault: str(tmp_path / "fault")})
    (tmp_path / "fault").touch()
    registry.set_registered_model_alias("churn", "prod", number)
    wait_until(lambda: state_of(server, "churn@prod")["refused"] is not None, "never refused")
    refused = state_of(server, "churn@prod")["refused"]
    assert refused["version"]["uri"] == f"models:/churn/{number}"
    assert "does not predict for its own input example" in refused["reason"]
    assert "is refused" in server.log
    assert said(server) == "one"
    wait_until(lambda: len(workers_of(server)) == 1, "the refused version's worker stays")
    registry.set_registered_model_alias("churn", "prod", register("three"))
    wait_until(lambda: said(server) == "three", "a good version after a bad one is never served")
    assert state_of(server, "churn@prod")["refused"] is None


def test_a_version_that_stalls_is_given_up_when_another_one_is_wanted(
    registry: headrace.MlflowClient,
    register: Register,
    serving_process: ServingLauncher,
    tmp_path: Path,
) -> None:
    registry.set_registered_model_alias("churn", "prod", register("one"))
    server = serving_process("models:/churn@prod", poll_interval=0.1)
    number = register("two", stalls_with=str(tmp_path / "fault"))
    (tmp_path / "fault").touch()
    registry.set_registered_model_alias("churn", "prod", number)
    wait_until(lambda: state_of(server, "churn@prod")["loading"] is not None, "never loaded")
    assert said(server) == "one"
    registry.set_registered_model_alias("churn", "prod", register("three"))
    wait_until(lambda: said(server) == "three", "a version that stalls is waited for")
    wait_until(lambda: len(workers_of(server)) == 1, "the worker that stalls stays")
    registry.set_registered_model_alias("churn", "prod", number)
    wait_until(lambda: state_of(server, "churn@prod")["loading"] is not None, "never tried again")
    (tmp_path / "fault").unlink()
    wait_until(lambda: said(server) == "two", "a version that stalled is never served")


def test_an_alias_that_is_gone_leaves_the_version_that_answers(
    registry: headrace.MlflowClient, register: Register, serving_process: ServingLauncher
) -> None:
    registry.set_registered_model_alias("churn", "prod", register("one"))
    server = serving_process("models:/churn@prod", poll_interval=0.1)
    registry.delete_registered_model_alias("churn", "prod")
    server.wait_for("cannot be looked up")
    assert said(server) == "one"
    registry.set_registered_model_alias("churn", "prod", register("two"))
    wait_until(lambda: said(server) == "two", "never swapped")
    assert server.log.count("cannot be looked up") == 1


def test_several_models_are_asked_by_their_names(
    register: Register, serving_process: ServingLauncher
) -> None:
    one, two = register("one"), register("two")
    server = serving_process(f"models:/churn/{one}", f"models:/churn/{two}")
    assert said(server, f"/models/{one}/invocations") == "one"
    assert said(server, f"/models/{two}/invocations") == "two"
    unnamed = server.ask(REQUEST)
    assert unnamed.status == 400
    assert unnamed.json()["message"].endswith(f"{one}, {two}.")
    unknown = server.ask(REQUEST, path="/models/three/invocations")
    assert unknown.status == 404
    assert unknown.json()["message"].endswith(f"{one}, {two}.")


@pytest.mark.parametrize(
    ("value", "fault", "count"),
    [
        ("one", "", "same"),
        ("two", "", "answered"),
        ("bad", "breaks_with", "failed"),
        ("dead", "dies_with", "failed"),
    ],
)
def test_a_shadow_gets_the_traffic_and_answers_nobody(
    registry: headrace.MlflowClient,
    register: Register,
    serving_process: ServingLauncher,
    tmp_path: Path,
    value: str,
    fault: str,
    count: str,
) -> None:
    registry.set_registered_model_alias("churn", "prod", register("one"))
    config = {fault: str(tmp_path / "fault")} if fault else {}
    registry.set_registered_model_alias("churn", "next", register(value, **config))
    server = serving_process("models:/churn@prod", shadows={"churn@prod": "models:/churn@next"})
    (tmp_path / "fault").touch()
    for _ in range(3):
        assert said(server) == "one"

    def counts() -> dict[str, int]:
        found: dict[str, int] = state_of(server, "churn@prod")["shadow"]["counts"]
        return found

    wait_until(lambda: counts()[count] == 3, "the shadow never saw the traffic")
    assert said(server) == "one"
    found = counts()
    assert server.log.count("has failed") == bool(fault)
    assert found["dropped"] == 0
    assert found["same"] == (found["answered"] if value == "one" else 0)
