from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from benchmarks import processes
from benchmarks.figures.serving import Requests
from benchmarks.load import Answer, Connection, LoadError
from benchmarks.serving_chat import Streamed, has_text, read_stream, stream, without_blanks
from benchmarks.serving_peers import SERVING_PEERS, wait_for_answer
from tests.benchmarks.test_load import REQUEST, answering

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGINNING = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
PIECE = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def parts(*events: bytes) -> list[bytes]:
    return [HEAD, *(chunk(event) for event in events), b"0\r\n\r\n"]


def test_the_first_piece_is_the_first_that_holds_text() -> None:
    answer = Answer()
    answer.feed(HEAD + chunk(BEGINNING))
    assert not has_text(answer)
    answer.feed(chunk(PIECE))
    assert has_text(answer)


def test_a_stream_is_timed_to_its_first_text_and_to_its_end() -> None:
    with answering(lambda _: parts(BEGINNING, PIECE, PIECE, DONE)) as address:
        seen = stream(address, REQUEST, clients=2, seconds=0.05)
    assert len(seen.firsts) == len(seen.wholes) > 0
    assert all(0 < first <= whole for first, whole in zip(seen.firsts, seen.wholes, strict=True))
    assert Streamed([1.0, 1.0, 3.0], [4.0, 2.0, 4.0]).share == 0.5


@pytest.mark.parametrize(
    "events", [(BEGINNING, DONE), (BEGINNING, PIECE)], ids=["no text", "no end"]
)
def test_half_a_stream_is_an_error(events: tuple[bytes, ...]) -> None:
    with answering(lambda _: parts(*events)) as address:
        connection = Connection(address, ())
        with connection.sock, pytest.raises(LoadError, match="not a stream of text"):
            read_stream(connection, REQUEST)
        with pytest.raises(LoadError, match="not a stream of text"):
            stream(address, REQUEST, clients=1, seconds=0.05)


def test_an_answer_is_looked_for_without_blanks() -> None:
    answer = Answer()
    body = json.dumps({"content": 'He said "so", twice.'}).encode()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert answer.holds(without_blanks('He said "so", twice.'))
    assert not answer.holds(without_blanks("He said so"))


def test_a_server_that_refuses_the_request_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.serving_peers.REFUSED_LIMIT_S", 0.1)
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad"
    with subprocess.Popen(["sleep", "60"]) as process, answering(lambda _: [refused]) as address:
        assert wait_for_answer(address, process, REQUEST, b"x") == "HTTP/1.1 400 Bad Request: bad"
        process.kill()


def test_a_server_has_started_with_its_first_right_answer() -> None:
    starting = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    wrong, right = (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % each for each in (1, 2))
    told = [starting, wrong, right]
    with (
        subprocess.Popen(["sleep", "60"]) as process,
        answering(lambda number: [told[number]]) as address,
    ):
        assert wait_for_answer(address, process, REQUEST, b"2") == ""
        process.kill()


def test_every_peer_is_asked_for_the_same_rows() -> None:
    requests = Requests(["a", "b"], [[1.5, 2.0], [3.0, 4.25]], [7, 8])
    for peer in SERVING_PEERS.values():
        asked = list(requests.of(peer))
        for (request, expected), row, answer in zip(
            asked, requests.rows, requests.answers, strict=True
        ):
            head, _, body = request.partition(b"\r\n\r\n")
            assert head.startswith(b"POST " + peer.path.encode())
            assert b"Content-Length: %d" % len(body) in head
            assert ", ".join(map(str, row)) in body.decode()
            assert str(answer).encode() in expected


def test_cpu_of_a_tree_holds_that_of_its_children() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\n"
    run = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin!r}])\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", run], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while processes.cpu_seconds(process.pid) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert processes.cpu_seconds(process.pid) >= 0.3
        own = processes.own_cpu_seconds(process.pid)
        assert own < processes.cpu_seconds(process.pid) - 0.2  # without the child's 0.3
        process.kill()


def test_own_cpu_counts_all_threads() -> None:
    before = processes.own_cpu_seconds(os.getpid())
    done, go_on = threading.Event(), threading.Event()

    def spin() -> None:
        while time.thread_time() < 0.05:
            pass
        done.set()
        go_on.wait()  # its figures are gone with it

    thread = threading.Thread(target=spin)
    thread.start()
    done.wait()
    spent = processes.own_cpu_seconds(os.getpid()) - before
    go_on.set()
    thread.join()
    assert spent >= 0.04
