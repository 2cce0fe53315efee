"""All of it together: a training program, a server, and somebody who looks on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

import headrace

PROGRAM = """
import sys
import headrace
headrace.set_experiment(sys.argv[1])
run = headrace.start_run()
print(run.info.run_id, flush=True)
print("epoch 1")
print("a warning", file=sys.stderr)
sys.stdin.readline()
print("epoch 2", flush=True)
sys.stdin.readline()
raise ValueError("the loss is gone")
"""
PATIENCE = 30.0


def start(program: Path, url: str, experiment: str, **settings: str) -> subprocess.Popen[str]:
    program.write_text(PROGRAM)
    environment = {**os.environ, "HEADRACE_TRACKING_URI": url, "HEADRACE_CAPTURE": "true"}
    return subprocess.Popen(
        [sys.executable, str(program), experiment, "--password", "hunter2"],
        env={**environment, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def tell(stream: IO[str] | None) -> None:
    assert stream is not None
    stream.write("\n")
    stream.flush()


def look(url: str, run_id: str, offset: int = 0) -> dict[str, Any]:
    query = f"{url}/api/2.0/headrace/runs/console?run_id={run_id}&offset={offset}"
    try:
        with urllib.request.urlopen(query, timeout=10) as answer:
            page: dict[str, Any] = json.load(answer)
            return page
    except urllib.error.HTTPError as error:
        if error.code != 404:  # the run is still on its way
            raise
        return {"text": "", "next_offset": offset}


def wait_for(url: str, run_id: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What is served as soon as it is as expected; whoever looks on a server has to ask."""
    deadline = time.monotonic() + PATIENCE
    while not done(page := look(url, run_id)):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)
    return page


def test_a_program_is_watched_while_it_runs(
    server_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    program = tmp_path / "train.py"
    interval = {"HEADRACE_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.05"}
    with start(program, server_url, request.node.name, **interval) as process:
        run_id = line_of(process.stdout)
        printed = f"{run_id}\nepoch 1\na warning\n"
        page = wait_for(server_url, run_id, lambda page: bool(page["text"] == printed))
        assert page["is_running"]
        tell(process.stdin)
        wait_for(server_url, run_id, lambda page: bool(page["text"] == printed + "epoch 2\n"))
        tell(process.stdin)
        process.communicate(timeout=60)
    page = look(server_url, run_id)
    assert not page["is_running"]
    assert page["text"].startswith(f"{printed}epoch 2\nTraceback")
    assert page["text"].endswith("ValueError: the loss is gone\n")
    assert len(page["sources"]) == 1
    headrace.set_tracking_uri(server_url)
    run = headrace.get_run(run_id)
    assert run.data.tags["headrace.command"] == (
        f"{sys.executable} {program} {request.node.name} --password ***"
    )
    assert "system/cpu_utilization_percentage" in run.data.metrics
    files = {info.path for info in headrace.Client().list_artifacts(run_id, "headrace")}
    assert files == {"headrace/console", "headrace/packages.txt"}


def test_all_that_a_killed_program_printed_arrives(
    server_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with start(tmp_path / "train.py", server_url, request.node.name) as process:
        run_id = line_of(process.stdout)
        # Its sender is there; of one that died before, the next program sends what is left.
        wait_for(server_url, run_id, lambda page: bool(page["text"]))
        tell(process.stdin)
        assert [line_of(process.stdout), line_of(process.stdout)] == ["epoch 1", "epoch 2"]
        process.send_signal(signal.SIGKILL)
    printed = f"{run_id}\nepoch 1\na warning\nepoch 2\n"
    wait_for(server_url, run_id, lambda page: bool(page["text"] == printed))
