"""What a shadow that cannot keep up may cost the server."""

from __future__ import annotations

from pathlib import Path

from tests.serving.models import answered, asked
from tests.serving.served import ServingLauncher


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
