"""What a server refuses is set aside, once, with what else it was; the rest goes on."""

from __future__ import annotations

import headrace
from tests.crash.logging_world import World, eventually
from tests.fixtures.servers import RunningServer


def history(uri: str, run_id: str, key: str) -> list[float]:
    return [point.value for point in headrace.Client(uri).get_metric_history(run_id, key)]


def test_the_end_of_a_run_that_never_was(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
client = headrace.Client()
client.set_terminated("0" * 32)
client.set_terminated("1" * 32, "FAILED")
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
said(run.info.run_id)
""",
    )
    program.succeed()
    run_id = program.said[0]
    world.delivered(uri)
    assert history(uri, run_id, "m") == [1.0]
    assert headrace.get_run is not None
    assert [each.run_id for each in world.refusals(uri)] == ["0" * 32, "1" * 32]
    assert len([line for line in program.warnings if "0" * 32 in line]) == 1


def test_a_run_deleted_while_values_are_under_way(
    world: World, shared_server: RunningServer
) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
run = headrace.start_run()
other = headrace.Client().create_run("0").info.run_id
headrace.log_metric("before", 1.0)
headrace.flush()
said(run.info.run_id)
said(other)
wait_for(sys.argv[1])
step = 0
began = time.monotonic()
while time.monotonic() - began < 6:
    for _ in range(20):
        headrace.log_metric("after", step, step=step)
        headrace.log_metric("m", step, step=step, run_id=other)
        step += 1
    time.sleep(0.05)
said(step)
""",
        str(world.folder / "go"),
    )
    eventually(lambda: len(program.said) == 2, "the run", 30)
    deleted, other = program.said
    headrace.Client(uri).delete_run(deleted)
    (world.folder / "go").touch()
    program.succeed()
    steps = int(program.said[2])
    assert len(history(uri, other, "m")) == steps
    assert history(uri, deleted, "after") == []
    set_aside = [each for each in world.refusals(uri) if b'"after"' in bytes(each.entry)]
    assert sum(bytes(each.entry).count(b'"after"') for each in set_aside) == steps
    told = [line for line in program.warnings if deleted in line]
    assert len(told) <= 2, told  # of the values, and of its end
    assert told
