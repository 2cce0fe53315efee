"""The Open Inference Protocol over HTTP, against a real server."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.serving.served import HttpAnswer, ServingLauncher, ServingProcess

BODY = {
    "id": "7",
    "inputs": [
        {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]},
        {"name": "n", "datatype": "INT64", "shape": [2, 1], "data": [[3], [4]]},
    ],
}


@pytest.fixture(scope="module")
def server(
    shared_serving_process: ServingLauncher, tmp_path_factory: pytest.TempPathFactory
) -> ServingProcess:
    """A server of two models: one of columns, one of tensors."""
    from sklearn.linear_model import LinearRegression

    import headrace.sklearn
    from headrace.models.signature import infer_signature

    folder = tmp_path_factory.mktemp("models")
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "n": [1, 2, 4]})
    model = LinearRegression().fit(table, [1.0, 3.0, 6.0])
    headrace.sklearn.save_model(model, folder / "sum", signature=infer_signature(table, [1.0]))
    array = table.to_numpy().astype("float32")
    model = LinearRegression().fit(array, [1.0, 3.0, 6.0])
    signature = infer_signature(array, model.predict(array))
    headrace.sklearn.save_model(model, folder / "array", signature=signature)
    return shared_serving_process(folder / "sum", folder / "array")


def infer(server: ServingProcess, body: Any, path: str = "sum", **headers: Any) -> HttpAnswer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.ask(data, path=f"/v2/models/{path}/infer", **headers)


def test_the_server_and_its_models_say_what_they_are(server: ServingProcess) -> None:
    about = server.ask(path="/v2").json()
    assert about["name"] == "headrace"
    assert about["extensions"] == ["binary_tensor_data"]
    assert server.ask(path="/v2/health/live").json() == {"live": True}
    assert server.ask(path="/v2/health/ready").json() == {"ready": True}
    found = server.ask(path="/v2/models/sum").json()
    (version,) = found["versions"]
    assert found["platform"] == "sklearn"
    assert found["inputs"] == [
        {"name": "x", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "n", "datatype": "INT64", "shape": [-1, 1]},
    ]
    assert server.ask(path=f"/v2/models/sum/versions/{version}").json() == found
    ready = {"name": "sum", "ready": True}
    assert server.ask(path="/v2/models/sum/ready").json() == ready
    assert server.ask(path=f"/v2/models/sum/versions/{version}/ready").json() == ready
    found = server.ask(path="/v2/models/array").json()
    assert found["inputs"] == [{"name": "input-0", "datatype": "FP32", "shape": [-1, 2]}]
    assert found["outputs"][0]["name"] == "output-0"


def test_tensors_are_answered_with_tensors(server: ServingProcess) -> None:
    answer = infer(server, BODY)
    assert answer.status == 200
    found = answer.json()
    assert (found["model_name"], found["id"]) == ("sum", "7")
    (output,) = found["outputs"]
    assert (output["datatype"], output["shape"]) == ("FP64", [2])
    split = {"columns": ["x", "n"], "data": [[1.0, 3], [2.0, 4]]}
    asked = json.dumps({"dataframe_split": split}).encode()
    same = server.ask(asked, path="/models/sum/invocations").json()
    assert output["data"] == pytest.approx(same["predictions"])


def test_binary_tensors_are_answered_with_binary_tensors(server: ServingProcess) -> None:
    rows = np.array([[1, 3], [2, 4]], dtype="<f4")
    told = {
        "inputs": [
            {
                "name": "input-0",
                "datatype": "FP32",
                "shape": [2, 2],
                "parameters": {"binary_data_size": rows.nbytes},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(told).encode()
    headers = {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }
    answer = infer(server, head + rows.tobytes(), "array", **headers)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers["inference-header-content-length"])
    output = json.loads(answer.body[:size])["outputs"][0]
    found = struct.unpack("<2f", answer.body[size:])
    told["inputs"][0] |= {"data": rows.ravel().tolist(), "parameters": {}}  # type: ignore[index]  # a list
    plain = infer(server, {"inputs": told["inputs"]}, "array").json()["outputs"][0]
    assert output["parameters"] == {"binary_data_size": 8}
    assert plain["data"] == pytest.approx(found)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/none", 404),
        ("/v2/models/none/ready", 404),
        ("/v2/models/sum/versions/none", 404),
        ("/v2/models/sum/infer", 405),
        ("/v2/nothing", 404),
    ],
)
def test_what_is_not_there_is_told(server: ServingProcess, path: str, status: int) -> None:
    answer = server.ask(path=path)
    assert answer.status == status
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"{}", {}, 400),
        (BODY, {"Content-Type": "text/csv"}, 415),
        (BODY, {"Content-Type": "application/octet-stream"}, 415),
        (BODY, {"Content-Encoding": "gzip"}, 415),
        (BODY, {"Inference-Header-Content-Length": "x"}, 400),
        (BODY, {"Inference-Header-Content-Length": "-1"}, 400),
        (BODY, {"Inference-Header-Content-Length": "9" * 12}, 400),
        (BODY, {"Inference-Header-Content-Length": "9" * 400}, 400),
        (BODY, {"Inference-Header-Content-Length": "5"}, 400),
        ({**BODY, "outputs": [{"name": "none"}]}, {}, 400),
        ({"inputs": BODY["inputs"][:1]}, {}, 400),
    ],
)
def test_what_is_wrong_is_told_in_the_protocols_shape(
    server: ServingProcess, body: Any, headers: dict[str, str], status: int
) -> None:
    answer = infer(server, body, **headers)
    assert answer.status == status
    assert answer.json().keys() == {"error"}
    assert "Traceback" not in answer.json()["error"]
