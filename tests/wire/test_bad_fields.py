"""Every field of every call, given what it cannot hold: a 4xx that names it, and nothing inside."""

from __future__ import annotations

import http.client
import json
import typing
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from headrace.protocol import (
    artifacts,
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server_info,
)
from headrace.protocol.endpoint import Endpoint
from tests.fixtures.servers import ServerLauncher

MODULES = (
    artifacts,
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server_info,
)
ENDPOINTS: list[Endpoint[Any, Any]] = [
    found for module in MODULES for found in vars(module).values() if isinstance(found, Endpoint)
]
LEAKS = ("Traceback", "SELECT", "INSERT", "sqlite", "psycopg", "sqlalchemy", 'File "', "msgspec")

# Values that no field of this kind can hold, and values that some can: those may be taken, but
# nothing may come of them that is the server's fault.
WRONG: dict[str, list[Any]] = {
    "list": ["text", {"a": 1}, 7, [7], [[]]],
    "scalar": [{}, {"a": {}}, [], [[1]], ["a"]],
}
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**70),
    0.5,
    1e308,
    "",
    " ",
    "0",
    "\x00",
    "a\x00b",
    "../../etc/passwd",
    "%2e%2e/x",
    "'; DROP TABLE runs; --",
    "\u202e\U0001f9ea",
    "x" * 70_000,
    "NaN",
    "Infinity",
    "latest",
]


class Sender:
    """One connection to the server."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, endpoint: Endpoint[Any, Any], sent: dict[str, Any]) -> tuple[int, bytes]:
        path = "/api" + endpoint.path
        for name in ("model_id", "tag_key"):
            path = path.replace("{" + name + "}", "m-" + "0" * 32)
        body = None
        headers = {}
        if endpoint.method == "GET":
            pairs = [(k, v if isinstance(v, list) else [v]) for k, v in sent.items()]
            flat = [(k, "" if one is None else one) for k, many in pairs for one in many]
            path += "?" + urlencode(flat)
        else:
            body = json.dumps(sent).encode()
            headers["Content-Type"] = "application/json"
        self.connection.request(endpoint.method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def sender(start_shared_server: ServerLauncher) -> Iterator[Sender]:
    sending = Sender(start_shared_server().port)
    yield sending
    sending.connection.close()


def fields_of(endpoint: Endpoint[Any, Any]) -> list[tuple[str, bool]]:
    """The fields that a caller sends in query or body, and whether each is a list."""
    return [
        (field.encode_name, typing.get_origin(field.type) in (list, tuple))
        for field in msgspec.structs.fields(endpoint.request)
        if "{" + field.encode_name + "}" not in endpoint.path
    ]


def check_refusal(status: int, body: bytes) -> str:
    """The message of an error; it is a caller's, in JSON, and tells nothing of the inside."""
    assert 400 <= status < 500, body[:500]
    answer = json.loads(body)
    assert set(answer) == {"error_code", "message"}
    message: str = answer["message"]
    assert not any(word in message for word in LEAKS), message
    assert len(message) <= 2000
    return message


CALLS = [pytest.param(each, id=each.operation_id) for each in ENDPOINTS]
# A query holds text alone.
WITH_BODY = [call for call, each in zip(CALLS, ENDPOINTS, strict=True) if each.method != "GET"]


@pytest.mark.parametrize("endpoint", WITH_BODY)
def test_the_wrong_type_is_named(sender: Sender, endpoint: Endpoint[Any, Any]) -> None:
    for name, is_list in fields_of(endpoint):
        for value in WRONG["list" if is_list else "scalar"]:
            message = check_refusal(*sender.send(endpoint, {name: value}))
            assert name in message, (name, value, message)


@pytest.mark.parametrize("endpoint", CALLS)
def test_an_odd_value_is_no_fault_of_the_server(
    sender: Sender, endpoint: Endpoint[Any, Any]
) -> None:
    valid = {"run_id": "0" * 32, "experiment_id": "0", "name": "a", "version": "1", "key": "k"}
    known = dict(fields_of(endpoint))
    for name, is_list in known.items():
        for value in ODD:
            if endpoint.method == "GET" and isinstance(value, str) and len(value) > 10_000:
                value = value[:10_000]
            base = {field: text for field, text in valid.items() if field in known}
            status, body = sender.send(endpoint, {**base, name: [value] if is_list else value})
            if status != 200:
                check_refusal(status, body)


@pytest.mark.parametrize("endpoint", CALLS)
def test_nothing_at_all_is_refused_or_answered(
    sender: Sender, endpoint: Endpoint[Any, Any]
) -> None:
    status, body = sender.send(endpoint, {})
    if status != 200:
        message = check_refusal(status, body)
        assert any(name in message for name, _ in fields_of(endpoint)) or status == 404, message


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/2.0/mlflow",
        "/api/2.0/mlflow/",
        "/api/2.0/mlflow/runs",
        "/api/2.0/mlflow/runs/get/",
        "/api/2.0/mlflow/runs//get",
        "/api/2.0/mlflow/RUNS/get",
        "/api/9.0/mlflow/runs/get",
        "/api/3.0/mlflow/traces",
        "/api/2.0/mlflow/webhooks",
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/v1/traces",
        "/graphql",
        "/%00",
        "/%ff%fe",
        "/api/2.0/mlflow/logged-models/a%2Fb",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_said_in_json(sender: Sender, method: str, path: str) -> None:
    sender.connection.request(method, path)
    answer = sender.connection.getresponse()
    body = answer.read()
    check_refusal(answer.status, body)
    assert answer.status in (404, 405, 400)
    assert answer.headers["Content-Type"].startswith("application/json")
