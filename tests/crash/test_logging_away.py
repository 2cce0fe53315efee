"""A server that is gone, hangs, is slow, answers nonsense or comes back: training goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import headrace
from tests.crash.logging_world import World, eventually, gate
from tests.fixtures.servers import ServerLauncher

TRAIN = """
headrace.set_experiment("away")
with headrace.start_run(run_name="train") as run:
    said(run.info.run_id)
    headrace.log_params({"lr": 0.1, "depth": 3})
    for step in range(200):
        headrace.log_metric("loss", 1 / (step + 1), step=step)
    headrace.set_tag("team", "red")
    headrace.log_text("hello", "notes/a.txt")
    with headrace.start_run(run_name="inner", nested=True) as inner:
        headrace.log_metric("m", 1.0)
        said(inner.info.run_id)
said("logged")
"""


def check(uri: str, run_id: str, inner: str) -> None:
    """All that TRAIN logged is there, once, under the ids that it was told."""
    client = headrace.Client(uri)
    run = client.get_run(run_id)
    assert str(run.info.status) == "FINISHED"
    assert run.data.params == {"lr": "0.1", "depth": "3"}
    assert run.data.tags["team"] == "red"
    points = client.get_metric_history(run_id, "loss")
    assert [(p.step, p.value) for p in points] == [(n, 1 / (n + 1)) for n in range(200)]
    assert [file.path for file in client.list_artifacts(run_id, "notes")] == ["notes/a.txt"]
    child = client.get_run(inner)
    assert child.data.tags["mlflow.parentRunId"] == run_id
    assert child.data.metrics == {"m": 1.0}
    assert str(child.info.status) == "FINISHED"
    experiment = client.get_experiment_by_name("away")
    assert experiment is not None
    assert run.info.experiment_id == experiment.experiment_id
    named = client.search_runs([experiment.experiment_id], f"attributes.run_id = '{run_id}'")
    assert len(named) == 1


def test_gone_from_the_start(world: World, start_server: ServerLauncher, free_port: int) -> None:
    uri = f"http://127.0.0.1:{free_port}"
    program = world.start(uri, TRAIN)
    program.succeed()
    run_id, inner, logged = program.said
    assert logged == "logged"
    assert "have not reached" in program.printed
    assert str(world.home(uri)) in program.printed
    assert "headrace sync" in program.printed
    # What set_experiment could not know, and what is left where.
    assert len(program.warnings) == 2, program.printed
    start_server(port=free_port)
    # Another program that logs there sends it along.
    world.start(uri, "with headrace.start_run(): pass").succeed()
    world.delivered(uri)
    check(uri, run_id, inner)


def test_offline_by_setting(world: World, start_server: ServerLauncher) -> None:
    server = start_server()
    with gate(server.port) as between:
        program = world.start(between.url, TRAIN, environment={"HEADRACE_OFFLINE": "true"})
        program.succeed()
        run_id, inner, _ = program.said
        assert "have not reached" in program.printed
        assert between.seen == []
        world.drain(between.url)
        check(server.url, run_id, inner)


def test_gone_in_the_middle_and_back(
    world: World, start_server: ServerLauncher, free_port: int
) -> None:
    uri = f"http://127.0.0.1:{free_port}"
    database = f"sqlite:///{world.folder}/h.db"
    server = start_server(backend_store_uri=database, port=free_port)
    program = world.start(
        uri,
        """
with headrace.start_run() as run:
    said(run.info.run_id)
    for step in range(100):
        headrace.log_metric("m", step, step=step)
    headrace.flush()
    said("first")
    wait_for(sys.argv[1])
    for step in range(100, 200):
        headrace.log_metric("m", step, step=step)
    headrace.log_text("x", "b.txt")
    said("second")
    wait_for(sys.argv[2])
    headrace.log_metric("m", 200, step=200)
""",
        str(world.folder / "gone"),
        str(world.folder / "back"),
    )
    program.until("first")
    server.kill()
    (world.folder / "gone").touch()
    program.until("second")
    ledger = world.ledger(uri)
    eventually(lambda: (state := ledger.state()) and state.failures >= 2, "two failures")
    start_server(backend_store_uri=database, port=free_port)
    eventually(lambda: (state := ledger.state()) and state.failures == 0, "the sender's return")
    (world.folder / "back").touch()
    program.succeed()
    world.delivered(uri)
    run_id = program.said[0]
    points = headrace.Client(uri).get_metric_history(run_id, "m")
    assert [point.step for point in points] == list(range(201))
    assert str(headrace.Client(uri).get_run(run_id).info.status) == "FINISHED"
    assert len(program.warnings) <= 1, program.printed


def test_no_call_waits_for_a_server_that_hangs(world: World, start_server: ServerLauncher) -> None:
    server = start_server()
    with gate(server.port, "hang") as between:
        program = world.start(
            between.url,
            """
