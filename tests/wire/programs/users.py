"""A server that asks who is calling, as MLflow's client answers: name and password, or a token."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from requests import HTTPError

from tests.wire.programs.steps import main, requests_sent, step

client: Any = None
state: dict[str, Any] = {}

NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def prepare(url: str) -> None:
    global client  # noqa: PLW0603 - a program's main object
    for name in NAMES:
        state[name] = os.environ.pop(name, "")
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url)


def become(user: str = "", password: str = "", token: str = "") -> None:
    for name, value in zip(NAMES, (user, password, token), strict=True):
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value


def refused(call: Any) -> tuple[str, int]:
    try:
        call()
    except MlflowException as error:
        assert len(requests_sent()) < 20
        return error.error_code, requests_sent()[-1]["status"]
    raise AssertionError("no error")


@step
def a_stranger_is_turned_away_once() -> None:
    become()
    assert refused(lambda: client.get_experiment("0"))[1] == 401
    assert len(requests_sent()) == 1
    become("writer", "wrong password")
    assert refused(lambda: client.get_experiment("0"))[1] == 401
    become(token="hr_wrong")
    assert refused(lambda: client.get_experiment("0"))[1] == 401


@step
def name_and_password() -> None:
    become(state[NAMES[0]], state[NAMES[1]])
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
        mlflow.log_text("words", "a.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/a.txt") == "words"
    state["run"] = run.info.run_id
    client.create_registered_model("Owned")
    assert refused(lambda: client.delete_registered_model("Owned")) == ("PERMISSION_DENIED", 403)


@step
def a_token_of_one_who_may_only_read() -> None:
    become(token=state[NAMES[2]])
    assert client.get_run(state["run"]).data.metrics == {"m": 1.0}
    assert mlflow.artifacts.load_text(f"runs:/{state['run']}/a.txt") == "words"
    assert refused(lambda: client.log_metric(state["run"], "m", 2))[1] == 403
    with contextlib.suppress(HTTPError):  # for artifacts the client raises what requests does
        client.log_text(state["run"], "x", "b.txt")
        raise AssertionError("no error")
    assert requests_sent()[-1]["status"] == 403
    assert client.get_run(state["run"]).data.metrics == {"m": 1.0}


@step
def large_files_need_no_password_for_their_parts() -> None:
    become(state[NAMES[0]], state[NAMES[1]])
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "11000000"
    with open("large.bin", "wb") as file:
        file.write(os.urandom(12_000_000))
    client.log_artifact(state["run"], "large.bin")
    assert any("/mpu/complete/" in entry["path"] for entry in requests_sent())
    back = client.download_artifacts(state["run"], "large.bin")
    with open(back, "rb") as one, open("large.bin", "rb") as other:
        assert one.read() == other.read()


if __name__ == "__main__":
    main(prepare)
