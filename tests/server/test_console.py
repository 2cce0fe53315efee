"""The console of runs over HTTP: what is served, to whom, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.protocol.experiments import CreateExperiment
from headrace.protocol.runs import CreateRun, RunRef
from headrace.store.users import Role
from tests.server.live import Live, Reply
from tests.server.test_auth import PASSWORD, basic

FIRST, SECOND = "20261121T120000.000000Z-ab12", "20261121T130000.000000Z-00ff"


def ask(live: Live, query: str, prefix: str = "/api", **headers: str) -> Reply:
    return live.send("GET", f"{prefix}/2.0/headrace/runs/console?{query}", headers=headers)


def put(live: Live, run_id: str, source: str, start: int, data: bytes) -> None:
    uri = live.store.runs.get(RunRef(run_id)).run.info.artifact_uri
    path = uri.removeprefix("mlflow-artifacts:/")
    url = f"/api/2.0/mlflow-artifacts/artifacts/{path}/headrace/console/{source}/{start:012}.log"
    assert live.send("PUT", url, data).status == 200


@pytest.fixture
def run_id(live: Live) -> str:
    return live.new_run()


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_a_log_is_followed_by_its_offsets(live: Live, run_id: str, prefix: str) -> None:
    put(live, run_id, FIRST, 0, b"epoch 1\n")
    page = ask(live, f"run_id={run_id}", prefix).json
    assert page == {
        "text": "epoch 1\n",
        "next_offset": 8,
        "is_running": True,
        "sources": [FIRST],
        "source": FIRST,
    }
    empty = ask(live, f"run_id={run_id}&offset=8", prefix).json
    assert (empty["text"], empty["next_offset"], empty["is_running"]) == ("", 8, True)
    put(live, run_id, FIRST, 0, b"epoch 1\nepoch 2\n")
    assert ask(live, f"run_id={run_id}&offset=8", prefix).json["text"] == "epoch 2\n"
    live.call("/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 5})
    done = ask(live, f"run_id={run_id}&offset=16", prefix).json
    assert (done["text"], done["is_running"]) == ("", False)


def test_each_source_has_its_own_log(live: Live, run_id: str) -> None:
    put(live, run_id, SECOND, 0, b"second\n")
    put(live, run_id, FIRST, 0, b"first\n")
    page = ask(live, f"run_id={run_id}").json
    assert (page["sources"], page["text"]) == ([FIRST, SECOND], "first\n")
    assert ask(live, f"run_id={run_id}&source={SECOND}").json["text"] == "second\n"


def test_a_run_that_has_printed_nothing(live: Live, run_id: str) -> None:
    assert ask(live, f"run_id={run_id}").json == {"text": "", "next_offset": 0, "is_running": True}


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("", 400, "run_id"),
        ("run_id=0123", 404, "0123"),
        ("run_id={run_id}&offset=-1", 400, "offset"),
        ("run_id={run_id}&offset=1000000000000", 400, "offset"),
        ("run_id={run_id}&offset=99999999999999999999999", 400, "offset"),
        ("run_id={run_id}&offset=many", 400, "offset"),
        ("run_id={run_id}&source=../..", 400, "source"),
        ("run_id={run_id}&source=%2e%2e%2f", 400, "source"),
        ("run_id={run_id}&source=" + "a" * 101, 400, "source"),
        ("run_id={run_id}&source=nobody", 404, "nobody"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    live: Live, run_id: str, query: str, status: int, named: str
) -> None:
    put(live, run_id, FIRST, 0, b"x")
    found, _, message = ask(live, query.format(run_id=run_id)).error()
    assert found == status
    assert named in message


def test_an_offset_beyond_the_end_waits_there(live: Live, run_id: str) -> None:
    put(live, run_id, FIRST, 0, b"x")
    page = ask(live, f"run_id={run_id}&offset=999999999999").json
    assert (page["text"], page["next_offset"]) == ("", 999_999_999_999)


def test_files_that_are_elsewhere_are_not_read(live: Live, tmp_path: Path) -> None:
    there = CreateExperiment(name="elsewhere", artifact_location=f"file://{tmp_path}/elsewhere")
    experiment_id = live.store.experiments.create(there).experiment_id
    made = live.store.runs.create(CreateRun(experiment_id=experiment_id)).run.info
    log = tmp_path / "elsewhere" / made.run_id / "artifacts" / "headrace" / "console" / FIRST
    log.mkdir(parents=True)
    (log / "000000000000.log").write_text("not for you")
    status, _, message = ask(live, f"run_id={made.run_id}").error()
    assert status == 400
    assert "not in this server's artifact root" in message


def test_only_those_who_may_read_are_answered(start_live: Callable[..., Live]) -> None:
    live = start_live()
    run_id = live.new_run()
    put(live, run_id, FIRST, 0, b"x")
    assert live.store.users is not None
    live.store.users.create("ann", PASSWORD, Role.READ)
    late = start_live()  # a server of the same database, which looks for users first
    assert ask(late, f"run_id={run_id}").error()[:2] == (401, "UNAUTHENTICATED")
    assert ask(late, f"run_id={run_id}", authorization=basic("ann", PASSWORD)).json["text"] == "x"
