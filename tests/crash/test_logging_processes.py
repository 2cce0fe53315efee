"""Forks, threads, several processes on one run: all of it arrives, and the end comes last."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headrace
from tests.crash.logging_world import Gate, World, eventually, gate
from tests.fixtures.servers import RunningServer


def steps(uri: str, run_id: str, key: str) -> list[int]:
    return [point.step for point in headrace.Client(uri).get_metric_history(run_id, key)]


def writes_of(between: Gate, run_id: str) -> list[str]:
    """What reached the server about a run, in order: `end`, or a call that logs."""
    seen: list[str] = []
    for path, document in between.seen:
        if not isinstance(document, dict) or document.get("run_id") != run_id:
            continue
        if path.endswith("runs/update"):
            ends = document.get("status") not in (None, "RUNNING")
            seen.append("end" if ends else "update")
        elif "/runs/log" in path or "metrics" in path:
            seen.append("log")
    return seen


FORKS = """
import multiprocessing
context = multiprocessing.get_context(sys.argv[1])

def work(number, run_id):
    if sys.argv[1] == "spawn":
        client = headrace.Client()
        for step in range(500):
            client.log_metric(run_id, f"w{number}", step, step=step)
    else:
        for step in range(500):
            headrace.log_metric(f"w{number}", step, step=step)

if __name__ == "__main__":
    with headrace.start_run() as run:
        headrace.log_metric("parent", 0)
        workers = [context.Process(target=work, args=(n, run.info.run_id)) for n in range(4)]
        for worker in workers:
            worker.start()
        for step in range(1, 500):
            headrace.log_metric("parent", step, step=step)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
    said(run.info.run_id)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_log_to_their_parents_run(
    world: World, shared_server: RunningServer, method: str
) -> None:
    with gate(shared_server.port) as between:
        program = world.start(between.url, FORKS, method)
        program.succeed()
        world.delivered(between.url)
        run_id = program.said[0]
        for key in ("parent", "w0", "w1", "w2", "w3"):
            assert steps(shared_server.url, run_id, key) == list(range(500)), key
        writes = writes_of(between, run_id)
    assert writes[-1] == "end", writes
    assert writes.count("end") == 1
    run = headrace.Client(shared_server.url).get_run(run_id)
    assert str(run.info.status) == "FINISHED"


def test_the_end_never_overtakes_other_processes(
    world: World, shared_server: RunningServer
) -> None:
    """Even when the ending process is delivered first, and the others' logs are long."""
    uri = shared_server.url
    # Nothing is sent while they log, so that all of it is there at once.
    offline = {"HEADRACE_OFFLINE": "true"}
    with gate(shared_server.port) as between:
        parent = world.start(
            between.url,
            """
run = headrace.start_run()
said(run.info.run_id)
wait_for(sys.argv[1])
headrace.end_run()
""",
            str(world.folder / "go"),
            environment=offline,
        )
        eventually(lambda: parent.said, "the run", 30)
        run_id = parent.said[0]
        children = [
            world.start(
                between.url,
                f"""
for step in range(20_000):
    headrace.Client().log_metric({run_id!r}, "c{number}", step, step=step)
headrace.Client().log_text({run_id!r}, "x", "c{number}.txt")
said("logged")
wait_for(sys.argv[1])
""",
                str(world.folder / "end"),
                environment=offline,
            )
            for number in range(2)
        ]
        for child in children:
            child.until("logged")
        (world.folder / "go").touch()
        parent.succeed()
        sender = world.sender(between.url)
        # The log of the process that ended comes first, in all that the sender does.
        sender.find()
        ended = next(n for n in sender.streams if f"-{parent.process.pid}-" in n)
        sender.streams = {ended: sender.streams.pop(ended), **sender.streams}
        fault = sender.drain()
        assert fault is None
        sender.close()
        writes = writes_of(between, run_id)
        assert writes[-1] == "end", writes
        assert writes.count("end") == 1
        (world.folder / "end").touch()
        for child in children:
            child.succeed()
    for number in range(2):
        assert steps(uri, run_id, f"c{number}") == list(range(20_000))
    files = {file.path for file in headrace.Client(uri).list_artifacts(run_id)}
    assert files == {"c0.txt", "c1.txt"}


