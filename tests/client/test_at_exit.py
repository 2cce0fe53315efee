"""How runs end when the program does: of itself, by an exception, by Ctrl-C, by SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import headrace
from headrace.client.outbox import flush_at_exit, outbox_for
from headrace.entities import Run

PROGRAM = """
import headrace, os, signal, sys, threading
headrace.set_tracking_uri(sys.argv[1])
headrace.start_run(run_name="outer")
headrace.start_run(run_name="inner", nested=True)
headrace.log_metric("m", 1)
def elsewhere():
    headrace.start_run(run_name="thread")
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
{end}
"""


def ended_by(end: str, uri: str, folder: Path) -> tuple[int, list[Run]]:
    program = folder / "train.py"
    program.write_text(PROGRAM.format(end=end))
    done = subprocess.run(
        [sys.executable, str(program), uri], capture_output=True, text=True, timeout=60, check=False
    )
    headrace.set_tracking_uri(uri)
    runs = headrace.search_runs(["0"], output_format="list")
    assert len(runs) == 3, done.stderr
    return done.returncode, runs


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        ("", 0, "FINISHED"),
        ("sys.exit(3)", 3, "FINISHED"),
        ("raise ValueError('no')", 1, "FAILED"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KILLED"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "KILLED"),
    ],
)
def test_open_runs_are_ended(end: str, code: int, status: str, tmp_path: Path) -> None:
    returned, runs = ended_by(end, f"sqlite:///{tmp_path}/h.db", tmp_path)
    assert returned == code
    assert {(run.info.run_name, str(run.info.status)) for run in runs} == {
        ("outer", status),
        ("inner", status),
        ("thread", status),
    }
    assert all(run.info.end_time for run in runs)


def test_a_programs_own_signal_handler_stays(tmp_path: Path) -> None:
    program = (
        "import headrace, os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "headrace.set_tracking_uri(sys.argv[1])\n"
        "headrace.start_run()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    uri = f"sqlite:///{tmp_path}/h.db"
    done = subprocess.run([sys.executable, "-c", program, uri], timeout=60, check=False)
    assert done.returncode == 7
    headrace.set_tracking_uri(uri)
    assert str(headrace.search_runs(["0"], output_format="list")[0].info.status) == "FINISHED"


def test_ctrl_c_ends_the_waiting_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes requests, and never answers
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        outbox_for(uri).point(("f" * 32, "m"), 1.0, 0, 0)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            flush_at_exit(60)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert f"1 record of this program has not reached {uri} yet." in caplog.text


def test_a_server_that_is_gone_is_only_mentioned(tmp_path: Path) -> None:
    program = (
        "import headrace, sys\n"
        "from headrace.client import active\n"
        "headrace.set_tracking_uri(sys.argv[1])\n"
        "run = headrace.start_run()\n"
        "active._process.open[run.info.run_id].client = headrace.Client('http://127.0.0.1:9')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/h.db"],
        env={**os.environ, "HEADRACE_HTTP_MAX_RETRIES": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "not reached http://127.0.0.1:9 yet" in done.stderr
    assert "Traceback" not in done.stderr
