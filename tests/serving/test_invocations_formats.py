"""`/invocations` over HTTP: content types, payloads, and answers in MLflow's shape."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.served import ServingLauncher, ServingProcess

ROWS = {"dataframe_split": {"columns": ["x", "s"], "data": [[1.5, "a"], [2, "ä"]]}}
WANTED = [{"x": 1.5, "s": "a"}, {"x": 2.0, "s": "ä"}]
SCRIPT = """
import headrace.pyfunc
from headrace.models import set_model

class Echo(headrace.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input - model_input.mean() if params and params["center"] else model_input

set_model(Echo())
"""


@pytest.fixture(scope="module")
def server(
    shared_serving_process: ServingLauncher, tmp_path_factory: pytest.TempPathFactory
) -> ServingProcess:
    """A server of models that answer with what they are given."""
    import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
    from headrace.models.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from headrace.models.signature import ModelSignature

    folder: Path = tmp_path_factory.mktemp("models")
    script = folder / "echo.py"
    script.write_text(SCRIPT)
    table = Schema([ColSpec("double", "x"), ColSpec("string", "s", required=False)])
    params = ParamSchema([ParamSpec("center", "boolean", default=False)])
    tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
    for name, signature in (
        ("table", ModelSignature(table, params=params)),
        ("tensor", ModelSignature(tensor)),
        ("plain", None),
    ):
        pyfunc.save_model(
            folder / name,
            python_model=str(script),
            signature=signature,
            pip_requirements=["pandas"],
        )
    return shared_serving_process(folder / "table", folder / "tensor", folder / "plain")


def ask(server: ServingProcess, body: Any, model: str = "table", kind: str = "") -> tuple[int, Any]:
    """Status and JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers: dict[str, Any] = {"Content-Type": kind} if kind else {}
    answer = server.ask(data, path=f"/models/{model}/invocations", **headers)
    return answer.status, answer.json()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ROWS, "application/json"),
        (ROWS, "application/json; charset=utf-8"),
        (ROWS, 'Application/JSON;charset="UTF-8"'),
        ({"dataframe_records": WANTED}, ""),
        ({"instances": WANTED}, ""),
        ({"inputs": {"x": [1.5, 2], "s": ["a", "ä"]}}, ""),
        ({"inputs": WANTED, "params": {"center": False}}, ""),
        ("x,s\n1.5,a\n2,ä\n".encode(), "text/csv"),
        ("\ufeffs,x\na,1.5\nä,2\n".encode(), "text/csv; charset=utf-8"),
    ],
)
def test_every_format_is_read(server: ServingProcess, body: Any, kind: str) -> None:
    assert ask(server, body, kind=kind) == (200, {"predictions": WANTED})


def test_tensors_and_models_without_signature(server: ServingProcess) -> None:
    for name in ("inputs", "instances"):
        for model in ("tensor", "plain"):
            found = ask(server, {name: [[1.5, 2], [3, 4]]}, model)
            assert found == (200, {"predictions": [[1.5, 2.0], [3.0, 4.0]]})
    assert ask(server, ROWS, "plain") == (200, {"predictions": WANTED})
    asked = {"messages": [{"role": "user", "content": "hi"}]}
    assert ask(server, asked, "plain") == (200, asked)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (ROWS, "text/plain", 415),
        (ROWS, "application/json; charset=latin-1", 415),
        (b"{", "", 400),
        (b"\xff", "text/csv", 400),
        (b"PAR1", "application/vnd.apache.parquet", 400),
        ({"dataframe_split": {"columns": ["x"], "data": [["a"]]}}, "", 400),
        ({"dataframe_split": {"columns": ["s"], "data": [["a"]]}}, "", 400),
        ({**ROWS, "params": {"center": 1}}, "", 400),
        ({**ROWS, "params": {"center": True}}, "", 400),
    ],
)
def test_what_is_wrong_is_told(server: ServingProcess, body: Any, kind: str, status: int) -> None:
    found = ask(server, body, kind=kind)
    assert found[0] == status
    assert found[1].keys() == {"error_code", "message"}
    assert "Traceback" not in found[1]["message"]


def test_calls_at_the_same_time_get_their_own_answers(server: ServingProcess) -> None:
    """Good and bad ones, of which many are predicted together."""
    values: list[Any] = [float(i) if i % 7 else "bad" for i in range(200)]

    def one(value: Any) -> tuple[int, Any]:
        return ask(server, {"dataframe_split": {"columns": ["x"], "data": [[value]]}})

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(one, values))
    for value, (status, body) in zip(values, found, strict=True):
        if value == "bad":
            assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        else:
            assert (status, body) == (200, {"predictions": [{"x": value}]})


def test_a_model_that_mixes_its_rows_answers_each_alone(server: ServingProcess) -> None:
    def one(value: float) -> tuple[int, Any]:
        split = {"columns": ["x"], "data": [[value], [value + 2]]}
        return ask(server, {"dataframe_split": split, "params": {"center": True}})

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(one, map(float, range(100))))
    assert found == [(200, {"predictions": [{"x": -1.0}, {"x": 1.0}]})] * 100