def test_forks_in_threads_that_log(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
run = headrace.start_run()
stop = threading.Event()
counts = {}
def log(number):
    client, step = headrace.Client(), 0
    while not stop.is_set():
        client.log_metric(run.info.run_id, f"t{number}", step, step=step)
        client.log_metric(run.info.run_id, f"n{step}", step, step=step) if step < 500 else None
        step += 1
        counts[number] = step
        if step % 100 == 0:
            time.sleep(0.005)
threads = [threading.Thread(target=log, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
for number in range(15):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for step in range(20):
                headrace.log_metric(f"f{number}", step, step=step)
            headrace.log_text("x", f"f{number}.txt")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
said(run.info.run_id)
said(" ".join(str(counts[n]) for n in range(3)))
headrace.end_run()
""",
    )
    program.succeed(120)
    world.delivered(uri, 60)
    run_id = program.said[0]
    for number, count in enumerate(program.said[1].split()):
        assert steps(uri, run_id, f"t{number}") == list(range(int(count)))
    for number in range(15):
        assert steps(uri, run_id, f"f{number}") == list(range(20))
    files = {file.path for file in headrace.Client(uri).list_artifacts(run_id)}
    assert files == {f"f{number}.txt" for number in range(15)}
    assert str(headrace.Client(uri).get_run(run_id).info.status) == "FINISHED"


def test_many_threads_on_one_run(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
with headrace.start_run() as run:
    def log(number):
        for step in range(2000):
            headrace.log_metric("same", number * 10_000 + step, step=step, run_id=run.info.run_id)
            if step % 100 == 0:
                headrace.log_params({f"p{number}-{step}": step}, run_id=run.info.run_id)
    threads = [threading.Thread(target=log, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
said(run.info.run_id)
""",
    )
    program.succeed()
    world.delivered(uri)
    run_id = program.said[0]
    values = [p.value for p in headrace.Client(uri).get_metric_history(run_id, "same")]
    assert sorted(values) == [n * 10_000 + step for n in range(8) for step in range(2000)]
    assert len(headrace.Client(uri).get_run(run_id).data.params) == 160


def test_a_child_logs_after_its_parent_died(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
run = headrace.start_run()
headrace.log_metric("m", 0, step=0)
said(run.info.run_id)
if os.fork() == 0:
    os.setsid()
    said("orphan")
    wait_for(sys.argv[1])
    for step in range(1, 100):
        headrace.log_metric("m", step, step=step)
    said("child")
    os._exit(0)
time.sleep(60)
""",
        str(world.folder / "dead"),
    )
    eventually(lambda: "orphan" in program.said, "the fork", 30)
    program.kill()
    (world.folder / "dead").touch()
    eventually(lambda: "child" in program.said, "the child", 30)
    # Somebody may have to send it along.
    world.start(uri, "with headrace.start_run(): pass").succeed()
    world.delivered(uri)
    assert steps(uri, program.said[0], "m") == list(range(100))


def test_workers_that_load_data_log_too(world: World, shared_server: RunningServer) -> None:
    """As DataLoader's workers do: forked for each epoch, ended by their parent's SIGTERM."""
    uri = shared_server.url
    program = world.start(
        uri,
        """
import multiprocessing
context = multiprocessing.get_context("fork")

def load(number, epoch, tasks, batches):
    while True:
        task = tasks.get()
        headrace.log_metric(f"loaded_{number}", task, step=epoch * 100 + task)
        batches.put(task)

with headrace.start_run() as run:
    for epoch in range(3):
        batches = context.Queue()
        tasks = [context.Queue() for _ in range(2)]
        workers = [
            context.Process(target=load, args=(n, epoch, tasks[n], batches), daemon=True)
            for n in range(2)
        ]
        for worker in workers:
            worker.start()
        for task in range(50):
            for queue in tasks:
                queue.put(task)
        for step in range(100):
            batches.get()
            headrace.log_metric("loss", step, step=epoch * 100 + step)
        for worker in workers:
            worker.terminate()
            worker.join()
said(run.info.run_id)
""",
    )
    program.succeed()
    world.delivered(uri)
    run_id = program.said[0]
    expected = [epoch * 100 + task for epoch in range(3) for task in range(50)]
    assert steps(uri, run_id, "loaded_0") == expected
    assert steps(uri, run_id, "loaded_1") == expected
    assert steps(uri, run_id, "loss") == list(range(300))
    assert str(headrace.Client(uri).get_run(run_id).info.status) == "FINISHED"


def test_values_of_a_run_whose_beginning_comes_later(
    world: World, shared_server: RunningServer
) -> None:
    """A child's log can be read before that of the process that began the run."""
    uri = shared_server.url
    offline = {"HEADRACE_OFFLINE": "true"}
    program = world.start(
        uri,
        """
run = headrace.start_run()
said(run.info.run_id)
child = os.fork()
if child == 0:
    headrace.log_metric("m", 1.0)
    headrace.log_text("x", "a.txt")
    os._exit(0)
os.waitpid(child, 0)
said(child)
headrace.end_run()
""",
        environment=offline,
    )
    program.succeed()
    run_id, child = program.said
    sender = world.sender(uri)
    streams: dict[str, Any] = {}
    sender.find()
    first = next(name for name in sender.streams if f"-{child}-" in name)
    others = {name: stream for name, stream in sender.streams.items() if name != first}
    # The beginning is long in coming: its log is read much later than that of the child.
    streams[first] = sender.streams[first]
    sender.streams = streams
    find, sender._find_streams = sender._find_streams, lambda: None  # type: ignore[method-assign]  # as if it were not written yet
    for _ in range(4):
        sender.work()
    sender.streams.update(others)
    sender._find_streams = find  # type: ignore[method-assign]  # as it was
    fault = sender.drain()
    assert fault is None
    sender.close()
    client = headrace.Client(uri)
    assert world.refusals(uri) == []
    assert client.get_run(run_id).data.metrics == {"m": 1.0}
    assert [file.path for file in client.list_artifacts(run_id)] == ["a.txt"]
    assert str(client.get_run(run_id).info.status) == "FINISHED"


def test_the_beginning_of_a_run_lies_behind_much_else(
    world: World, shared_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child's values and artifacts wait until all that may begin their run has been read."""
    monkeypatch.setattr("headrace.client.sender.SETTLED_AFTER", 0.0)
    # The artifact is tried again in each round, as on a machine where a round takes seconds.
    monkeypatch.setattr("headrace.client.sender.FIRST_PAUSE", 0.0)
    uri = shared_server.url
    program = world.start(
        uri,
        """
before = headrace.Client().create_run("0").info.run_id
for step in range(20_000):
    headrace.Client().log_metric(before, "m", step, step=step)
run = headrace.Client().create_run("0").info.run_id
children = []
for text in ("value", "file"):
    child = os.fork()
    if child == 0:
        if text == "value":
            headrace.Client().log_metric(run, "m", 1.0)
        else:
            headrace.Client().log_text(run, "x", "a.txt")
        os._exit(0)
    os.waitpid(child, 0)
    children.append(child)
said(" ".join([before, run, *map(str, children)]))
""",
        environment={"HEADRACE_OFFLINE": "true"},
    )
    program.succeed()
    before, run_id, *children = program.said[0].split()
    sender = world.sender(uri)
    sender.find()
    names = sorted(sender.streams, key=lambda n: not any(f"-{c}-" in n for c in children))
    sender.streams = {name: sender.streams[name] for name in names}
    fault = sender.drain()
    assert fault is None
    sender.close()
    assert world.refusals(uri) == []
    assert steps(uri, before, "m") == list(range(20_000))
    client = headrace.Client(uri)
    assert client.get_run(run_id).data.metrics == {"m": 1.0}
    assert [file.path for file in client.list_artifacts(run_id)] == ["a.txt"]


@pytest.mark.parametrize("told", [b"", b'{"uri": "http://127.0.0.1'])
def test_a_sender_that_is_told_half_of_its_task_says_so(told: bytes, tmp_path: Path) -> None:
    """Its program was killed while it told it; the next one starts another."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace.client.sender", str(tmp_path)],
        input=told,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"A sender is told on its standard input what to do: ")
    assert b"Traceback" not in done.stderr
