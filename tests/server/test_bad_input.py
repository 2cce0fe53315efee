"""Whatever a client sends, it gets a 4xx in JSON that says what was wrong, and no more."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable

import pytest

from headrace.errors import Unavailable
from tests.server.live import API, JSON, Live

FORBIDDEN = ("Traceback", "sqlite", "SELECT", "INSERT", 'File "', "psycopg", "sqlalchemy")

BODIES: list[tuple[bytes, str]] = [
    (b"", "run_id"),
    (b"{", "not valid JSON"),
    (b"nonsense", "not valid JSON"),
    (b"[]", "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (b"7", "must be a JSON object"),
    (b'"text"', "not valid JSON"),
    (b"\xff\xfe{}", "not valid JSON"),
    (b'{"run_id": "\xff"}', "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, ""),
    (b'{"run_id": null}', "run_id"),
    (b'{"run_id": 7}', "run_id"),
    (b'{"run_id": {}}', "run_id"),
    (b'{"run_id": ""}', "run_id"),
    (b'{"run_id": "a b"}', "run_id"),
    (b'{"run_id": "a\\u0000"}', "run_id"),
    (b'{"run_id": "' + b"a" * 5000 + b'"}', "run_id"),
    (b'{"run_id": "r"}', "key"),
    (b'{"run_id": "r", "key": ""}', "key"),
    (b'{"run_id": "r", "key": "../x"}', "key"),
    (b'{"run_id": "r", "key": "k"}', "value"),
    (b'{"run_id": "r", "key": "k", "value": "much"}', "value"),
    (b'{"run_id": "r", "key": "k", "value": []}', "value"),
    (b'{"run_id": "r", "key": "k", "value": 1}', "timestamp"),
    (b'{"run_id": "r", "key": "k", "value": 1, "timestamp": "soon"}', "timestamp"),
    (b'{"run_id": "r", "key": "k", "value": 1, "timestamp": 1.5}', "timestamp"),
    (b'{"run_id": "r", "key": "k", "value": 1, "timestamp": 9223372036854775808}', "timestamp"),
    (b'{"run_id": "r", "key": "k", "value": 1, "timestamp": 1e400}', ""),
    (b'{"run_id": "r", "key": "k", "value": 1, "timestamp": 1, "step": "x"}', "step"),
    (b'{"run_id": "r", "key": "\\ud800", "value": 1, "timestamp": 1}', ""),
]


@pytest.mark.parametrize(("body", "names"), BODIES, ids=range(len(BODIES)))
def test_a_bad_body_is_a_400_that_names_the_field(live: Live, body: bytes, names: str) -> None:
    status, code, message = live.send("POST", f"{API}/runs/log-metric", body, JSON).error()
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE"), message
    assert names in message
    assert not any(word in message for word in FORBIDDEN)
    assert len(message) < 1000


def test_a_run_that_is_not_there_is_a_404(live: Live) -> None:
    point = {"run_id": "nobody", "key": "k", "value": 1, "timestamp": 1}
    assert live.call("/runs/log-metric", point).error()[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?run_id=",
        "?run_id=%00",
        "?run_id=%ff",
        "?run_id=%E2%82",
        "?run_id=a%20b",
        "?runId=abc",
        "?run_id=..%2F..",
        "?" + "&".join(f"a{n}=1" for n in range(1001)),
        "?run_id=%F0%9F%98%80",
    ],
)
def test_a_bad_query_is_a_400(live: Live, query: str) -> None:
    status, code, message = live.get(f"/runs/get{query}").error()
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert not any(word in message for word in FORBIDDEN)


@pytest.mark.parametrize("query", ["max_results=x", "max_results=", "view_type=SOME", ""])
def test_a_bad_search_by_query_is_a_400(live: Live, query: str) -> None:
    assert live.get(f"/experiments/search?{query}").error()[0] == 400


def test_an_announced_body_that_is_too_large_is_refused_unread(
    start_live: Callable[..., Live],
) -> None:
    live = start_live(max_body_bytes=1000)
    connection = live.connect()
    connection.putrequest("POST", f"{API}/runs/create")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1001")
    connection.endheaders()  # not a byte of the body
    answer = connection.getresponse()
    assert answer.status == 413
    assert "1000" in json.loads(answer.read())["message"]
    connection.close()
    assert live.send("POST", f"{API}/runs/create", b"{" + b" " * 998 + b"}", JSON).status == 200


def test_a_body_that_grows_too_large_is_refused_on_the_way(start_live: Callable[..., Live]) -> None:
    live = start_live(max_body_bytes=1000)
    pieces = iter([b'{"a":"'] + [b"x" * 400] * 3 + [b'"}'])
    connection = live.connect()
    connection.request("POST", f"{API}/runs/create", pieces, JSON, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_headers_have_a_limit(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
        client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(OSError):  # the server may hang up while we still talk
            for n in range(100_000):
                client.sendall(b"X-Header-%d: %s\r\n" % (n, b"x" * 1000))
        with contextlib.suppress(ConnectionResetError):
            answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 431 ")
    assert live.send("GET", "/version").status == 200


def test_a_request_just_below_the_header_limit_is_answered(live: Live) -> None:
    headers = {f"X-{n}": "x" * 1000 for n in range(50)}
    assert live.send("GET", "/version", headers=headers).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_a_400_in_json_or_a_4xx(live: Live, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b'{"error_code":' in answer
    assert live.send("GET", "/version").status == 200


def test_a_client_that_hangs_up_in_a_body_is_forgotten(live: Live) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
            client.sendall(
                b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\n"
                b'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"tags"'
            )
    assert live.send("GET", "/health").body == b"OK"


def test_a_body_that_stops_is_given_up(start_live: Callable[..., Live]) -> None:
    live = start_live(body_timeout=0.1)
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
        client.sendall(
            b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"tags"'
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_a_connection_that_says_nothing_is_closed(start_live: Callable[..., Live]) -> None:
    live = start_live(keep_alive=1)
    for beginning in (b"", b"GET /version HT"):
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
            client.sendall(beginning)
            assert client.recv(10) == b""


def test_an_unexpected_error_tells_a_number_and_nothing_else(
    start_live: Callable[..., Live], caplog: pytest.LogCaptureFixture
) -> None:
    live = start_live()
    call = live.app._exact[f"{API}/runs/get"]["GET"]

    def broken(_: object) -> object:
        raise ZeroDivisionError("SELECT secret FROM table")

    call.call = broken
    status, code, message = live.get("/runs/get?run_id=r").error()
    assert (status, code) == (500, "INTERNAL_ERROR")
    assert "SELECT" not in message
    number = message.split("number ")[1].split()[0]
    assert number in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_too_many_waiting_reads_are_told_to_come_back(start_live: Callable[..., Live]) -> None:
    live = start_live(read_threads=1, max_waiting_reads=1)
    call = live.app._exact[f"{API}/runs/search"]["POST"]
    original, entered, go_on = call.call, threading.Event(), threading.Event()

    def waiting(request: object) -> object:
        entered.set()
        go_on.wait(20)
        return original(request)

    call.call = waiting
    replies: list[int] = []
    thread = threading.Thread(
        target=lambda: replies.append(live.call("/runs/search", {"experiment_ids": []}).status)
    )
    thread.start()
    assert entered.wait(20)
    refused = live.call("/runs/search", {"experiment_ids": []}).error()
    go_on.set()
    thread.join()
    assert refused[:2] == (429, "REQUEST_LIMIT_EXCEEDED")
    assert replies == [200]


def test_health_is_503_when_the_store_is_not_there(start_live: Callable[..., Live]) -> None:
    live = start_live()
    assert (live.send("GET", "/health").status, live.send("GET", "/health").body) == (200, b"OK")
    original = live.store.experiments.get

    def gone(_: object) -> object:
        raise Unavailable("the disk is away")

    live.store.experiments.get = gone  # type: ignore[assignment,method-assign]  # a broken store
    try:
        status, code, message = live.send("GET", "/health").error()
    finally:
        live.store.experiments.get = original  # type: ignore[method-assign]  # as it was
    assert (status, code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "the disk is away" in message
