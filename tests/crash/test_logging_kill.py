"""SIGKILL of the training, the server and the sender at random: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

import headrace
from headrace.journal import folder as layout
from headrace.journal import segment
from tests.crash.logging_world import Program, World, eventually
from tests.fixtures.servers import RunningServer, ServerLauncher

TRAIN = """
from headrace.entities import Dataset
headrace.set_experiment("kills")
run = headrace.start_run(run_name=sys.argv[1])
said("run " + run.info.run_id)
headrace.log_param("lr", 0.1)
said("param lr")
headrace.log_input(Dataset("train", "d1"), context="training")
said("input train")
for step in range(int(sys.argv[2])):
    headrace.log_metric("m", step, step=step, timestamp=1000 + step)
    said(f"point {step}")
    if step % 50 == 10:
        headrace.log_param(f"p{step}", step)
        said(f"param p{step}")
        headrace.set_tag(f"t{step}", step)
        said(f"tag t{step}")
    if step % 200 == 20:
        headrace.log_text(f"text {step}", f"texts/{step}.txt")
        said(f"artifact texts/{step}.txt")
    if step % 100 == 0:
        headrace.log_metrics({"a": step, "b": -step}, step=step)
        said(f"pair {step}")
    if step % 20 == 0:
        time.sleep(0.01)
headrace.end_run()
said("ended")
"""


def check(uri: str, said: list[str]) -> None:
    """All that a program was told is there, once; nothing else but what it was cut off in."""
    words = [line.split(" ") for line in said]
    kinds = {kind: [w[1] for w in words if w[0] == kind] for kind in ("run", "param", "tag")}
    if not kinds["run"]:
        return
    (run_id,) = kinds["run"]
    client = headrace.Client(uri)
    run = client.get_run(run_id)
    points = client.get_metric_history(run_id, "m")
    steps = [point.step for point in points]
    acknowledged = [int(w[1]) for w in words if w[0] == "point"]
    assert steps == list(range(len(steps))), "not in order, or not once"
    assert [point.value for point in points] == steps
    assert len(acknowledged) <= len(steps) <= len(acknowledged) + 1
    for key, sign in (("a", 1), ("b", -1)):
        pairs = {point.step: point.value for point in client.get_metric_history(run_id, key)}
        assert {int(w[1]) for w in words if w[0] == "pair"} <= set(pairs)
        assert all(value == sign * step for step, value in pairs.items())
    assert set(kinds["param"]) <= set(run.data.params)
    assert set(kinds["tag"]) <= set(run.data.tags)
    files = {file.path for file in client.list_artifacts(run_id, "texts")}
    assert {w[1] for w in words if w[0] == "artifact"} <= files
    inputs = [entry.dataset.name for entry in run.inputs.dataset_inputs]
    assert inputs == ["train"] if ["input", "train"] in words else len(inputs) <= 1
    if said[-1] == "ended":
        assert str(run.info.status) == "FINISHED"


def kill_and_check(world: World, start_server: ServerLauncher, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    database = f"sqlite:///{world.folder}/h.db"
    artifacts = world.folder / "artifacts"

    def serve(port: int | None = None) -> RunningServer:
        return start_server(
            backend_store_uri=database, artifacts=artifacts, port=port, wait=port is None
        )

    server = serve()
    uri = server.url
    programs: list[Program] = []
    for number in range(kills):
        program = world.start(uri, TRAIN, f"run-{number}", "5000")
        programs.append(program)
        program.until("point 20")
        time.sleep(chance.uniform(0, 0.4))
        if number % 3 == 1:
            server.kill()
            server = serve(server.port)
        if number % 3 == 2:
            state = world.ledger(uri).state()
            if state is not None:
                with suppress(ProcessLookupError):
                    os.kill(state.pid, signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.3))
        program.kill()
    assert all(program.said[-1] != "ended" for program in programs)
    last = world.start(uri, TRAIN, "last", "500")
    programs.append(last)
    last.succeed(120)
    assert last.said[-1] == "ended"
    server.wait_until_healthy()
    world.delivered(uri, 120)
    for program in programs:
        check(uri, program.said)
    assert world.refusals(uri) == []
    runs = headrace.Client(uri).search_runs(
        [e.experiment_id for e in headrace.Client(uri).search_experiments()], max_results=1000
    )
    assert len(runs) == len({program.said[0] for program in programs})


@pytest.mark.timeout(240)
def test_nothing_that_was_logged_is_lost(world: World, start_server: ServerLauncher) -> None:
    kill_and_check(world, start_server, kills=3, seed=11)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_is_lost_in_fifty_kills(world: World, start_server: ServerLauncher) -> None:
    kill_and_check(world, start_server, kills=50, seed=int(time.time()))


SLOWLY = """
with headrace.start_run() as run:
    said(run.info.run_id)
    for step in range(3000):
        headrace.log_metric("m", step, step=step)
        if step % 300 == 0:
            headrace.log_text("x" * 1000, f"{step}.txt")
            headrace.log_param(f"p{step}", step)
    said("logged")
    os._exit(0) if len(sys.argv) > 1 else None
