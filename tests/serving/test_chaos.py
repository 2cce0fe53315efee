"""The whole server, over HTTP, while models and people do their worst to its processes."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.serving.models import answered, asked, save_unruly
from tests.serving.served import ServingLauncher, ServingProcess
from tests.serving.waiting import wait_until


@pytest.fixture(scope="module")
def server(shared_serving_process: ServingLauncher, unruly: Path) -> ServingProcess:
    """A server of the model that does what its rows say."""
    return shared_serving_process(unruly, timeout=20, memory_limit=800 << 20)


def said(server: ServingProcess, *rows: tuple[str, float] | str) -> str:
    """The prediction for the first row."""
    answer = server.ask(asked(*rows))
    assert answer.status == 200, answer.body
    text: str = answered(answer.body)[0]
    return text


@pytest.mark.parametrize(
    ("row", "status", "code", "reason"),
    [
        ("raise", 400, "BAD_REQUEST", "ValueError: the secret of row 7"),
        ("sys_exit", 400, "BAD_REQUEST", "SystemExit"),
        ("interrupt", 400, "BAD_REQUEST", "KeyboardInterrupt"),
        ("exit", 500, "INTERNAL_ERROR", "status 5"),
        ("segfault", 500, "INTERNAL_ERROR", "SIGSEGV"),
        (("allocate", 4000.0), 400, "BAD_REQUEST", "memory"),
    ],
)
def test_a_request_that_fails_says_why_and_nothing_of_the_inside(
    server: ServingProcess, row: str | tuple[str, float], status: int, code: str, reason: str
) -> None:
    answer = server.ask(asked(row))
    assert answer.status == status
    assert set(answer.json()) == {"error_code", "message"}
    assert answer.json()["error_code"] == code
    assert reason in answer.json()["message"]
    assert b"Traceback" not in answer.body
    assert b".py" not in answer.body
    assert said(server, ("echo", 2)) == "2.0"


def test_what_a_model_raises_fills_neither_answers_nor_the_log(server: ServingProcess) -> None:
    before = server.workers(), len(server.log)
    answer = server.ask(asked(("bellow", 70e6)))
    message = answer.json()["message"]
    assert answer.status == 400
    assert "ValueError: zzz" in message
    assert message.endswith("z\nthe end")
    assert len(message) < 2_100
    server.wait_for("z\nthe end\n")
    assert len(server.log) - before[1] < 30_000
    assert server.workers() == before[0]


def test_what_a_model_raises_each_time_is_in_the_log_once(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly)
    for _ in range(20):
        assert server.ask(asked("raise")).status == 400
    assert server.ask(asked("stop")).status == 400
    server.wait_for("Stop: at once")
    assert server.log.count("ValueError: the secret of row 7") == 1
    debugging = serving_process(unruly, debug=True)
    for _ in range(3):
        assert debugging.ask(asked("raise")).status == 400
    assert debugging.ask(asked("stop")).status == 400
    debugging.wait_for("Stop: at once")
    assert debugging.log.count("ValueError: the secret of row 7") == 3


def test_what_a_model_prints_is_in_the_log_and_in_no_answer(server: ServingProcess) -> None:
    assert said(server, ("print", 3)) == "None"
    server.wait_for("printed 3.0")
    server.wait_for("written to the descriptor")


def test_no_request_is_lost_while_workers_are_killed(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly, workers=2, timeout=30)
    with ThreadPoolExecutor(8) as clients:
        for _ in range(3):
            asking = [
                clients.submit(said, server, ("slow", 0.01), ("echo", number))
                for number in range(100)
            ]
            for worker in server.workers():
                worker.kill()
            assert [each.result() for each in asking] == ["None"] * 100


def test_a_server_that_stood_still_ends_no_worker_that_has_answered(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    timeout = 3.0
    server = serving_process(unruly, timeout=timeout)
    with ThreadPoolExecutor(1) as clients:
        worker = said(server, "pid")
        asking = clients.submit(said, server, ("slow", 0.5))
        wait_until(lambda: _pool(server)["under_way"] == 1)
        front = psutil.Process(server.process.pid)
        wait_until(lambda: front.status() == psutil.STATUS_SLEEPING)  # for what comes to it
        front.suspend()
        time.sleep(timeout * 1.5)  # the time itself is what matters
        front.resume()
        assert asking.result() == "None"
        assert said(server, "pid") == worker


def test_health_says_when_no_worker_can_answer(
    serving_process: ServingLauncher, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    server = serving_process(save_unruly(tmp_path / "fragile", load="exit", state=str(broken)))
    assert server.ask(path="/health").status == 200
    broken.touch()
    assert server.ask(asked("exit")).status == 500
    assert server.ask(path="/health").status == 503
    assert server.ask(asked("pid")).status == 503
    broken.unlink()
    wait_until(lambda: server.ask(path="/health").status == 200)
    assert said(server, ("echo", 1)) == "1.0"


def test_what_is_under_way_is_finished_when_all_processes_are_told_to_end(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly, max_batch=1)
    workers = server.workers()
    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(said, server, ("slow", 0.5)) for _ in range(4)]
        wait_until(lambda: _pool(server)["queued"] == 3)
        for process in (*workers, psutil.Process(server.process.pid)):
            process.send_signal(signal.SIGTERM)
        assert [each.result() for each in asking] == ["None"] * 4
    assert server.process.wait(30) == 0
    assert not any(map(_is_alive, workers))


def test_nothing_outlives_a_server_that_is_killed(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly, workers=2)
    workers = server.workers()
    children = [psutil.Process(int(said(server, deed))) for deed in ("fork", "spawn", "spawn")]
    with ThreadPoolExecutor(1) as clients:
        hung = clients.submit(server.ask, asked("hang"))
        wait_until(lambda: _pool(server)["under_way"] == 1)
        os.kill(server.process.pid, signal.SIGKILL)
        assert isinstance(hung.exception(), OSError)
    wait_until(lambda: not any(map(_is_alive, (*workers, *children))))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", server.port))


def test_what_a_model_forks_does_not_end_with_the_thread_that_forked_it(
    server: ServingProcess,
) -> None:
    """Pools of processes are started in any thread."""
    assert said(server, "fork_in_thread") == "alive"


def test_the_system_would_rather_end_a_worker_than_the_server(server: ServingProcess) -> None:
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    assert score(server.workers()[0].pid) > score(server.process.pid)


def test_what_nobody_waits_for_any_more_is_not_predicted(
    serving_process: ServingLauncher, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    server = serving_process(save_unruly(tmp_path / "noting", notes=str(notes)), timeout=20)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(server.ask, asked(("slow", 2.0)))
        wait_until(lambda: _pool(server)["under_way"] == 1)
        with server.asking(asked(("note", 2.0))):
            wait_until(lambda: _pool(server)["queued"] == 1)
        wait_until(lambda: _pool(server)["queued"] == 0)
        assert server.ask(asked(("note", 3.0))).status == 200
        assert slow.result().status == 200
    assert notes.read_text() == "3.0\n"
    assert "The server stopped" not in server.log


def _pool(server: ServingProcess) -> dict[str, int]:
    """What the server says of its workers."""
    told: dict[str, int] = server.ask(path="/models").json()["models"][0]["workers"]
    return told


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
