"""A program that forks, to load data say, at the worst moment for the threads that it has by us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

import headrace
from headrace.client import git, sender_process
from headrace.client.autolog.imports import forget, when_imported
from headrace.client.outbox import Outbox
from tests.crash.logging_world import eventually
from tests.fixtures.forks import Child, forked_amid


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Children that are ended after the test, and live until then."""
    made: list[Child] = []
    yield made
    for child in made:
        child.end()


def test_a_fork_while_the_sender_is_being_started(
    children: list[Child], tmp_path: Path, server_url: str
) -> None:
    """Or the sender would wait for the end of its task, which a pipe in the child keeps open."""
    home = tmp_path / "journal" / "home"
    home.mkdir(parents=True)
    children.append(
        forked_amid("subprocess.Popen", lambda: sender_process.start([home], server_url))
    )
    eventually(lambda: sender_process.is_running(home), "the sender", 30)


def test_a_flush_does_not_wait_for_who_starts_the_sender(tmp_path: Path) -> None:
    """Starting a program takes long on a busy machine; the time limit of a flush holds."""
    home = tmp_path / "journal" / "home"
    home.mkdir(parents=True)
    with closing(Outbox(f"sqlite:///{tmp_path}/h.db")) as outbox:
        pulse = outbox._pulse
        with pulse._spawning:
            outbox.point(("r" * 32, "k"), 1.0, 0, 0)
            flush = threading.Thread(target=outbox.flush, args=(0.1,), daemon=True)
            flush.start()
            flush.join(30)
            assert not flush.is_alive()


def test_a_fork_while_git_is_being_started(children: list[Child], tmp_path: Path) -> None:
    """Or what git prints would have no end."""
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("commit", "--quiet", "--allow-empty", "--message=first")):
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    (tmp_path / "new.txt").touch()
    subprocess.run(["git", "add", "new.txt"], cwd=tmp_path, check=True)
    checkout = git.find_checkout(tmp_path)
    assert checkout is not None
    found: list[git.Uncommitted | None] = []
    step = lambda: found.append(git.uncommitted(checkout, threading.Event()))  # noqa: E731  (a step)
    children.append(forked_amid("subprocess.Popen", step))
    assert found
    assert found[0] is not None
    assert "new.txt" in found[0].text


IMPORTS = """
import sys, threading
import headrace
from headrace import forks

divided, seen = [], threading.Event()

def look(event, arguments):
    name = threading.current_thread().name
    if event == "import" and name.startswith("headrace"):
        if not forks._state.lock._is_owned():
            divided.append((name, arguments[0]))
        if arguments[0] == "psutil":
            seen.set()

sys.addaudithook(look)
headrace.set_tracking_uri(sys.argv[1])
with headrace.start_run(log_system_metrics=True):
    assert seen.wait(30)
assert not divided, divided
"""


def test_what_our_threads_import_is_not_divided_by_a_fork(tmp_path: Path) -> None:
    """In the child, a module whose import was under way in a thread is waited for for ever."""
    (tmp_path / "odd.egg-info").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    environment = {
        **os.environ,
        "HEADRACE_CAPTURE": "true",
        "HEADRACE_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.1",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2] / "src")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, f"sqlite:///{tmp_path}/h.db"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Hook:
    """A hook that says when it is compared: in the middle of adding it to the others."""

    def __call__(self, module: ModuleType) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        sys.audit("headrace-tests.compared")
        return self is other

    __hash__ = None  # type: ignore[assignment]  # not needed


def test_a_fork_while_autologging_is_being_switched_on(children: list[Child]) -> None:
    first, second = Hook(), Hook()
    when_imported("no_such_module", first)
    try:
        children.append(
            forked_amid(
                "headrace-tests.compared",
                lambda: when_imported("no_such_module", second),
                lambda: when_imported("no_such_module", first),
            )
        )
        assert children[0].has_done_its_work()
    finally:
        forget("no_such_module", first)
        forget("no_such_module", second)


WORKER = """
import os, signal, sys, threading, time
import headrace

def wait_for_ever():
    # As one that is about to read from a pipe when the signal comes: no signal wakes this thread.
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.write(says, b"ready")
    os.read(os.pipe()[0], 1)

headrace.set_tracking_uri(sys.argv[1])
with headrace.start_run(run_name="parent's") as run:
    for own in (False, True):
        ready, says = os.pipe()
        child = os.fork()
        if child == 0:
            headrace.log_metric("m", 1)
            if own:
                headrace.start_run(run_name="child's", nested=True)
                os.kill(os.getpid(), signal.SIGTERM)
            wait_for_ever()
        if not own:
            assert os.read(ready, 5) == b"ready"
            os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert headrace.active_run() is not None
"""


def test_sigterm_ends_a_forked_child_whatever_it_waits_for(tmp_path: Path) -> None:
    """As `Process.terminate()` expects; one that has begun a run of its own ends that first."""
    uri = f"sqlite:///{tmp_path}/h.db"
    done = subprocess.run(
        [sys.executable, "-c", WORKER, uri], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(-signal.SIGTERM)] * 2
    headrace.set_tracking_uri(uri)
    runs = headrace.search_runs(["0"], output_format="list")
    found = {run.info.run_name: str(run.info.status) for run in runs}
    assert found == {"parent's": "FINISHED", "child's": "KILLED"}