from headrace.entities import Dataset
headrace.set_experiment("hangs")
run = headrace.start_run()
for step in range(10_000):
    headrace.log_metric("m", step, step=step)
headrace.log_param("p", 1)
headrace.set_tag("t", 1)
headrace.log_text("x", "a.txt")
headrace.log_input(Dataset("d", "1"))
headrace.end_run()
said(run.info.run_id)
wait_for(sys.argv[1])
""",
            str(world.folder / "asked"),
            environment={"HEADRACE_FLUSH_TIMEOUT": "2", "HEADRACE_HTTP_TIMEOUT": "5"},
        )
        eventually(lambda: program.said, "10,000 values")
        assert between.answered == 0
        eventually(lambda: between.seen, "a request")
        (world.folder / "asked").touch()
        program.succeed()  # within the deadline, not that of HTTP
        assert between.answered == 0
        assert "have not reached" in program.printed
        # It answers again: the sender that is there already catches up.
        between.mode = "pass"
        between.released.set()
        world.delivered(between.url, 60)
    points = headrace.Client(server.url).get_metric_history(program.said[0], "m")
    assert [point.step for point in points] == list(range(10_000))


@pytest.mark.parametrize("mode", ["503", "429", "500", "html", "html-404", "cut", "slow"])
def test_odd_answers(world: World, start_server: ServerLauncher, mode: str) -> None:
    server = start_server()
    with gate(server.port, mode) as between:
        uri = between.url
        program = world.start(uri, TRAIN, environment={"HEADRACE_FLUSH_TIMEOUT": "4"})
        program.succeed()
        run_id, inner, _ = program.said
        if mode not in ("slow", "cut"):
            ledger = world.ledger(uri)
            eventually(lambda: (state := ledger.state()) and state.failures >= 3, "three failures")
            assert "have not reached" in program.printed
            # What is wrong is said in the server's words.
            state = ledger.state()
            assert state is not None
            assert state.reason
        if mode == "cut":
            eventually(lambda: len(between.seen) >= 3, "three requests")
        between.mode = "pass"
        world.delivered(uri, 60)
        assert world.refusals(uri) == []
        assert len(program.warnings) <= 2, program.printed
    check(server.url, run_id, inner)


def test_at_most_one_warning_a_minute(world: World, free_port: int) -> None:
    program = world.start(
        f"http://127.0.0.1:{free_port}",
        """
clock = time.monotonic
import headrace.client.pulse as pulse
with headrace.start_run():
    for step in range(50):
        headrace.log_metric("m", step)
        time.sleep(0.1)
    said("half")
    # A minute later.
    time.monotonic = lambda: clock() + 61
    for step in range(50):
        headrace.log_metric("m", step)
        time.sleep(0.1)
    said("logged")
    os._exit(0)
""",
    )
    program.succeed()
    away = [line for line in program.warnings if "cannot take" in line]
    assert len(away) == 2, program.printed
    assert program.warnings == away


def test_a_reading_call_says_what_is_missing(world: World, free_port: int) -> None:
    program = world.start(
        f"http://127.0.0.1:{free_port}",
        """
from headrace.errors import Unavailable
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
    for _ in range(3):
        try:
            headrace.get_run(run.info.run_id)
        except Unavailable:
            said("unavailable")
    headrace.log_metric("m", 2.0)
    said("logged")
""",
        environment={"HEADRACE_HTTP_MAX_RETRIES": "0", "HEADRACE_FLUSH_TIMEOUT": "5"},
    )
    program.succeed()
    assert program.said == ["unavailable"] * 3 + ["logged"]
    assert len([line for line in program.warnings if "not complete" in line]) == 1


@contextmanager
def refusing_every_login() -> Iterator[tuple[str, list[str]]]:
    """A server that answers 401, and the Authorization of each request."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[str] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                text = peer.recv(65536).decode("latin-1")
                seen.extend(
                    line.partition(": ")[2]
                    for line in text.split("\r\n")
                    if line.lower().startswith("authorization")
                )
                peer.sendall(
                    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_new_credentials_are_used(world: World) -> None:
    with refusing_every_login() as (uri, seen):
        old = world.start(
            uri,
            "headrace.start_run()\nsaid('began')\nwait_for(sys.argv[1])\nos._exit(0)",
            str(world.folder / "go"),
            environment={"HEADRACE_TRACKING_TOKEN": "old-token"},
        )
        old.until("began")
        eventually(lambda: "Bearer old-token" in seen, "the old token")
        new = world.start(
            uri,
            "headrace.start_run()\nsaid('began')\nwait_for(sys.argv[1])\nos._exit(0)",
            str(world.folder / "go"),
            environment={"HEADRACE_TRACKING_TOKEN": "new-token"},
        )
        new.until("began")
        old.kill()
        eventually(lambda: "Bearer new-token" in seen, "the new token", 60)
