"""The life of runs: started, nested, resumed, ended, found; which one is active; in threads."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import headrace
from headrace.errors import InvalidRequest, NotFound


def status(run: headrace.ActiveRun) -> str:
    return str(headrace.get_run(run.info.run_id).info.status)


def test_a_run_from_start_to_end(uri: str) -> None:
    before = int(time.time() * 1000)
    with headrace.start_run(run_name="first", tags={"team": 1}, description="why") as run:
        active = headrace.active_run()
        assert active is not None
        assert active.info.run_id == run.info.run_id
        assert status(run) == "RUNNING"
        headrace.log_metric("loss", 0.25, step=1)
    assert headrace.active_run() is None
    ended = headrace.get_run(run.info.run_id)
    assert ended.info.status == "FINISHED"
    assert ended.info.run_name == "first"
    assert ended.info.end_time is not None
    assert before <= ended.info.start_time <= ended.info.end_time <= int(time.time() * 1000) + 1
    assert ended.data.metrics == {"loss": 0.25}
    assert ended.data.tags["team"] == "1"
    assert ended.data.tags["mlflow.note.content"] == "why"
    assert ended.data.tags["mlflow.runName"] == "first"
    assert {"mlflow.user", "mlflow.source.name", "mlflow.source.type"} <= ended.data.tags.keys()
    last = headrace.last_active_run()
    assert last is not None
    assert last.info.run_id == run.info.run_id
    assert last.info.status == "FINISHED"


def test_a_run_without_a_name_gets_one(uri: str) -> None:
    with headrace.start_run() as run:
        assert run.info.run_name


def test_logging_starts_a_run(uri: str) -> None:
    headrace.log_param("a", 1)
    run = headrace.active_run()
    assert run is not None
    headrace.end_run()
    assert headrace.get_run(run.info.run_id).data.params == {"a": "1"}


def test_an_exception_makes_it_failed_and_goes_on(uri: str) -> None:
    with pytest.raises(ZeroDivisionError), headrace.start_run() as run:
        raise ZeroDivisionError
    assert status(run) == "FAILED"
    assert headrace.active_run() is None


@pytest.mark.parametrize("how", ["KILLED", "FAILED", "SCHEDULED"])
def test_a_run_is_ended_as_told(database: str, how: str) -> None:
    run = headrace.start_run()
    headrace.end_run(how)
    assert status(run) == how


def test_ending_without_a_run_is_fine(database: str) -> None:
    headrace.end_run()


def test_an_unknown_status_is_refused_by_name(database: str) -> None:
    headrace.start_run()
    with pytest.raises(InvalidRequest, match=r"'DONE'.*'status'.*FINISHED"):
        headrace.end_run("DONE")


def test_runs_inside_runs(uri: str) -> None:
    with headrace.start_run() as outer:
        with pytest.raises(InvalidRequest, match="nested=True"):
            headrace.start_run()
        with headrace.start_run(nested=True) as inner:
            headrace.log_metric("m", 1)
            with headrace.start_run(nested=True, parent_run_id=inner.info.run_id) as innermost:
                pass
        headrace.log_metric("m", 2)
    assert headrace.get_run(outer.info.run_id).data.metrics == {"m": 2}
    assert headrace.get_run(inner.info.run_id).data.metrics == {"m": 1}
    parents = [headrace.get_parent_run(r.info.run_id) for r in (innermost, inner, outer)]
    assert [parent and parent.info.run_id for parent in parents] == [
        inner.info.run_id,
        outer.info.run_id,
        None,
    ]


def test_leaving_the_outer_run_ends_the_inner_ones(database: str) -> None:
    with headrace.start_run() as outer:
        inner = headrace.start_run(nested=True)
    assert headrace.active_run() is None
    assert (status(outer), status(inner)) == ("FINISHED", "FINISHED")


def test_a_parent_elsewhere(database: str) -> None:
    with headrace.start_run() as parent:
        pass
    with headrace.start_run(parent_run_id=parent.info.run_id) as child:
        found = headrace.get_parent_run(child.info.run_id)
        assert found is not None
        assert found.info.run_id == parent.info.run_id
        with pytest.raises(InvalidRequest, match="parent_run_id"):
            headrace.start_run(nested=True, parent_run_id=parent.info.run_id)
    with pytest.raises(NotFound):
        headrace.start_run(parent_run_id="0" * 32)
    headrace.delete_run(parent.info.run_id)
    with pytest.raises(InvalidRequest, match="deleted"):
        headrace.start_run(parent_run_id=parent.info.run_id)
    assert headrace.active_run() is None


def test_a_run_is_resumed(uri: str) -> None:
    with headrace.start_run() as first:
        headrace.log_metric("m", 1, step=1)
    with headrace.start_run(run_id=first.info.run_id, tags={"again": "yes"}) as second:
        assert second.info.run_id == first.info.run_id
        assert status(second) == "RUNNING"
        headrace.log_metric("m", 2, step=2)
    run = headrace.get_run(first.info.run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"m": 2})
    assert run.data.tags["again"] == "yes"


@pytest.mark.parametrize("name", ["HEADRACE_RUN_ID", "MLFLOW_RUN_ID"])
def test_the_environment_names_the_run_to_resume_once(
    database: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with headrace.start_run() as first:
        pass
    monkeypatch.setenv(name, first.info.run_id)
    with headrace.start_run() as second:
        assert second.info.run_id == first.info.run_id
    with headrace.start_run() as third:
        assert third.info.run_id != first.info.run_id


def test_what_cannot_be_resumed(database: str) -> None:
    with headrace.start_run() as run:
        pass
    with pytest.raises(InvalidRequest, match="experiment"):
        headrace.start_run(run_id=run.info.run_id, experiment_id="77")
    headrace.delete_run(run.info.run_id)
    with pytest.raises(InvalidRequest, match="deleted"):
        headrace.start_run(run_id=run.info.run_id)
    with pytest.raises(NotFound):
        headrace.start_run(run_id="f" * 32)
    assert headrace.active_run() is None


def test_deleting_and_restoring(uri: str) -> None:
    with headrace.start_run() as run:
        pass
    headrace.delete_run(run.info.run_id)
    assert headrace.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert headrace.search_runs(output_format="list") == []
    with pytest.raises(InvalidRequest):
        headrace.log_metric("m", 1, run_id=run.info.run_id, synchronous=True)
    headrace.restore_run(run.info.run_id)
    assert len(headrace.search_runs(output_format="list")) == 1


def test_each_thread_has_its_own_run(uri: str) -> None:
    seen: dict[int, str] = {}
    begun = threading.Barrier(4)

    def train(number: int) -> None:
        with headrace.start_run(run_name=f"t{number}") as run:
            begun.wait(30)
            headrace.log_param("number", number)
            headrace.log_metric("m", number)
            seen[number] = run.info.run_id

    with headrace.start_run() as outside:
        threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        active = headrace.active_run()
        assert active is not None
        assert active.info.run_id == outside.info.run_id
    assert len(set(seen.values())) == 4
    for number, run_id in seen.items():
        run = headrace.get_run(run_id)
        assert run.data.params == {"number": str(number)}
        assert run.data.metrics == {"m": number}


def test_searching_runs(uri: str) -> None:
    for number in range(5):
        with headrace.start_run(run_name=f"r{number}"):
            headrace.log_metric("m", number)
            headrace.log_param("even", number % 2 == 0)
    found = headrace.search_runs(
        filter_string="metrics.m > 1 and params.even = 'True'",
        order_by=["metrics.m DESC"],
        output_format="list",
    )
    assert [run.info.run_name for run in found] == ["r4", "r2"]
    assert len(headrace.search_runs(max_results=3, output_format="list")) == 3
    frame = headrace.search_runs(order_by=["metrics.m ASC"])
    assert frame["metrics.m"].tolist() == [0, 1, 2, 3, 4]
    assert frame["params.even"].tolist() == ["True", "False", "True", "False", "True"]
    assert str(frame["start_time"].dtype).startswith("datetime64")
    with pytest.raises(InvalidRequest, match="output_format"):
        headrace.search_runs(output_format="csv")  # type: ignore[call-overload]  # a mistake
    with pytest.raises(InvalidRequest, match=r"\^"):
        headrace.search_runs(filter_string="metrics.m >")


def test_searching_pages_through_all(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.client.reading.RUNS_PAGE", 2)
    client = headrace.Client()
    experiment = headrace.create_experiment("paged")
    made = [client.create_run(experiment).info.run_id for _ in range(5)]
    found = headrace.search_runs([experiment], output_format="list")
    assert sorted(run.info.run_id for run in found) == sorted(made)
    by_name = headrace.search_runs(experiment_names=["paged", "none"], output_format="list")
    assert len(by_name) == 5
    everywhere = headrace.search_runs(search_all_experiments=True, output_format="list")
    assert len(everywhere) == 5
    page = client.search_runs([experiment], max_results=2)
    assert len(page) == 2
    assert page.token
    assert len(client.search_runs([experiment], max_results=4, page_token=page.token)) == 3


def test_the_last_run_of_another_experiment_needs_an_id(database: str) -> None:
    other = headrace.create_experiment("other")
    with headrace.start_run(experiment_id=other) as run:
        pass
    assert run.info.experiment_id == other
    assert headrace.search_runs(output_format="list") == []


def test_a_forked_child_does_not_end_its_parents_run(database: str, own_folder: Path) -> None:
    run = headrace.start_run()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            headrace.log_metric("from_child", 1)
            from headrace.client import active

            active._end_open_runs_at_exit()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert status(run) == "RUNNING"
    headrace.log_metric("from_parent", 2)
    headrace.end_run()
    assert headrace.get_run(run.info.run_id).data.metrics == {"from_child": 1, "from_parent": 2}
