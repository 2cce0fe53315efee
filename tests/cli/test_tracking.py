"""Experiments, runs and artifacts, on a database and through a server alike."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from headrace.client.client import Client
from headrace.protocol import experiments, logged_models, runs
from headrace.protocol.datasets import LogOutputs, ModelOutput
from headrace.protocol.metrics import LogMetric
from headrace.protocol.wire import Param, Tag
from headrace.store.open import open_store
from tests.cli.conftest import Headrace
from tests.fixtures.servers import ServerLauncher


@pytest.fixture(params=["sqlite", "http"])
def uri(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_server: ServerLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A tracking URI in the environment, as people have it."""
    uri = f"sqlite:///{tmp_path}/headrace.db"
    if request.param == "http":
        uri = start_server().url
    monkeypatch.setenv("HEADRACE_TRACKING_URI", uri)
    if request.param == "sqlite":
        open_store(uri, artifact_root=str(tmp_path / "headrace-artifacts")).close()
    return uri


def fill(uri: str, name: str = "churn", count: int = 3) -> list[str]:
    """Runs of one experiment, each better than the one before."""
    store = open_store(uri)
    experiment_id = store.experiments.create(
        experiments.CreateExperiment(name, None, [Tag("team", "growth")])
    ).experiment_id
    made = []
    for number in range(count):
        run = store.runs.create(runs.CreateRun(experiment_id, run_name=f"run {number}")).run
        run_id = run.info.run_id
        store.runs.log_batch(
            runs.LogBatch(
                run_id,
                params=[Param("depth", str(number)), Param("seed", "7")],
                tags=[Tag("stage", "dev")],
            )
        )
        store.metrics.log(LogMetric(run_id, None, "auc", number / 10, 1000 + number, 0))
        store.runs.update(runs.UpdateRun(run_id, None, "FINISHED", run.info.start_time + 1500))
        made.append(run_id)
    store.close()
    return made


def test_experiments(headrace: Headrace, uri: str) -> None:
    made = headrace("experiments", "create", "churn", "--tag", "team=growth")
    assert made.code == 0
    number = made.out.strip()
    assert number.isdigit()
    assert headrace("experiments", "create", "other", "--json").json["experiment_id"] != number
    again = headrace("experiments", "create", "churn")
    assert (again.code, again.out) == (4, "")

    listed = headrace("experiments", "list", "--json").json["experiments"]
    assert [each["name"] for each in listed] == ["other", "churn", "Default"]
    found = headrace("experiments", "list", "--filter", "tags.team = 'growth'").out
    assert "churn" in found
    assert "other" not in found
    short = headrace("experiments", "list", "--max-results", "1")
    assert "churn" not in short.out
    assert "more than 1" in short.err

    by_name = headrace("experiments", "show", "churn", "--json").json
    assert by_name == headrace("experiments", "show", number, "--json").json
    assert by_name["experiment"]["tags"] == [{"key": "team", "value": "growth"}]
    assert "growth" in headrace("experiments", "show", "churn").out

    assert headrace("experiments", "rename", "churn", "leavers").code == 0
    assert headrace("experiments", "show", "churn").code == 3
    assert headrace("experiments", "delete", "leavers", "--json").json == {"experiment_id": number}
    assert "leavers" not in headrace("experiments", "list").out
    assert "leavers" in headrace("experiments", "list", "--view", "deleted").out
    assert headrace("experiments", "restore", number).code == 0
    assert "leavers" in headrace("experiments", "list").out


def test_an_experiment_with_a_number_for_a_name(headrace: Headrace, uri: str) -> None:
    headrace("experiments", "create", "2026")
    assert headrace("experiments", "show", "2026", "--json").json["experiment"]["name"] == "2026"


def test_runs(headrace: Headrace, uri: str) -> None:
    first, second, third = fill(uri)
    listed = headrace("runs", "list", "-x", "churn", "--order-by", "metrics.auc ASC", "--json").json
    assert [run["info"]["run_id"] for run in listed["runs"]] == [first, second, third]
    table = headrace("runs", "list").out
    assert all(run_id in table for run_id in (first, second, third))
    assert {"RUN", "NAME", "auc", "depth"} <= set(table.splitlines()[0].split())
    assert "1.5 s" in table

    best = headrace("runs", "search", "metrics.auc > 0.15", "--json").json["runs"]
    assert [run["info"]["run_id"] for run in best] == [third]
    wrong = headrace("runs", "search", "metrics.auc >> 1")
    assert (wrong.code, wrong.out) == (2, "")
    assert "^" in wrong.err
    short = headrace("runs", "list", "--max-results", "2")
    assert len(short.out.splitlines()) == 3
    assert "more than 2" in short.err

    shown = headrace("runs", "show", third)
    assert "auc" in shown.out
    assert "(step 0)" in shown.out
    assert headrace("runs", "show", third, "--json").json["run"]["info"]["run_id"] == third
    missing = headrace("runs", "show", "0" * 32)
    assert (missing.code, missing.out) == (3, "")
    assert missing.err.startswith("Error: ")


def test_comparing(headrace: Headrace, uri: str) -> None:
    first, second, _ = fill(uri)
    lines = headrace("runs", "compare", first, second).out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["params.depth"] == ["0", "1"]
    assert rows["metrics.auc"] == ["0", "0.1"]
    assert "params.seed" not in rows
    assert "params.seed" in headrace("runs", "compare", first, second, "--all").out
    compared = headrace("runs", "compare", first, second, "--json").json
    assert [run["run_id"] for run in compared["runs"]] == [first, second]
    assert compared["params"] == {"depth": ["0", "1"]}
    assert compared["metrics"] == {"auc": [0.0, 0.1]}
    assert headrace("runs", "compare", first).code == 2


