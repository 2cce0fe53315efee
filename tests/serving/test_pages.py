"""What a server says of its models: the OpenAPI document, and the page to try them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from openapi_spec_validator import validate

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.signature import infer_signature
from headrace.serving.pages.schemas import request_schema, shown_type, value_schema
from tests.serving.conversing import save_chatty
from tests.serving.served import ServingLauncher, ServingProcess

SCRIPT = Path(__file__).with_name("constant_model.py")
NAME = "churn? #1 of 50%"
QUOTED = "churn%3F%20%231%20of%2050%25"
HOSTILE = "</script><img src=x onerror=alert(1)>"
ROWS = pd.DataFrame({"age": [41], HOSTILE: ["pro"]})


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    folder = tmp_path_factory.mktemp("pages") / NAME
    pyfunc.save_model(
        folder,
        python_model=str(SCRIPT),
        model_config={"value": "stays"},
        signature=infer_signature(ROWS, ["stays"], params={"limit": 0.5}),
        input_example=ROWS,
    )
    return shared_serving_process(folder)


def test_the_document_is_valid_and_its_example_is_answered(server: ServingProcess) -> None:
    document = server.ask(path="/openapi.json").json()
    validate(document)
    body = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.validate(body["example"], body["schema"])
    answer = server.ask(json.dumps(body["example"]).encode())
    assert answer.json() == {"predictions": ["stays"]}


def test_every_path_of_the_document_is_served(server: ServingProcess) -> None:
    document = server.ask(path="/openapi.json").json()
    assert f"/models/{QUOTED}/invocations" in document["paths"]
    for path, methods in document["paths"].items():
        for method in methods:
            answer = server.ask(b"{}" if method == "post" else b"", path=path)
            assert answer.status in (200, 400), (method, path, answer)


def test_errors_are_told_as_the_document_says(
    server: ServingProcess, serving_process: ServingLauncher, tmp_path: Path
) -> None:
    """In MLflow's shape, the Open Inference Protocol's and OpenAI's."""
    shapes = set()
    for each in (server, serving_process(save_chatty(tmp_path / "chatty"))):
        document = each.ask(path="/openapi.json").json()
        validate(document)
        for path, methods in document["paths"].items():
            if "post" in methods:
                answer = each.ask(b"{}", path=path)
                told = methods["post"]["responses"][str(answer.status)]
                schema = told["content"]["application/json"]["schema"]
                shapes.add(schema["$ref"])
                jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
    assert len(shapes) == 3


def test_what_a_model_says_is_text_on_the_page(server: ServingProcess) -> None:
    answer = server.ask(path="/docs")
    text = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "[41, &quot;pro&quot;]" in text  # a row of the example stands on one line
    assert f'data-path="/models/{QUOTED}/invocations"' in text
    assert HOSTILE not in text
    assert "&lt;/script&gt;" in text
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert server.ask(path="/").body == answer.body


@pytest.mark.parametrize(
    ("request_", "is_valid"),
    [
        ({"dataframe_split": {"columns": ["age", "plan"], "data": [[1, "x"]]}}, True),
        ({"dataframe_split": {"columns": ["age", "plan"], "data": [[]]}}, False),
        ({"dataframe_split": {"columns": ["what"], "data": [[1, "x"]]}}, False),
        ({"dataframe_records": [{"age": 1, "plan": "x"}]}, True),
        ({"dataframe_records": [{"age": 1, "plan": None}]}, True),
        ({"dataframe_records": [{"age": "1", "plan": "x"}]}, False),
        ({"dataframe_records": [{"plan": "x"}]}, False),
        ({"inputs": {"age": [1, 2], "plan": ["x", "y"]}}, True),
        ({"instances": [{"age": 1, "plan": "x"}], "params": {"limit": 1}}, True),
        ({"instances": [], "inputs": []}, False),
        ({}, False),
    ],
)
def test_a_schema_takes_what_the_model_takes(request_: dict[str, Any], is_valid: bool) -> None:
    inputs = [
        {"name": "age", "type": "long", "required": True},
        {"name": "plan", "type": "string", "required": False},
    ]
    params = [{"name": "limit", "type": "double", "default": 0.5, "shape": None}]
    signature = {"inputs": json.dumps(inputs), "outputs": None, "params": json.dumps(params)}
    schema = request_schema({"signature": signature})
    assert jsonschema.Draft202012Validator(schema).is_valid(request_) is is_valid


@pytest.mark.parametrize(
    ("spec", "good", "bad", "shown"),
    [
        ({"type": "array", "items": {"type": "string"}}, ["a"], [1], "array of string"),
        ({"type": "map", "values": {"type": "long"}}, {"a": 1}, {"a": "1"}, "map of long"),
        (
            {"type": "object", "properties": {"a": {"type": "boolean", "required": True}}},
            {"a": True},
            {},
            "object",
        ),
        ({"type": "boolean", "required": False}, None, 1, "boolean"),
    ],
)
def test_a_value_is_described_by_its_type(
    spec: dict[str, Any], good: Any, bad: Any, shown: str
) -> None:
    validator = jsonschema.Draft202012Validator(value_schema(spec))
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)
    assert shown_type(spec) == shown


def test_a_signature_that_is_nonsense_is_described_as_anything() -> None:
    for signature in (None, {"inputs": "{"}, {"inputs": "[1, null]"}, {"inputs": "5"}, "text"):
        assert request_schema({"signature": signature})["oneOf"][0]["properties"] == {"inputs": {}}
    assert shown_type({"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1, 2]}}) == (
        "tensor int64 (-1, 2)"
    )
