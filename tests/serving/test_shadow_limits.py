"""What a shadow that cannot keep up may cost the server."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.serving.models import answered, asked
from tests.serving.served import ServingLauncher
from tests.serving.waiting import wait_until


def test_copies_for_a_shadow_that_stands_still_do_not_fill_the_memory(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    server = serving_process(unruly, shadows={unruly.name: str(unruly)})
    answering = int(answered(server.ask(asked("pid")).body)[0])
    (shadow,) = (worker for worker in server.workers() if worker.pid != answering)
    shadow.suspend()
    for _ in range(4):
        assert server.ask(asked(("long", 90 << 20))).status == 200
    (model,) = server.ask(path="/models").json()["models"]
    assert model["shadow"]["counts"]["dropped"] == 2


def test_a_shadow_yields_to_what_answers_callers(
    serving_process: ServingLauncher, unruly: Path
) -> None:
    """All of its threads, and a worker that takes the place of another."""
    server = serving_process(unruly, shadows={unruly.name: str(unruly)})
    answering = int(answered(server.ask(asked("pid")).body)[0])
    own = psutil.Process(server.process.pid).nice()
    assert _niceness(answering) == {own}
    (shadow,) = (worker for worker in server.workers() if worker.pid != answering)
    assert _niceness(shadow.pid) == {own + 10}
    shadow.kill()
    shadow.wait()
    wait_until(lambda: len(server.workers()) == 2)
    (other,) = (worker for worker in server.workers() if worker.pid != answering)
    wait_until(lambda: _niceness(other.pid) == {own + 10})


def _niceness(pid: int) -> set[int]:
    """Of each thread, as Linux tells it: the 19th field of `stat`, the 17th behind the name."""
    stats = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {int(text.rpartition(")")[2].split()[16]) for text in stats}
