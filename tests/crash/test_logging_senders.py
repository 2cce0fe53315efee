"""The sender: one for each folder, gone when there is nothing to do, silent about credentials."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec

import headrace
from headrace.client import sender_process
from headrace.client.sender_process import Task, is_running
from tests.crash.logging_world import World, eventually, gate
from tests.fixtures.servers import RunningServer, ServerLauncher


def start(home: Path, uri: str, linger: float) -> None:
    """Start a sender as a program does, but for how long it stays."""
    words = [sys.executable, "-m", "headrace.client.sender", str(home)]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log)
        process.communicate(msgspec.json.encode(Task(uri, linger)))


def senders_of(home: Path) -> list[int]:
    """The processes that are senders of a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"headrace.client.sender" in words and str(home).encode() in words:
                found.append(int(entry.name))
    return found


def test_of_two_senders_one_stays(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    world.start(
        uri,
        "headrace.start_run()\nheadrace.log_metric('m', 1.0)",
        environment={"HEADRACE_OFFLINE": "true"},
    ).succeed()
    home = world.home(uri)
    for _ in range(4):
        start(home, uri, 3.0)
    eventually(lambda: len(senders_of(home)) == 1, "a single sender")
    world.delivered(uri)
    eventually(lambda: senders_of(home) == [], "its end", 20)
    assert not is_running(home)
    assert (home / "log").read_bytes() == b""


def test_a_sender_ends_with_its_folder(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    world.start(uri, "headrace.start_run()").succeed()
    world.end_sender(uri)
    home = world.home(uri)
    start(home, uri, 600.0)
    eventually(lambda: senders_of(home), "the sender")
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    home.rmdir()
    eventually(lambda: senders_of(home) == [], "its end", 20)


SECRET = "s3cret-word"


def test_credentials_are_nowhere(world: World, start_server: ServerLauncher) -> None:
    server = start_server()
    with gate(server.port) as between:
        uri = between.url.replace("http://", f"http://ann:{SECRET}-1@")
        program = world.start(
            uri,
            """
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
    headrace.log_text("x", "a.txt")
    headrace.flush()
    said("sent")
    wait_for(sys.argv[1])
    headrace.log_metric("m", 2.0)
    wait_for(sys.argv[2])
""",
            str(world.folder / "gone"),
            str(world.folder / "end"),
            environment={
                "HEADRACE_TRACKING_TOKEN": f"{SECRET}-2",
                "HEADRACE_FLUSH_TIMEOUT": "3",
            },
        )
        program.until("sent")
        between.mode = "500"
        (world.folder / "gone").touch()
        ledger = world.ledger(uri)
        eventually(lambda: (state := ledger.state()) and state.failures >= 2, "two failures")
        listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
        assert "headrace.client.sender" in listed.stdout
        assert SECRET not in listed.stdout
        (world.folder / "end").touch()
        program.succeed()
    assert SECRET not in program.printed
    assert "have not reached" in program.printed
    for path in world.journal.rglob("*"):
        assert SECRET not in path.name
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_sender_takes_nothing_from_the_working_folder(
    world: World, shared_server: RunningServer
) -> None:
    """A program may work in a folder with modules of others' names."""
    uri = shared_server.url
    (world.folder / "msgspec.py").write_text("raise SystemExit('not this one')")
    program = world.start(
        uri,
        """
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
said(run.info.run_id)
""",
        environment={"PYTHONSAFEPATH": "1"},
    )
    program.succeed()
    world.delivered(uri)
    assert headrace.Client(uri).get_run(program.said[0]).data.metrics == {"m": 1.0}


def test_a_destination_that_cannot_be_used_is_said(world: World, tmp_path: Path) -> None:
    """Values stay where they are, and the program hears why."""
    file = tmp_path / "not.db"
    file.write_bytes(b"this is no database, and never was" * 100)
    program = world.start(
        f"sqlite:///{file}",
        """
headrace.start_run()
headrace.log_metric("m", 1.0)
time.sleep(4)
""",
        environment={"HEADRACE_FLUSH_TIMEOUT": "5"},
    )
    program.succeed()
    assert "database" in program.printed
    assert "have not reached" in program.printed
    assert "Traceback" not in program.printed
    assert len(world.logs(f"sqlite:///{file}")) == 1


def test_two_databases_behind_one_name_keep_apart(world: World, tmp_path: Path) -> None:
    """What tells two PostgreSQL servers apart can stand behind the question mark."""
    one = world.home("postgresql:///headrace?host=/run/one")
    two = world.home("postgresql:///headrace?host=/run/two")
    assert one != two
    assert world.home("postgresql:///headrace?host=/run/one&password=a") == one
    assert world.home("http://ann:a@tracking:5000") == world.home("http://bob:b@tracking:5000")


def test_a_sender_survives_what_its_parent_gets(world: World, start_server: ServerLauncher) -> None:
    """Ctrl-C in a terminal goes to the whole group of the program; the sender is not in it."""
    server = start_server()
    program = world.start(
        server.url,
        """
import signal
run = headrace.start_run()
said(run.info.run_id)
headrace.flush()
said("sent")
for step in range(1000):
    headrace.log_metric("m", step, step=step)
os.killpg(os.getpgid(0), signal.SIGKILL)
""",
    )
    assert program.wait() != 0
    world.delivered(server.url)
    points = headrace.Client(server.url).get_metric_history(program.said[0], "m")
    assert [point.step for point in points] == list(range(1000))
    assert os.path.exists(world.home(server.url) / sender_process.LOCK)


def test_clocks_may_jump(world: World, shared_server: RunningServer) -> None:
    """Back and forth by years: nothing waits, and values keep their order by step."""
    uri = shared_server.url
    program = world.start(
        uri,
        """
from headrace.client import run_calls, values
real, shift = time.time_ns, [0]
def jumping():
    return real() + shift[0]
time.time_ns = run_calls.time_ns = jumping
time.time = lambda: jumping() / 1e9
with headrace.start_run() as run:
    for step in range(300):
        shift[0] = (0, -3 * 10**16, 10**17)[step % 3]
        headrace.log_metric("m", step, step=step)
    assert headrace.flush()
said(run.info.run_id)
""",
    )
    program.succeed()
    points = headrace.Client(uri).get_metric_history(program.said[0], "m")
    assert sorted(point.step for point in points) == list(range(300))
    assert len({round(point.timestamp / 1e9) for point in points}) > 2
    assert headrace.Client(uri).get_run(program.said[0]).data.metrics == {"m": 299}
