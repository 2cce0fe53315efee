"""Minutes of load while workers hang and die: what the others notice of it."""

from __future__ import annotations

import itertools
import signal
import threading
from pathlib import Path

import psutil
import pytest

from benchmarks.load import LoadResult, run_load
from tests.serving.models import asked
from tests.serving.served import ServingLauncher, ServingProcess

SECONDS = 30.0
CLIENTS = 8


def load(server: ServingProcess) -> LoadResult:
    """Requests that take 10 ms each, from several clients, one after the other."""
    body = asked(("slow", 0.01))
    request = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    scripts = [itertools.repeat(request) for _ in range(CLIENTS)]
    return run_load(("127.0.0.1", server.port), scripts, seconds=SECONDS).require_success()


@pytest.mark.soak
def test_with_one_worker_hung_and_one_killed_the_others_are_hardly_slower(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly, workers=4, timeout=60)
    load(server)
    before = load(server)
    victims = server.workers()[:2]

    def harm() -> None:
        victims[0].send_signal(signal.SIGSTOP)
        victims[1].kill()

    timer = threading.Timer(1.0, harm)
    timer.start()
    after = load(server)
    timer.join()

    p99s = before.percentile(99), after.percentile(99)
    assert p99s[1] <= 2 * p99s[0], p99s
    _, alive = psutil.wait_procs(victims, timeout=70)  # somebody may wait for it for 60 seconds
    assert not alive, "the one that hung was not ended"
