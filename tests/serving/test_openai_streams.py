from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.serving.conversing import CHAT, save_chatty, saying, streaming, wait_until_busy
from tests.serving.served import ServingLauncher, ServingProcess

HELLO = saying("say hello")


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chatty(tmp_path_factory.mktemp("models") / "chatty")


@pytest.fixture(scope="module")
def server(chatty: Path, shared_serving_process: ServingLauncher) -> ServingProcess:
    """Whose model has one place."""
    return shared_serving_process(chatty)


def said(server: ServingProcess, body: bytes = HELLO) -> str:
    answer = server.ask(body, path=CHAT)
    assert answer.status == 200, answer.body
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def test_a_piece_is_sent_as_soon_as_it_is_there(server: ServingProcess, tmp_path: Path) -> None:
    """The model does not say the second word before the first was read."""
    gate = tmp_path / "gate"
    with streaming(server, saying(f"wait {gate} one two three", stream=True)) as stream:
        pieces = stream.pieces()
        assert next(pieces) == "one"
        gate.touch()
        assert "".join(pieces) == " two three"
        assert stream.response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert stream.response.getheader("x-accel-buffering") == "no"
        assert (stream.response.getheader("x-request-id") or "").startswith("req-")


def test_a_stream_that_nobody_reads_frees_its_place(server: ServingProcess) -> None:
    """The only one that the model has, though it would never end."""
    with streaming(server, saying("forever more", stream=True)) as stream:
        assert next(stream.pieces()).startswith("more")  # pieces that wait go together
        wait_until_busy(server, queued=0, under_way=1)
        stream.hang_up()
        assert said(server) == "hello"
    wait_until_busy(server, queued=0, under_way=0)


def test_who_hangs_up_while_waiting_is_never_answered(
    server: ServingProcess, tmp_path: Path
) -> None:
    """Streamed or not, the model is not asked for them."""
    marks = [tmp_path / "whole", tmp_path / "streamed"]
    with streaming(server, saying("forever more", stream=True)) as first:
        next(first.pieces())
        for place, mark in enumerate(marks):
            body = saying(f"mark {mark}", stream=bool(place))
            with server.asking(body, CHAT):
                wait_until_busy(server, queued=1, under_way=1)
            wait_until_busy(server, queued=0, under_way=1)
    assert said(server) == "hello"
    assert not any(mark.exists() for mark in marks)


def test_a_reader_that_stops_reading_holds_nobody_up(
    server: ServingProcess, tmp_path: Path
) -> None:
    """Its answer is made, and waits for it; then the others have the place."""
    words = " ".join(["word" * 2000] * 2000)
    with streaming(server, saying(f"say {words}", stream=True)) as slow:
        assert said(server) == "hello"
        assert "".join(slow.pieces()) == words


def test_a_stream_that_is_never_read_ends(serving_process: ServingLauncher, chatty: Path) -> None:
    """Though its reader does not hang up."""
    server = serving_process(chatty, body_timeout=0.5)
    words = "word" * 20_000
    with streaming(server, saying(f"forever {words}", stream=True)):
        wait_until_busy(server, queued=0, under_way=0)
        assert said(server) == "hello"


def test_what_nobody_reads_is_not_kept_without_end(server: ServingProcess) -> None:
    """An endless answer that is made faster than it is read is ended, with an error."""
    with streaming(server, saying("flood word", stream=True)) as stream:
        wait_until_busy(server, queued=0, under_way=0)
        assert said(server) == "hello"
        *_, (name, data) = stream.events()
        assert name == "error"
        assert "too slowly" in json.loads(data)["error"]["message"]


def test_a_worker_that_dies_ends_its_streams_with_an_error(
    serving_process: ServingLauncher, chatty: Path
) -> None:
    """In the middle: told by an event, in OpenAI's shape; the next request is answered."""
    server = serving_process(chatty)
    with streaming(server, saying("say one two die", stream=True)) as stream:
        *pieces, (name, data) = stream.events()
        deltas = [json.loads(data)["choices"][0]["delta"] for _, data in pieces]
        assert "".join(each.get("content", "") for each in deltas).split() == ["one", "two"]
        assert name == "error"
        error = json.loads(data)["error"]
        assert error["type"] == "server_error"
        assert "process" in error["message"]
    assert said(server) == "hello"
    (worker,) = server.workers()
    with streaming(server, saying("forever more", stream=True)) as stream:
        next(stream.pieces())
        worker.send_signal(signal.SIGKILL)
        *_, (name, _) = stream.events()
        assert name == "error"
    assert said(server) == "hello"


def test_a_worker_that_dies_over_a_whole_answer_is_a_server_error(
    serving_process: ServingLauncher, chatty: Path
) -> None:
    """And one that is not repeated for ever."""
    server = serving_process(chatty)
    answer = server.ask(saying("say one die"), path=CHAT)
    assert answer.status >= 500
    assert answer.json()["error"]["type"] == "server_error"
    assert said(server) == "hello"


def test_a_full_queue_is_said_at_once(serving_process: ServingLauncher, chatty: Path) -> None:
    """With OpenAI's type of it, and when to come again."""
    server = serving_process(chatty, max_queue=1)
    with streaming(server, saying("forever more", stream=True)) as first:
        next(first.pieces())
        with server.asking(HELLO, CHAT):
            wait_until_busy(server, queued=1, under_way=1)
            answer = server.ask(HELLO, path=CHAT)
    assert answer.status == 429
    assert answer.headers["retry-after"]
    assert answer.json()["error"]["type"] == "rate_limit_error"
