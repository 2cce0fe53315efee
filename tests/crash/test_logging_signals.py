"""Signals that come in the middle of a call: a handler may log, Ctrl-C may be caught."""

from __future__ import annotations

import headrace
from tests.crash.logging_world import World
from tests.fixtures.servers import RunningServer


def test_a_signal_handler_may_log(world: World, shared_server: RunningServer) -> None:
    """Whatever it interrupts: a handler that waited for its own thread would wait for ever."""
    uri = shared_server.url
    program = world.start(
        uri,
        """
import itertools, signal
count, last = itertools.count(), [0]
run = headrace.start_run()
said(run.info.run_id)
# Imported by now: a handler must not come in the middle of an import.
log_metric, _ = headrace.log_metric, headrace.set_tag("t", 0)
def handler(number, frame):
    handled = next(count)
    log_metric("in_handler", handled, step=handled)
    log_metric(f"also_{handled % 50}", handled, step=handled)
    last[0] = handled
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
step = 0
while last[0] < 2000:
    headrace.log_metric(f"m{step % 30}", step, step=step)
    if step % 1000 == 0:
        headrace.set_tag("t", step)
    step += 1
signal.setitimer(signal.ITIMER_REAL, 0)
said(step)
said(next(count))
headrace.end_run()
""",
    )
    program.succeed(120)
    run_id, steps, handled = program.said[0], int(program.said[1]), int(program.said[2])
    world.delivered(uri, 60)
    client = headrace.Client(uri)
    found = [p.step for p in client.get_metric_history(run_id, "in_handler")]
    assert sorted(found) == list(range(handled))
    also = [p.step for n in range(50) for p in client.get_metric_history(run_id, f"also_{n}")]
    assert sorted(also) == list(range(handled))
    main = [p.step for n in range(30) for p in client.get_metric_history(run_id, f"m{n}")]
    assert sorted(main) == list(range(steps))
    assert str(client.get_run(run_id).info.status) == "FINISHED"


def test_ctrl_c_in_the_middle_of_a_call(world: World, shared_server: RunningServer) -> None:
    """A program that catches KeyboardInterrupt goes on, and so does its journal."""
    uri = shared_server.url
    program = world.start(
        uri,
        """
import signal
def handler(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
run = headrace.start_run()
said(run.info.run_id)
headrace.log_metric("m", 0, step=0)  # all is imported now
acknowledged, caught, step = [0], 0, 0
while caught < 1000:
    try:
        # Again after a while: one that comes in a callback of Python's own is lost.
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.1)
        while True:
            step += 1
            headrace.log_metric("m", step, step=step)
            acknowledged.append(step)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
headrace.log_metric("after", 1.0)
headrace.end_run()
said(" ".join(map(str, acknowledged)))
""",
    )
    program.succeed(120)
    world.delivered(uri, 60)
    client = headrace.Client(uri)
    found = [p.step for p in client.get_metric_history(program.said[0], "m")]
    acknowledged = [int(word) for word in program.said[1].split()]
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) <= len(acknowledged) + 1000
    assert client.get_run(program.said[0]).data.metrics["after"] == 1.0
    assert world.refusals(uri) == []


def test_sigterm_in_the_middle_of_a_call(world: World, shared_server: RunningServer) -> None:
    """What a scheduler sends before it kills: the run is KILLED, with all its values."""
    uri = shared_server.url
    programs = [
        world.start(
            uri,
            """
run = headrace.start_run()
said(run.info.run_id)
threading.Timer(0.3 + 0.01 * int(sys.argv[1]), os.kill, (os.getpid(), 15)).start()
step = 0
while True:
    headrace.log_metric("m", step, step=step)
    step += 1
    if step % 20_000 == 0:
        time.sleep(0.05)
""",
            str(number),
        )
        for number in range(4)
    ]
    for program in programs:
        assert program.wait(60) == -15, program.printed
    world.delivered(uri, 90)
    client = headrace.Client(uri)
    for program in programs:
        assert str(client.get_run(program.said[0]).info.status) == "KILLED"
        found = [p.step for p in client.get_metric_history(program.said[0], "m")]
        assert found == list(range(len(found)))
