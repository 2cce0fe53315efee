"""The scoring server beside MLflow's own, and MLflow's clients against it.

MLflow's ASGI application runs in this process; ours as servers of their own.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.serving.frameworks.exchanges import CSV, JSON, PARQUET, requests, save_all
from tests.serving.served import HttpAnswer, ServingLauncher, ServingProcess

pytest.importorskip("mlflow.pyfunc.scoring_server")
pytest.importorskip("pyarrow")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import mlflow.deployments
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

STRICTER = "data that does not fit the signature is refused, not changed"
KEYS = "keys that nobody reads are refused: they may be meant for something"
NULL = "NaN is null, for NaN is no JSON"
DIFFERENCES: dict[tuple[str, str], tuple[int, int, str]] = {
    ("linear", "a key beside it"): (200, 400, KEYS),
    ("linear", "signature_name"): (200, 400, KEYS),
    ("linear", "an old index"): (200, 400, "MLflow repeats the row for each entry of the index"),
    ("linear", "an unknown parameter"): (415, 400, "other parameters of the type change nothing"),
    ("columns", "instances"): (200, 200, "MLflow leaves base64 in 'instances' as it is"),
    ("columns", "a fraction for an integer"): (200, 400, STRICTER),
    ("columns", "a number for a truth value"): (200, 400, STRICTER),
    ("columns", "a number for a text"): (200, 400, STRICTER),
    ("columns", "too large for 32 bits"): (200, 400, STRICTER),
    ("answers", "frame"): (200, 200, NULL),
    ("answers", "nan"): (200, 200, NULL),
    ("answers", "object"): (500, 400, "what can never be answered is no error of the server"),
    ("unsigned", "nan"): (200, 200, NULL),
}


class Theirs:
    """MLflow's server for one model, asked without a network."""

    def __init__(self, folder: Path) -> None:
        self._app = scoring_server.init(mlflow.pyfunc.load_model(str(folder)))

    def ask(self, content_type: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of `/invocations`; 500 where the application itself raises."""
        try:
            return asyncio.run(self._ask(content_type, body))
        except TypeError:
            return 500, b""

    async def _ask(self, content_type: str, body: bytes) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/invocations",
            "raw_path": b"/invocations",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", content_type.encode())],
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 1),
        }
        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    yield
    logging.getLogger("mlflow").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    saved = save_all(tmp_path_factory.mktemp("models"))
    return {folder.name: folder for folder in saved}


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path]) -> dict[str, Theirs]:
    return {name: Theirs(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def ours(folders: dict[str, Path], shared_serving_process: ServingLauncher) -> ServingProcess:
    return shared_serving_process(*folders.values())


@pytest.fixture(scope="module")
def alone(folders: dict[str, Path], shared_serving_process: ServingLauncher) -> ServingProcess:
    return shared_serving_process(folders["params"])


def post(server: ServingProcess, path: str, content_type: str, body: bytes) -> HttpAnswer:
    """POST a body, an empty one too."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        return HttpAnswer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("model", "name", "content_type", "body"),
    requests(),
    ids=[f"{model}-{name}".replace(" ", "_") for model, name, *_ in requests()],
)
def test_both_servers_answer_alike(
    ours: ServingProcess,
    theirs: dict[str, Theirs],
    model: str,
    name: str,
    content_type: str,
    body: bytes,
) -> None:
    status, wanted = theirs[model].ask(content_type, body)
    answer = post(ours, f"/models/{model}/invocations", content_type, body)
    if answer.status != 200:
        assert answer.json().keys() == {"error_code", "message"}
        assert "Traceback" not in answer.json()["message"]
    if (model, name) in DIFFERENCES:
        assert (status, answer.status) == DIFFERENCES[model, name][:2]
        assert status != answer.status or json.loads(wanted) != answer.json()
        return
    assert answer.status == status, answer.body
    if status == 200:
        assert answer.json() == json.loads(wanted)


def test_parquet_is_a_table(ours: ServingProcess, theirs: dict[str, Theirs]) -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3.5, 4.0]})
    written = io.BytesIO()
    table.to_parquet(written)
    answer = post(ours, "/models/linear/invocations", PARQUET, written.getvalue())
    assert (answer.status, answer.body) == theirs["linear"].ask(PARQUET, written.getvalue())


def test_mlflows_scoring_client_gets_its_answers(alone: ServingProcess) -> None:
    client = ScoringServerClient("127.0.0.1", alone.port)
    client.wait_server_ready()
    assert client.get_version()
    table = pd.DataFrame({"a": [1.0, 2.0]})
    found = client.invoke(table, params={"k": 7})
    assert found.get_predictions()["k"].tolist() == [7, 7]
    assert found.to_json()
    with pytest.raises(Exception, match="'k'"):
        client.invoke(table, params={"k": "x"})


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("tensor", np.array([[1.5, 2.0]], dtype="float32")),
        ("unsigned", pd.DataFrame({"a": [1, 2], "t": ["x", "y"]})),
        ("hinted", ["a", "b"]),
    ],
)
def test_what_mlflows_client_sends_is_understood(
    ours: ServingProcess, theirs: dict[str, Theirs], model: str, data: Any
) -> None:
    from mlflow.utils.proto_json_utils import dump_input_data

    body = dump_input_data(data).encode()
    answer = ours.ask(body, path=f"/models/{model}/invocations")
    assert (answer.status, answer.body) == theirs[model].ask(JSON, body)


def test_mlflows_deployments_client_predicts(ours: ServingProcess) -> None:
    client = mlflow.deployments.get_deploy_client(ours.address)
    found = client.predict(endpoint="unsigned", inputs={"messages": [{"role": "user"}]})
    assert found == {"messages": [{"role": "user"}]}
    found = client.predict(endpoint="linear", inputs={"inputs": {"a": [1.0], "b": [2.0]}})
    assert len(found["predictions"]) == 1


def test_csv_and_json_say_the_same(ours: ServingProcess) -> None:
    path = "/models/linear/invocations"
    asked = json.dumps({"dataframe_records": [{"a": 1.0, "b": 2.0}]}).encode()
    assert post(ours, path, CSV, b"a,b\n1,2\n").body == post(ours, path, JSON, asked).body
