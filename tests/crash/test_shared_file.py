"""Many programs with the SDK on one SQLite file, beside a server on it: nobody sees a lock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.load import Caller, Writer, wait_for_writes, writing
from tests.fixtures.servers import ServerLauncher

pytestmark = pytest.mark.heavy

PROGRAMS = 32
STEPS = 12

PROGRAM = """
import sys, time
import headrace
uri, number, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
headrace.set_tracking_uri(uri)
slowest = 0.0
with headrace.start_run(run_name=f"program {number}") as run:
    for step in range(steps):
        began = time.monotonic()
        headrace.log_metrics({"loss": step, "number": number}, step=step)
        headrace.log_param(f"p{step}", step)
        slowest = max(slowest, time.monotonic() - began)
print(run.info.run_id)
print(f"{slowest:.2f}")
"""


@pytest.mark.timeout(400)
def test_programs_and_a_server_share_a_file(start_server: ServerLauncher, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shared.db"
    server = start_server(backend_store_uri=uri)
    writers = [Writer(number) for number in range(4)]
    with writing(server.port, writers):
        wait_for_writes(writers, 2)
        programs = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, uri, str(number), str(STEPS)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
            for number in range(PROGRAMS)
        ]
        said = [program.communicate(timeout=300) for program in programs]
    assert [program.returncode for program in programs] == [0] * PROGRAMS, said
    assert not any("lock" in errors.lower() for _, errors in said), said
    assert "locked" not in server.log
    with Caller(server.port) as caller:
        for number, (printed, _) in enumerate(said):
            run_id, _slowest = printed.split()
            data = caller.call("GET", f"runs/get?run_id={run_id}")["run"]["data"]
            latest = {item["key"]: item["value"] for item in data["metrics"]}
            assert latest == {"loss": STEPS - 1, "number": number}
            assert len(data["params"]) == STEPS
            history = caller.call("GET", f"metrics/get-history?run_id={run_id}&metric_key=loss")
            assert [item["step"] for item in history["metrics"]] == list(range(STEPS))
        for writer in writers:
            assert not writer.refusals, json.dumps(str(writer.refusals))
            writer.check(caller, strictly=True)
