"""Work beside the event loop that nobody waits for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace.serving.aside import aside
from tests.serving.loops import in_loop

_ENDS = """
import asyncio, threading
from headrace.serving.aside import aside

async def main():
    work = asyncio.create_task(aside(threading.Event().wait))
    await asyncio.sleep(0)
    work.cancel()

asyncio.run(main())
"""


_STOPS = """
import os, signal, sys, threading
from headrace.models.sources import ModelSource, Version
from headrace.serving.loading import VersionLoader
from headrace.serving.run import Serving, serve
from headrace.serving.settings import ServingSettings

class Silent(ModelSource):
    uri = "models:/churn/1"
    can_move = False

    def current(self):
        self.answer("current")
        return Version(self.uri, "1")

    def fetch(self, version):
        self.answer("fetch")

    def answer(self, asked):
        if asked == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait()

try:
    serve(Serving({"churn": Silent()}), VersionLoader(ServingSettings(port=0)))
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_program_ends_though_something_still_blocks() -> None:
    subprocess.run([sys.executable, "-c", _ENDS], check=True, timeout=30)


@pytest.mark.parametrize("silent_at", ["current", "fetch"])
def test_a_server_stops_though_its_registry_never_answers(silent_at: str) -> None:
    command = [sys.executable, "-c", _STOPS, silent_at]
    done = subprocess.run(command, check=True, timeout=30, stdout=subprocess.PIPE)
    assert done.stdout == b"stopped\n"


@in_loop
async def test_what_it_returns_and_raises_is_told() -> None:
    assert await aside(int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        await aside(int, "seven")