"""


def test_a_sender_killed_again_and_again(world: World, start_server: ServerLauncher) -> None:
    server = start_server()
    uri = server.url
    chance = random.Random(5)
    programs = [world.start(uri, SLOWLY, environment={"HEADRACE_FLUSH_TIMEOUT": "0"})]
    programs.append(world.start(uri, SLOWLY, environment={"HEADRACE_FLUSH_TIMEOUT": "0"}))
    for program in programs:
        program.succeed()
    for _ in range(4):
        # As a sender does its work, in steps, and dies in the middle of one.
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                world.end_sender(uri)
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.05, 0.3))
                world.drain(uri)
            os._exit(0)
        os.waitpid(child, 0)
        chance.random()
    world.drain(uri)
    client = headrace.Client(uri)
    for program in programs:
        run = client.get_run(program.said[0])
        assert str(run.info.status) == "FINISHED"
        points = client.get_metric_history(run.info.run_id, "m")
        assert [point.step for point in points] == list(range(3000))
        assert len(run.data.params) == 10
        assert len(client.list_artifacts(run.info.run_id)) == 10
    assert world.logs(uri) == []


def test_a_sender_that_was_killed_while_it_cleared_up(
    world: World, shared_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left of a log that was dealt with does not stop the next one."""
    uri = shared_server.url
    program = world.start(
        uri,
        """
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
said(run.info.run_id)
""",
        environment={"HEADRACE_OFFLINE": "true"},
    )
    program.succeed()
    with monkeypatch.context() as killed:
        killed.setattr(layout, "remove", _remove_segments)
        world.drain(uri)
    assert len(world.logs(uri)) == 1
    world.drain(uri)
    assert world.logs(uri) == []
    assert headrace.Client(uri).get_run(program.said[0]).data.metrics == {"m": 1.0}


def _remove_segments(log: Path) -> None:
    for path in layout.segment_files(log, segment.SUFFIX):
        path.unlink()


def test_the_folder_vanishes(world: World, start_server: ServerLauncher) -> None:
    server = start_server()
    uri = server.url
    program = world.start(
        uri,
        """
run = headrace.start_run()
headrace.log_metric("before", 1.0)
headrace.flush()
said(run.info.run_id)
wait_for(sys.argv[1])
for step in range(100):
    headrace.log_metric("after", step, step=step)
    time.sleep(0.03)
said("logged")
headrace.end_run()
""",
        str(world.folder / "go"),
    )
    eventually(lambda: program.said, "the run", 30)
    state = world.ledger(uri).state()
    assert state is not None
    _remove(world.journal)
    eventually(lambda: not Path(f"/proc/{state.pid}/status").exists(), "the end of the sender")
    (world.folder / "go").touch()
    program.succeed()
    assert "Traceback" not in program.printed
    client = headrace.Client(uri)
    eventually(
        lambda: len(client.get_metric_history(program.said[0], "after")) == 100, "all values", 10
    )
    assert str(client.get_run(program.said[0]).info.status) == "FINISHED"
    assert len(program.warnings) <= 1


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()
