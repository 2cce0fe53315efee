"""What a worker asks of the operating system, in real processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.models.handover import hand_over
from headrace.serving.worker import boot
from headrace.serving.worker.frames import pack
from tests.serving.models import save_unruly

_SOON = 30.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_worker_whose_server_is_gone_before_it_could_ask_to_end_with_it_loads_nothing(
    tmp_path: Path,
) -> None:
    folder = save_unruly(tmp_path / "hanging", load="hang")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        load = {"op": "load", "handed": hand_over(folder), "config": None, "engine": None}
        for piece in pack(load):
            ours.sendall(piece)
        ours.close()
        words = [sys.executable, "-I", boot.__file__, "headrace.serving.worker.main"]
        worker = subprocess.Popen(
            [*words, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
        )
    try:
        assert worker.wait(_SOON) == 0
    finally:
        worker.kill()
        worker.wait()
