"""The OpenAPI document: valid, whole, and true to the structs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from headrace.protocol import experiments, metrics, model_versions, runs
from headrace.protocol.codec import encode
from headrace.protocol.openapi import all_endpoints, openapi_document, required_fields


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(encode(openapi_document()))
    return made


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_every_endpoint_is_in_it_once(document: dict[str, Any]) -> None:
    endpoints = [endpoint for _, endpoint in all_endpoints()]
    assert len(endpoints) > 60
    for endpoint in endpoints:
        operation = document["paths"][f"/api{endpoint.path}"][endpoint.method.lower()]
        assert operation["summary"] == endpoint.summary
        assert "200" in operation["responses"]
        assert "4XX" in operation["responses"]
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(names) == len(set(names))


def test_a_get_has_its_fields_as_parameters(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/2.0/mlflow/metrics/get-history-bulk-interval"]["get"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters["run_ids"]["schema"]["type"] == "array"
    assert parameters["run_ids"]["required"]
    assert not parameters["max_results"]["required"]
    assert "requestBody" not in operation


def test_a_field_of_the_path_is_not_asked_for_in_the_body(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/2.0/mlflow/logged-models/{model_id}"]["patch"]
    assert [(p["name"], p["in"]) for p in operation["parameters"]] == [("model_id", "path")]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"status", "last_updated_timestamp_ms"}
    assert schema["required"] == ["status"]


def test_numbers_may_be_words_and_nothing_is_null(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    words = schemas["Metric"]["properties"]["value"]["anyOf"][1]["enum"]
    assert words == ["NaN", "Infinity", "-Infinity"]
    assert '"null"' not in json.dumps(schemas)
    assert schemas["RunInfo"]["properties"]["end_time"]["type"] == "integer"


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        (metrics.LogMetric, ["key", "run_id", "timestamp", "value"]),
        (runs.RunRef, ["run_id"]),
        (runs.SearchRuns, []),
        (experiments.SearchExperiments, ["max_results"]),
        (model_versions.CreateModelVersion, ["name", "source"]),
        (metrics.GetMetricHistoryBulk, ["metric_key", "run_id"]),
    ],
)
def test_required_is_what_the_structs_require(family: Any, fields: list[str]) -> None:
    assert required_fields(family) == fields


def test_refs_lead_somewhere(document: dict[str, Any]) -> None:
    def refs(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for part in value.values() for ref in refs(part)]
        if isinstance(value, list):
            return [ref for part in value for ref in refs(part)]
        return []

    for ref in set(refs(document)):
        place: Any = document
        for part in ref.removeprefix("#/").split("/"):
            place = place[part]
        assert place
