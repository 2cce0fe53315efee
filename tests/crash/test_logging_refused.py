"""What a server refuses is set aside, once, with what else it was; the rest goes on."""

from __future__ import annotations

import pytest

import headrace
from tests.crash.logging_world import World, eventually, gate
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


def test_who_waits_is_told_each_time(world: World, shared_server: RunningServer) -> None:
    program = world.start(
        shared_server.url,
        """
from headrace.errors import InvalidRequest
client = headrace.Client()
run = client.create_run("0").info.run_id
client.log_metric(run, "m", 1.0, synchronous=True)
client.delete_run(run)
for value in range(3):
    try:
        client.log_metric(run, "m", value, synchronous=True)
    except InvalidRequest as error:
        said(error)
""",
    )
    program.succeed()
    # The background thread, which tells of refusals too, may have been faster with one of them.
    assert len(program.said) + len(program.warnings) >= 3
    assert len(program.said) >= 2
    assert all("deleted" in line for line in program.said)


def test_one_value_among_many(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    first = world.start(
        uri,
        """
run = headrace.start_run()
headrace.log_param("lr", 0.1)
headrace.flush()
said(run.info.run_id)
headrace.log_metric("m", 1.0)
wait_for(sys.argv[1])
""",
        str(world.folder / "done"),
    )
    eventually(lambda: first.said, "the run", 30)
    run_id = first.said[0]
    second = world.start(
        uri,
        """
from headrace.entities import Param
client = headrace.Client()
client.log_batch(sys.argv[1], params=[Param(f"p{n}", "x") for n in range(30)])
client.log_param(sys.argv[1], "lr", 0.2)
for n in range(500):
    client.log_metric(sys.argv[1], "n", n, step=n)
client.set_tag(sys.argv[1], "t", "x")
client.log_text(sys.argv[1], "hello", "notes/a.txt")
""",
        run_id,
    )
    second.succeed()
    (world.folder / "done").touch()
    first.succeed()
    world.delivered(uri)
    run = headrace.Client(uri).get_run(run_id)
    assert run.data.params == {"lr": "0.1", **{f"p{n}": "x" for n in range(30)}}
    assert run.data.tags["t"] == "x"
    assert history(uri, run_id, "n") == list(range(500))
    assert str(run.info.status) == "FINISHED"
    assert headrace.Client(uri).list_artifacts(run_id, "notes")[0].path == "notes/a.txt"
    (refused,) = world.refusals(uri)
    assert (refused.what, refused.run_id) == ("parameter 'lr'", run_id)
    assert len([line for line in second.warnings if "'lr'" in line]) == 1
    assert first.warnings == []


def test_an_experiment_that_is_not_there(world: World, shared_server: RunningServer) -> None:
    uri = shared_server.url
    program = world.start(
        uri,
        """
from headrace.client import run_calls
# As a program does that could not ask.
run_calls._known_experiments.add((headrace.get_tracking_uri(), "987654"))
client = headrace.Client()
lost = client.create_run("987654").info.run_id
client.log_metric(lost, "m", 1.0)
client.log_text(lost, "hello", "a.txt")
with headrace.start_run() as run:
    headrace.log_metric("m", 1.0)
said(lost)
said(run.info.run_id)
""",
    )
    program.succeed()
    world.delivered(uri)
    lost, run_id = program.said
    assert history(uri, run_id, "m") == [1.0]
    refused = world.refusals(uri)
    assert sorted(each.what for each in refused) == [
        "metric 'm'",
        "the artifact 'a.txt'",
        "the run itself",
    ]
    assert {each.run_id for each in refused} == {lost}
    (artifact,) = (each for each in refused if "artifact" in each.what)
    kept = next((world.home(uri) / "refused").iterdir())
    assert kept.read_text() == "hello"
    assert kept.name.encode() in bytes(artifact.entry)
    assert any("experiment" in line for line in program.warnings)


def test_what_a_server_cannot_digest_is_set_aside(
    world: World, shared_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request that fails inside the server, each time, while all others are answered."""
    monkeypatch.setattr("headrace.client.sender.INSISTS_AFTER", 3)
    monkeypatch.setattr("headrace.client.sender.INSISTS_SECONDS", 0.0)
    monkeypatch.setattr("headrace.client.sender.FIRST_PAUSE", 0.01)
    with gate(shared_server.port, "poison") as between:
        program = world.start(
            between.url,
            """
run = headrace.start_run()
headrace.log_params({"a": 1, "poison": 2, "b": 3})
headrace.log_text("poison", "poison.txt")
headrace.log_text("x", "fine.txt")
other = headrace.Client().create_run("0").info.run_id
headrace.log_metric("m", 1.0, run_id=other)
said(run.info.run_id)
said(other)
headrace.end_run()
""",
            environment={"HEADRACE_OFFLINE": "true"},
        )
        program.succeed()
        sender = world.sender(between.url)
        run_id, other = program.said
        rounds = 0
        while not (sender.work() or sender.streams) or any(
            not stream.is_idle() for stream in sender.streams.values()
        ):
            rounds += 1
            assert rounds < 2000
            sender._rest()
        sender.close()
        refused = sorted(each.what for each in world.refusals(between.url))
        assert refused == ["parameter 'poison'", "the artifact 'poison.txt'"]
    client = headrace.Client(shared_server.url)
    run = client.get_run(run_id)
    assert run.data.params == {"a": "1", "b": "3"}
    assert str(run.info.status) == "FINISHED"
    assert [file.path for file in client.list_artifacts(run_id)] == ["fine.txt"]
    assert client.get_run(other).data.metrics == {"m": 1.0}
