"""The disk of the program that logs is full, read-only, or fills up: memory stands in, bounded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from headrace.client import places
from tests.crash.logging_world import World, eventually
from tests.crash.test_full_disk import fill
from tests.fixtures.servers import RunningServer, ServerLauncher


def mounted(folder: Path, options: str) -> None:
    """Mount a small file system of its own on a folder, or skip the test."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    words = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a small disk")


@pytest.fixture
def small_disk(world: World) -> Iterator[World]:
    """A world whose journals are on a disk of two megabytes."""
    mounted(world.journal, "size=2m,mode=0700")
    try:
        yield world
    finally:
        world.close()
        subprocess.run(["umount", "--lazy", str(world.journal)], check=True)


@pytest.fixture
def read_only_disk(world: World) -> Iterator[World]:
    """A world whose journals cannot be written anywhere on disk."""
    mounted(world.journal, "size=2m,ro")
    try:
        yield world
    finally:
        world.close()
        subprocess.run(["umount", "--lazy", str(world.journal)], check=True)


TRAIN = """
with headrace.start_run() as run:
    said(run.info.run_id)
    headrace.log_param("p", 1)
    for step in range(int(sys.argv[1])):
        headrace.log_metric("m", step, step=step)
    headrace.log_text("hello", "notes/a.txt")
    if len(sys.argv) > 2:
        said("logged")
        wait_for(sys.argv[2])
said("ended")
"""


def check(uri: str, run_id: str, count: int) -> None:
    client = headrace.Client(uri)
    run = client.get_run(run_id)
    points = [point.step for point in client.get_metric_history(run_id, "m")]
    assert points == list(range(count))
    assert run.data.params == {"p": "1"}
    assert str(run.info.status) == "FINISHED"
    assert [file.path for file in client.list_artifacts(run_id, "notes")] == ["notes/a.txt"]


def room_warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if "There is no room" in line]


def test_a_folder_that_cannot_be_written(
    read_only_disk: World, shared_server: RunningServer
) -> None:
    world, uri = read_only_disk, shared_server.url
    program = world.start(uri, TRAIN, "5000")
    program.succeed()
    assert program.said[-1] == "ended"
    eventually(lambda: headrace.Client(uri).get_run(program.said[0]).info.end_time, "the end")
    check(uri, program.said[0], 5000)
    assert len(room_warnings(program.warnings)) <= 1, program.printed
    assert "Traceback" not in program.printed


def test_a_disk_that_is_full_from_the_start(
    small_disk: World, shared_server: RunningServer
) -> None:
    world, uri = small_disk, shared_server.url
    fill(world.journal)
    program = world.start(uri, TRAIN, "5000")
    program.succeed()
    eventually(lambda: headrace.Client(uri).get_run(program.said[0]).info.end_time, "the end")
    check(uri, program.said[0], 5000)
    assert len(room_warnings(program.warnings)) <= 1, program.printed
    assert "Traceback" not in program.printed


def test_a_disk_that_fills_up(
    small_disk: World, start_server: ServerLauncher, free_port: int
) -> None:
    """With the server gone, so that nothing makes room; then it comes back."""
    world, uri = small_disk, f"http://127.0.0.1:{free_port}"
    go = world.folder / "go"
    program = world.start(
        uri, TRAIN, "200000", str(go), environment={"HEADRACE_FLUSH_TIMEOUT": "60"}
    )
    program.until("logged", 120)
    memory_place = places.with_memory(world.home(uri))[1]
    assert list(memory_place.glob("*/*.segment"))
    eventually(lambda: room_warnings(program.warnings), "the warning")
    start_server(port=free_port)
    go.touch()
    program.succeed(120)
    eventually(lambda: headrace.Client(uri).get_run(program.said[0]).info.end_time, "the end", 120)
    check(uri, program.said[0], 200_000)
    assert len(room_warnings(program.warnings)) == 1, program.printed
    assert world.refusals(uri) == []
    eventually(lambda: not list(memory_place.glob("*/*.segment")), "an empty memory")


def test_memory_is_bounded_too(small_disk: World, free_port: int) -> None:
    """What does not fit is counted and said; nothing is raised, and nothing grows for ever."""
    world, uri = small_disk, f"http://127.0.0.1:{free_port}"
    program = world.start(
        uri,
        """
import resource
from headrace.client import outbox, places
from headrace.journal import writer
outbox.MEMORY_BYTES = 8 << 20
box = outbox.outbox_for(headrace.get_tracking_uri())
box._writer._held_limit = 4 << 20
box._writer._bounds = dict.fromkeys(box.places[1:], 8 << 20)
headrace.start_run()
headrace.log_metric("m", 0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for step in range(600_000):
    headrace.log_metric("m", step, step=step)
said(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
said(box._writer.lost)
said(box._writer.held)
said(sum(f.stat().st_size for f in box.places[1].glob("*/*.segment")))
time.sleep(1.5)
os._exit(0)
""",
    )
    program.succeed(120)
    grown, lost, held, kept = (int(line) for line in program.said)
    assert lost > 0
    assert held > 0
    assert kept <= 8 << 20
    assert grown < 40_000  # KiB, mapped segments included
    (warning,) = (line for line in program.warnings if "are lost" in line)
    assert "records" in warning
