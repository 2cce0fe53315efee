from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import Answer, LoadError, run_load
from benchmarks.wire import Wire

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\n0\r\n\r\n0\r\r\n4\r\nwiki\r\n0\r\n\r\n"
)

Serve = Callable[[int], list[bytes]]


@contextmanager
def answering(parts_of: Serve) -> Iterator[tuple[str, int]]:
    """A server that sends ``parts_of(n)`` for the n-th request; no parts: it hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    count = iter(range(1_000_000))

    def serve(sock: socket.socket) -> None:
        with sock:
            while sock.recv(65536):
                parts = parts_of(next(count))
                if not parts:
                    return
                for part in parts:
                    sock.sendall(part)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_counts_every_answer_of_every_connection() -> None:
    with answering(lambda _: [OK]) as address:
        result = run_load(address, [[REQUEST] * 20, [REQUEST] * 5], keep_bodies=True)
    assert result.answers == 25
    assert result.bodies == [b"{}"] * 25
    assert result.failures == 0
    assert result.rate > 0
    assert 0 < result.percentile(50) <= result.percentile(99)


def test_stops_when_the_time_is_up() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield REQUEST

    with answering(lambda _: [OK]) as address:
        result = run_load(address, [endless()], seconds=0.05)
    assert 0.05 <= result.seconds < 5
    assert result.answers > 0


def test_an_answer_other_than_200_is_a_failure_that_names_itself() -> None:
    with answering(lambda number: [REFUSED if number == 1 else OK]) as address:
        result = run_load(address, [[REQUEST] * 3])
    assert (result.answers, result.failures) == (2, 1)
    with pytest.raises(LoadError, match=r"1 of 3 requests failed: HTTP/1\.1 400 Bad Request: bad"):
        result.require_success()


def test_goes_on_over_a_new_connection_after_a_hang_up() -> None:
    with answering(lambda number: [] if number == 1 else [OK]) as address:
        result = run_load(address, [[REQUEST] * 4])
    assert (result.answers, result.failures) == (3, 1)
    assert "closed the connection" in result.first_failure


@pytest.mark.parametrize("whole", [OK, REFUSED, CHUNKED])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_is_whole_only_at_its_last_byte(whole: bytes, size: int) -> None:
    answer = Answer()
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert [answer.feed(part) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert answer.ok == (whole is not REFUSED)


def test_chunks_are_joined_even_where_they_look_like_the_end() -> None:
    answer = Answer()
    assert answer.feed(CHUNKED)
    assert answer.body == b"0\r\n\r\n0\rwiki"


def test_asking_again_after_an_idle_connection_was_closed_opens_another() -> None:
    with answering(lambda _: [OK]) as address:
        wire = Wire(address)
        assert wire.ask(REQUEST) == b"{}"
        connection = wire._connection
        assert connection is not None
        connection.sock.shutdown(socket.SHUT_WR)  # the server hangs up when we say goodbye
        assert select.select([connection.sock], [], [], 10)[0]
        assert wire.ask(REQUEST) == b"{}"
        assert wire._connection is not connection
        wire.close()


def test_no_answer_at_all_is_an_error() -> None:
    with (
        pytest.raises(LoadError, match="no request was answered"),
        answering(lambda _: [OK]) as address,
    ):
        run_load(address, [[]]).require_success()


def test_an_answer_other_than_expected_fails() -> None:
    with answering(lambda number: [OK if number % 2 else b"HTTP/1.1 200 OK\r\n\r\n"]) as address:
        result = run_load(address, [[REQUEST] * 4], expected=[b"{}"])
    assert (result.answers, result.failures) == (2, 2)
    assert "not the answer expected" in result.first_failure


def test_blanks_in_an_answer_do_not_count() -> None:
    body = b'{"predictions": [1, 2]}'
    told = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(lambda _: [told]) as address:
        run_load(address, [[REQUEST]], expected=[b'"predictions":[1,2]']).require_success()
