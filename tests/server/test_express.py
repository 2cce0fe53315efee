"""The express lane: the answers of the ordinary one, in order, whatever the client does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace.server import dispatch
from tests.server.live import API, Live

Answer = tuple[bytes, list[bytes], bytes]
RUN = "0" * 32
CLOSE = b"Connection: close\r\n"


def head(method: str, path: str, length: int | None = None, extra: bytes = b"") -> bytes:
    lines = f"{method} {API}{path} HTTP/1.1\r\nHost: localhost\r\n".encode() + extra
    if length is not None:
        lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % length
    return lines + b"\r\n"


def get(path: str, extra: bytes = b"") -> bytes:
    return head("GET", path, None, extra)


def post(path: str, body: object, extra: bytes = b"") -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", path, len(text), extra) + text


def tag(run_id: str, value: str = "v", extra: bytes = b"") -> bytes:
    return post("/runs/set-tag", {"run_id": run_id, "key": "k", "value": value}, extra)


def connect(live: Live) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", live.port), timeout=20)
    client.sendall(get("/experiments/get?experiment_id=0"))  # from now on the Host is known
    with client.makefile("rb") as stream:
        read_answer(stream)
    return client


def read_answer(stream: Any, method: str = "GET") -> Answer:
    """Status line, sorted headers but for the second of the day, and body."""
    status = stream.readline()
    assert status, "the connection was closed"
    lines = list(iter(stream.readline, b"\r\n"))
    headers = sorted(b"date" if line.startswith(b"date: ") else line for line in lines)
    length = next(int(line.split()[1]) for line in lines if line.startswith(b"content-length:"))
    return status, headers, b"" if method == "HEAD" else stream.read(length)


def ask(live: Live, *requests: bytes) -> list[Answer]:
    """The answers to requests that are sent in one piece."""
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(b"".join(requests))
        return [read_answer(stream) for _ in requests]


@pytest.mark.parametrize(
    "make",
    [
        lambda run, extra: get(f"/runs/get?run_id={run}", extra),
        lambda run, extra: get(f"/runs/get?run_id={run}#part", extra),
        lambda run, extra: get(f"/runs/get?run_id={RUN}", extra),
        lambda run, extra: get("/runs/get?run_id=%ff", extra),
        lambda run, extra: get("/runs/get", extra),
        lambda run, extra: tag(run, "v", extra),
        lambda run, extra: tag(RUN, "v", extra),
        lambda run, extra: post("/runs/set-tag", b"{", extra),
        lambda run, extra: post("/runs/set-tag", b"", extra),
        lambda run, extra: post("/experiments/create", {"name": "Default"}, extra),
        lambda run, extra: post("/runs/log-batch", {"run_id": run, "metrics": [{}]}, extra),
    ],
)
def test_both_lanes_give_the_same_answer(
    live: Live, make: Callable[[str, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make(live.new_run(), b"")
    (express,) = ask(live, request)
    monkeypatch.setattr(live.app, "find_express", lambda *_: None)
    (ordinary,) = ask(live, request)
    assert express == ordinary


@pytest.mark.parametrize(
    "path",
    [
        "/runs/get?run_id={run}",
        f"/runs/get?run_id={RUN}",
        "/runs/get",
        "/experiments/search?max_results=1",
        "/logged-models/m-none",
    ],
)
def test_head_says_what_get_would_and_sends_no_body(live: Live, path: str) -> None:
    path = path.format(run=live.new_run())
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(head("HEAD", path) + get(path))
        told = read_answer(stream, "HEAD")
        status, headers, body = read_answer(stream)
    assert body
    assert told == (status, headers, b"")


def test_pipelined_requests_are_answered_in_order_across_lanes(live: Live) -> None:
    run = live.new_run()
    requests: list[bytes] = []
    for n in range(5):  # a write and a read that are express, and one that is ordinary
        requests += [tag(run, str(n)), get(f"/runs/get?run_id={run}"), get(f"/no/such/{n}")]
    answers = ask(live, *requests)
    for n in range(5):
        written, read, missing = answers[3 * n : 3 * n + 3]
        assert written[2] == b"{}"
        assert {"key": "k", "value": str(n)} in json.loads(read[2])["run"]["data"]["tags"]
        assert b"/no/such/%d" % n in missing[2]


def test_a_call_that_offers_http2_takes_the_lane_with_all_of_its_body(live: Live) -> None:
    run_id = live.new_run()
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    found = ask(live, tag(run_id), tag(run_id, "w", offer), tag(run_id), tag(RUN, "w", offer))
    assert [status.split()[1] for status, _, _ in found] == [b"200"] * 3 + [b"404"]


def test_a_client_that_hangs_up_is_forgotten_and_its_write_is_kept(live: Live) -> None:
    run = live.new_run()
    for _ in range(10):
        with connect(live) as client:
            client.sendall(head("POST", "/runs/set-tag", 1000) + b'{"run_id"')
        with connect(live) as client:
            client.sendall(tag(run, "late"))
    assert b"late" in ask(live, tag(run, "late"), get(f"/runs/get?run_id={run}"))[1][2]


def test_a_ride_under_way_is_answered_when_the_server_stops(live: Live) -> None:
    run = live.new_run()
    request = tag(run, "last")
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(request[:-5])
        (ride,) = _rides(live)
        live.app._completions._loop.call_soon_threadsafe(ride.shutdown)  # type: ignore[union-attr]  # bound by the first request
        client.sendall(request[-5:])
        status, headers, body = read_answer(stream)
        assert (status, body) == (b"HTTP/1.1 200 OK\r\n", b"{}")
        assert b"connection: close\r\n" in headers
        assert stream.read() == b""


def _rides(live: Live) -> list[Any]:
    """The connections that wait for the body of an express call, once there is one."""
    tick = threading.Event()
    while True:
        connections: list[Any] = list(live.server.server_state.connections)
        found = [c for c in connections if getattr(c.cycle, "more_body", False)]
        if found:
            return found
        tick.wait(0.005)


def test_the_limit_of_bodies_holds_here_too(start_live: Callable[..., Live]) -> None:
    live = start_live(max_body_bytes=1000)
    (answer,) = ask(live, tag(live.new_run(), "x" * 2000))
    assert answer[0].startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", ["/runs/set-tag", "/runs/search"])
@pytest.mark.parametrize("begun", [b"", b"{"])
def test_a_body_that_does_not_come_is_given_up(
    start_live: Callable[..., Live], path: str, begun: bytes
) -> None:
    live = start_live(body_timeout=0.1, keep_alive=1)
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(head("POST", path, 100) + begun)
        status, _, body = read_answer(stream)
        assert status == b"HTTP/1.1 400 Bad Request\r\n"
        assert b"stopped after %d bytes" % len(begun) in body
        client.sendall(b" ")
        assert stream.read() == b""  # and then the connection is closed as an idle one


def test_the_clock_of_an_idle_connection_stops_with_the_next_pipelined_call(
    start_live: Callable[..., Live],
) -> None:
    live = start_live(body_timeout=1.3, keep_alive=1)
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(get("/experiments/get?experiment_id=0") + head("POST", "/runs/search", 9))
        assert read_answer(stream)[0] == b"HTTP/1.1 200 OK\r\n"
        assert read_answer(stream)[0] == b"HTTP/1.1 400 Bad Request\r\n"


def test_trailers_have_the_limit_of_headers(live: Live) -> None:
    with connect(live) as client:
        client.sendall(
            f"POST {API}/runs/search HTTP/1.1\r\nHost: localhost\r\n".encode()
            + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"2\r\n{}\r\n0\r\n"
        )
        trailers = (b"X-Trailer: " + b"x" * 10_000 + b"\r\n") * 2000
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            client.sendall(trailers)


def test_nonsense_behind_a_call_is_not_its_answer(live: Live) -> None:
    with connect(live) as client, client.makefile("rb") as stream:
        client.sendall(tag(live.new_run()) + b"NONSENSE\r\n\r\n")
        assert not stream.read().startswith(b"HTTP/1.1 400")


def test_who_does_not_read_is_not_answered_without_end(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = live.new_run()
    answered = []
    original = dispatch._Call.answer_here

    def counted(call: object, request: object) -> bytes:
        answered.append(1)
        return original(call, request) + b" " * 100_000  # type: ignore[arg-type]  # as it was

    monkeypatch.setattr(dispatch._Call, "answer_here", counted)
    with connect(live) as client:
        answered.clear()
        client.sendall(get(f"/runs/get?run_id={run}") * 1000)
        assert live.send("GET", "/health").status == 200
        assert live.send("GET", "/health").status == 200
        assert len(answered) < 200
