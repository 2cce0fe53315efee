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


def test_a_program_ends_though_something_still_blocks() -> None:
    subprocess.run([sys.executable, "-c", _ENDS], check=True, timeout=30)


@in_loop
async def test_what_it_returns_and_raises_is_told() -> None:
    assert await aside(int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        await aside(int, "seven")