def test_changing_runs(headrace: Headrace, uri: str) -> None:
    first, second, _ = fill(uri)
    assert headrace("runs", "set-tag", first, "stage", "prod").code == 0
    tagged = headrace("runs", "search", "tags.stage = 'prod'", "--json").json["runs"]
    assert [run["info"]["run_id"] for run in tagged] == [first]
    assert headrace("runs", "delete", first, second, "--json").json == {"run_ids": [first, second]}
    assert first not in headrace("runs", "list").out
    assert first in headrace("runs", "list", "--view", "deleted").out
    refused = headrace("runs", "set-tag", first, "stage", "dev")
    assert refused.code == 2
    assert "deleted" in refused.err
    assert headrace("runs", "restore", first).code == 0
    assert first in headrace("runs", "list").out
    assert second not in headrace("runs", "list").out


def test_exporting(headrace: Headrace, uri: str, tmp_path: Path) -> None:
    made = fill(uri)
    store = open_store(uri)
    store.runs.set_tag(runs.SetTag(made[0], None, "note", 'with "quotes",\nand a line'))
    store.metrics.log(LogMetric(made[0], None, "odd", math.nan, 1, 1))
    store.close()
    out = headrace("experiments", "export", "churn").out
    rows = {row["run_id"]: row for row in csv.DictReader(io.StringIO(out))}
    assert set(rows) == set(made)
    assert rows[made[0]]["tags.note"] == 'with "quotes",\nand a line'
    assert math.isnan(float(rows[made[0]]["metrics.odd"]))
    assert rows[made[1]]["metrics.odd"] == ""
    assert float(rows[made[2]]["metrics.auc"]) == 0.2
    assert rows[made[2]]["params.depth"] == "2"

    best = headrace(
        "experiments", "export", "churn", "-o", "b.csv", "--filter", "metrics.auc > 0.1"
    )
    assert "Wrote 1 runs" in best.err
    assert made[2] in (tmp_path / "b.csv").read_text()
    assert not list(tmp_path.glob(".b.csv*"))


def test_artifacts(headrace: Headrace, uri: str, tmp_path: Path) -> None:
    run_id = fill(uri, count=1)[0]
    (tmp_path / "plots" / "deep").mkdir(parents=True)
    (tmp_path / "plots" / "deep" / "roc.txt").write_text("a curve")
    (tmp_path / "report.html").write_text("<p>fine</p>")
    assert headrace("artifacts", "upload", run_id, "report.html").code == 0
    uploaded = headrace("artifacts", "upload", run_id, "plots", "--to", "figures", "--json")
    assert uploaded.json == {"run_id": run_id, "path": "figures"}
    assert headrace("artifacts", "upload", run_id, "nothing.txt").code == 2

    listed = headrace("artifacts", "list", run_id, "--json").json["files"]
    assert listed == [
        {"path": "figures", "is_dir": True},
        {"path": "report.html", "is_dir": False, "file_size": 11},
    ]
    every = headrace("artifacts", "list", run_id, "-r").out
    assert "figures/deep/roc.txt" in every
    assert "7 B" in every

    assert headrace("artifacts", "download", run_id).code == 0
    assert (tmp_path / run_id / "figures" / "deep" / "roc.txt").read_text() == "a curve"
    one = headrace("artifacts", "download", run_id, "figures/deep/roc.txt", "--to", "x", "--json")
    assert one.json == {"path": "x/roc.txt"}
    assert (tmp_path / "x" / "roc.txt").read_text() == "a curve"
    assert headrace("artifacts", "download", run_id, "gone.txt").code == 3
    assert headrace("artifacts", "download", run_id, "../../x").code == 2


def test_models_of_a_run_and_their_files(headrace: Headrace, uri: str, tmp_path: Path) -> None:
    run_id = fill(uri, count=1)[0]
    store = open_store(uri)
    run = store.runs.get(runs.RunRef(run_id)).run
    request = logged_models.CreateLoggedModel(run.info.experiment_id, "iris", None, run_id)
    model = store.logged_models.create(request).model.info
    store.datasets.log_outputs(LogOutputs(run_id, [ModelOutput(model.model_id, 3)]))
    store.close()
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    Client(uri).log_model_artifact(model.model_id, str(tmp_path / "MLmodel"))
    address = f"models:/{model.model_id}"

    assert headrace("runs", "show", run_id).out.splitlines()[-1].split() == ["iris", address, "3"]
    for named in (address, f"runs:/{run_id}/iris"):
        assert headrace("artifacts", "list", named, "--json").json["files"] == [
            {"path": "MLmodel", "is_dir": False, "file_size": 12}
        ]
    assert headrace("artifacts", "download", address).code == 0
    assert (tmp_path / model.model_id / "MLmodel").read_text() == "flavors: {}\n"
    assert headrace("artifacts", "download", address, "MLmodel", "--to", "x").code == 0
    assert (tmp_path / "x" / "MLmodel").is_file()
    assert headrace("artifacts", "list", "models:/none@such").code == 3
    assert headrace("artifacts", "upload", address, "MLmodel").code == 2


def test_a_listing_makes_no_database(headrace: Headrace, tmp_path: Path) -> None:
    ran = headrace("runs", "list")
    assert ran.code == 3
    assert "There is no database" in ran.err
    assert "headrace server" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there(headrace: Headrace, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    ran = headrace("runs", "list", "--tracking-uri", url)
    assert ran.code == 1
    assert url in ran.err


def test_a_uri_that_is_none(headrace: Headrace) -> None:
    assert headrace("runs", "list", "--tracking-uri", "ftp://x/y").code == 2
