"""The disk under the server fills up: a clear 503, no harm, and it goes on once there is room."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.load import Caller, Refused, Writer, batch
from tests.fixtures.servers import ServerLauncher

SIZE = 6 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Take the room that is left on the disk, but for `leave` bytes."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    if leave:
        os.truncate(filler, max(0, filler.stat().st_size - leave))
    return filler


def test_the_database_has_no_room(start_server: ServerLauncher, small_disk: Path) -> None:
    path = small_disk / "headrace.db"
    server = start_server(backend_store_uri=f"sqlite:///{path}")
    writer = Writer(0)
    with Caller(server.port) as caller:
        made = caller.post("runs/create", experiment_id="0")
        writer.run_id = made["run"]["info"]["run_id"]
        filler = fill(small_disk, leave=200_000)
        refused = write_until_refused(caller, writer)
        assert refused.status == 503
        assert refused.answer["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "disk" in refused.answer["message"] or "space" in refused.answer["message"]
        # Reading goes on meanwhile.
        caller.call("GET", f"runs/get?run_id={writer.run_id}")
        filler.unlink()
        again = writer.sent + 1
        caller.post("runs/log-batch", run_id=writer.run_id, **batch(again))
        writer.sent = again
        writer.batches.append(again)
        writer.check(caller)
    server.kill()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def write_until_refused(caller: Caller, writer: Writer) -> Refused:
    for number in range(1, 2000):
        writer.sent = number
        try:
            caller.post("runs/log-batch", run_id=writer.run_id, **batch(number))
        except Refused as refusal:
            return refusal
        writer.batches.append(number)
    raise AssertionError("the disk did not fill up")


def test_artifacts_have_no_room(
    start_server: ServerLauncher, small_disk: Path, tmp_path: Path
) -> None:
    import http.client

    server = start_server(artifacts=small_disk / "artifacts")
    address = "/api/2.0/mlflow-artifacts/artifacts/1/a.bin"

    def put(size: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("PUT", address, b"x" * size)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    assert put(1000)[0] == 200
    status, body = put(SIZE + 1000)
    assert status == 503, body
    assert b"TEMPORARILY_UNAVAILABLE" in body
    # What could not be written whole has left nothing behind, and the old file stands.
    left = sum(item.stat().st_size for item in small_disk.rglob("*") if item.is_file())
    assert left < 100_000
    assert put(2000)[0] == 200
