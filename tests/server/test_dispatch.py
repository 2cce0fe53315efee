"""Calls of the protocol through a real socket: found, decoded, answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from headrace.server import dispatch
from tests.server.live import API, JSON, Live

QUERY = "application/x-www-form-urlencoded"


def test_a_run_is_made_written_and_read(live: Live) -> None:
    run_id = live.new_run()
    point = {"run_id": run_id, "key": "loss", "value": "NaN", "timestamp": "12", "step": 3}
    assert live.call("/runs/log-metric", point).json == {}
    assert live.call("/runs/log-parameter", {"run_id": run_id, "key": "p", "value": "v"}).json == {}

    run = live.get(f"/runs/get?run_id={run_id}").json["run"]
    assert run["data"]["metrics"] == [{"key": "loss", "value": "NaN", "timestamp": 12, "step": 3}]
    assert run["data"]["params"] == [{"key": "p", "value": "v"}]


def test_both_prefixes_answer_the_same(live: Live) -> None:
    path = "/2.0/mlflow/experiments/get?experiment_id=0"
    one, other = live.send("GET", f"/api{path}"), live.send("GET", f"/ajax-api{path}")
    assert one.status == other.status == 200
    assert one.json == other.json
    assert one.json["experiment"]["name"] == "Default"


def test_search_datasets_and_history_bulk_answer_pages(live: Live) -> None:
    run_id = live.new_run()
    for value in (1, 2):
        point = {"run_id": run_id, "key": "m", "value": value, "timestamp": value}
        live.call("/runs/log-metric", point)
    found = live.send(
        "GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run_id}&metric_key=m"
    )
    assert [m["value"] for m in found.json["metrics"]] == [1.0, 2.0]
    datasets = live.send(
        "POST",
        "/ajax-api/2.0/mlflow/experiments/search-datasets",
        '{"experiment_ids": ["0"]}',
        JSON,
    )
    assert datasets.json == {}


def test_lists_come_as_repeated_keys(live: Live) -> None:
    ids = [live.new_run(), live.new_run()]
    for run_id in ids:
        live.call("/runs/log-metric", {"run_id": run_id, "key": "k", "value": 1, "timestamp": 1})
    query = "&".join(f"run_ids={run_id}" for run_id in ids)
    found = live.get(f"/metrics/get-history-bulk-interval?{query}&metric_key=k")
    assert {m["run_id"] for m in found.json["metrics"]} == set(ids)


def test_fields_in_the_path_are_fields_of_the_request(live: Live) -> None:
    made = live.call("/logged-models", {"experiment_id": "0", "name": "net"})
    model_id = made.json["model"]["info"]["model_id"]
    at = f"/logged-models/{model_id}"

    assert live.call(f"{at}/tags", {"tags": [{"key": "a/b c", "value": "1"}]}, "PATCH").json == {}
    ready = live.call(at, {"model_id": "other", "status": "LOGGED_MODEL_READY"}, "PATCH")
    assert ready.json["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    assert ready.json["model"]["info"]["model_id"] == model_id
    tags = live.get(at).json["model"]["info"]["tags"]
    assert {"key": "a/b c", "value": "1"} in tags

    # The key of a tag may hold slashes and blanks, sent as they are or encoded.
    assert live.send("DELETE", f"{API}{at}/tags/a/b%20c").json == {}
    assert live.send("DELETE", f"{API}{at}/tags/a%2Fb%20c").error()[0] == 404
    assert live.send("DELETE", f"{API}{at}").json == {}
    assert live.get(at).error()[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_null_in_a_body_with_a_path_is_unset(live: Live) -> None:
    made = live.call("/logged-models", {"experiment_id": "0"})
    at = f"/logged-models/{made.json['model']['info']['model_id']}"
    assert live.call(f"{at}/params", {"params": None}, "POST").json == {}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_taken_with_parameters_and_in_any_case(live: Live, content_type: str) -> None:
    reply = live.send(
        "POST",
        f"{API}/runs/create",
        b"{}",
        {"Content-Type": content_type},
    )
    assert reply.status == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp", QUERY])
def test_other_types_of_body_are_refused(live: Live, method: str, content_type: str | None) -> None:
    path = f"{API}/runs/create" if method == "POST" else f"{API}/registered-models/update"
    connection = live.connect()
    connection.putrequest(method, path)
    connection.putheader("Content-Length", "2")
    if content_type is not None:
        connection.putheader("Content-Type", content_type)
    connection.endheaders(b"{}")
    answer = connection.getresponse()
    message = json.loads(answer.read())["message"]
    connection.close()
    assert answer.status == 400
    assert "Content-Type must be" not in message
    assert "'Content-Type'" in message
    assert "application/json" in message


def test_a_delete_needs_a_type_only_with_a_body(live: Live) -> None:
    live.call("/registered-models/create", {"name": "gone"})
    path = f"{API}/registered-models/delete"
    text = {"Content-Type": "text/plain"}
    assert live.send("DELETE", path, b'{"name": "gone"}', text).error()[0] == 400
    assert live.send("DELETE", path, b'{"name": "gone"}', JSON).json == {}


def test_what_is_not_served_is_said_once(live: Live) -> None:
    for method, path in (
        ("POST", "/api/3.0/mlflow/traces"),
        ("GET", "/api/2.0/mlflow/webhooks"),
        ("POST", "/v1/traces"),
        ("GET", "/api/3.0/mlflow/gateway/endpoints/list"),
        ("POST", "/graphql"),
        ("GET", "/nothing"),
        ("GET", "/api/2.0/mlflow/runs/get/"),
        ("GET", "/%00%ff/<script>"),
    ):
        status, code, message = live.send(method, path, b"{}", JSON).error()
        assert (status, code) == (404, "ENDPOINT_NOT_FOUND"), path
        assert "Headrace does not serve" in message
        assert "\x00" not in message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{API}/runs/create", {"POST"}),
        ("DELETE", f"{API}/runs/get", {"GET", "HEAD"}),
        ("HEAD", f"{API}/runs/search", {"POST"}),
        ("PUT", f"{API}/registered-models/alias", {"GET", "HEAD", "POST", "DELETE"}),
        ("POST", f"{API}/logged-models/m-1", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("POST", "/api/2.0/mlflow-artifacts/artifacts/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("BREW", f"{API}/runs/get", None),
    ],
)
def test_a_wrong_method_says_which_are_right(
    live: Live, method: str, path: str, allowed: set[str] | None
) -> None:
    reply = live.send(method, path)
    assert reply.status == (405 if allowed else 400)
    if allowed:
        assert set(reply.headers["allow"].split(", ")) == allowed


def test_a_large_body_in_pieces_arrives_whole(live: Live) -> None:
    run_id = live.new_run()
    value = "x" * 90_000
    body = json.dumps(
        {"run_id": run_id, "tags": [{"key": f"t{n}", "value": value} for n in range(5)]}
    )
    pieces = [body[n : n + 10_000].encode() for n in range(0, len(body), 10_000)]
    connection = live.connect()
    connection.request("POST", f"{API}/runs/log-batch", iter(pieces), JSON, encode_chunked=True)
    assert connection.getresponse().read() == b"{}"
    connection.close()
    tags = live.get(f"/runs/get?run_id={run_id}").json["run"]["data"]["tags"]
    assert sum(tag["value"] == value for tag in tags) == 5


def test_many_connections_get_their_own_answers(live: Live) -> None:
    run_ids = [live.new_run() for _ in range(8)]
    wrong: list[object] = []

    def work(run_id: str) -> None:
        connection = live.connect()
        for step in range(50):
            point = {"run_id": run_id, "key": run_id, "value": step, "timestamp": 1, "step": step}
            reply = live.send("POST", f"{API}/runs/log-metric", json.dumps(point), JSON, connection)
            seen = live.send("GET", f"{API}/runs/get?run_id={run_id}", None, {}, connection)
            metrics = seen.json["run"]["data"]["metrics"]
            if reply.body != b"{}" or metrics[0]["key"] != run_id or metrics[0]["value"] != step:
                wrong.append((reply, seen))
        connection.close()

    threads = [threading.Thread(target=work, args=(run_id,)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_quick_reads_that_are_slow_move_to_a_thread(
    start_live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "SLOW_READ", -1.0)  # every read is slow
    live = start_live()
    run_id = live.new_run()
    threads: list[str] = []
    call = live.app._exact[f"{API}/runs/get"]["GET"]
    original = call.call

    def noting(request: object) -> object:
        threads.append(threading.current_thread().name)
        return original(request)

    call.call = noting
    for _ in range(dispatch.MAX_SLOW_READS + 1):
        assert live.get(f"/runs/get?run_id={run_id}").status == 200
    assert not any(name.startswith("headrace-read") for name in threads[:-1])
    assert threads[-1].startswith("headrace-read")

    monkeypatch.setattr(dispatch, "SLOW_READ", 60.0)
    call.here_from = 0.0  # the while is over
    for _ in range(dispatch.MAX_SLOW_READS + 1):
        assert live.get(f"/runs/get?run_id={run_id}").status == 200
    assert not threads[-1].startswith("headrace-read")
