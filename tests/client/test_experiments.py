"""Experiments, and where things are tracked: by call, by environment, by default."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import headrace
from headrace.errors import AlreadyExists, InvalidRequest, NotFound


def test_the_life_of_an_experiment(uri: str, request: pytest.FixtureRequest) -> None:
    name = f"life of {request.node.name}"
    made = headrace.create_experiment(name, tags={"a": 1})
    experiment = headrace.get_experiment(made)
    assert (experiment.name, experiment.tags) == (name, {"a": "1"})
    assert experiment.lifecycle_stage == "active"
    with pytest.raises(AlreadyExists):
        headrace.create_experiment(name)
    client = headrace.Client()
    client.rename_experiment(made, f"{name} renamed")
    client.set_experiment_tag(made, "b", 2)
    client.delete_experiment_tag(made, "a")
    found = headrace.get_experiment_by_name(f"{name} renamed")
    assert found is not None
    assert (found.experiment_id, found.tags) == (made, {"b": "2"})
    assert headrace.get_experiment_by_name(name) is None
    headrace.delete_experiment(made)
    assert headrace.get_experiment(made).lifecycle_stage == "deleted"
    with pytest.raises(InvalidRequest, match="restore_experiment"):
        headrace.set_experiment(f"{name} renamed")
    headrace.restore_experiment(made)
    assert headrace.set_experiment(experiment_id=made).experiment_id == made
    with pytest.raises(NotFound):
        headrace.set_experiment(experiment_id="4711")


def test_tags_of_the_current_experiment(uri: str, request: pytest.FixtureRequest) -> None:
    current = headrace.set_experiment(request.node.name)
    headrace.set_experiment_tag("a", 1)
    headrace.set_experiment_tags({"b": 2, "c": 3})
    headrace.delete_experiment_tag("b")
    assert headrace.get_experiment(current.experiment_id).tags == {"a": "1", "c": "3"}


def test_searching_experiments(database: str) -> None:
    ids = [headrace.create_experiment(f"e{n}") for n in range(5)]
    headrace.delete_experiment(ids[0])
    found = headrace.search_experiments(filter_string="name LIKE 'e%'", order_by=["name DESC"])
    assert [experiment.name for experiment in found] == ["e4", "e3", "e2", "e1"]
    deleted = headrace.search_experiments(view_type=2)
    assert [experiment.experiment_id for experiment in deleted] == [ids[0]]
    assert len(headrace.search_experiments(max_results=2)) == 2
    page = headrace.Client().search_experiments(max_results=2)
    assert page.token
    assert len(headrace.Client().search_experiments(page_token=page.token)) == 4


def test_runs_go_where_they_are_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with headrace.start_run() as run:
        pass
    assert headrace.get_experiment(run.info.experiment_id).name.startswith("test_runs_go")
    other = headrace.create_experiment("other")
    headrace.set_experiment("other")
    with headrace.start_run() as run:
        pass
    assert run.info.experiment_id == other


def test_the_environment_names_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/h.db")
    with headrace.start_run() as run:
        assert run.info.experiment_id == "0"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    with headrace.start_run() as run:
        assert headrace.get_experiment(run.info.experiment_id).name == "by name"
    by_id = headrace.create_experiment("by id")
    monkeypatch.setenv("HEADRACE_EXPERIMENT_ID", by_id)
    with headrace.start_run() as run:
        assert run.info.experiment_id == by_id


def test_an_id_of_one_store_is_not_used_in_another(tmp_path: Path) -> None:
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/a.db")
    headrace.set_experiment("only here")
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/b.db")
    with headrace.start_run() as run:
        assert run.info.experiment_id == "0"
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/a.db")
    with headrace.start_run() as run:
        assert headrace.get_experiment(run.info.experiment_id).name == "only here"


def test_programs_started_from_this_one_track_to_the_same_place(database: str) -> None:
    program = "import headrace; print(headrace.start_run().info.experiment_id)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert len(headrace.search_runs([done.stdout.strip()], output_format="list")) == 1
    assert len(headrace.search_runs(output_format="list")) == 1


def test_the_default_is_a_file_in_this_folder(
    own_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.client.tracking._state.default_uri", None)
    assert not headrace.is_tracking_uri_set()
    with caplog.at_level(logging.WARNING, "headrace"), headrace.start_run() as run:
        headrace.log_text("x", "f.txt")
    assert "set_tracking_uri" in caplog.text
    assert str(own_folder / "headrace.db") in caplog.text
    assert headrace.get_tracking_uri() == f"sqlite:///{own_folder}/headrace.db"
    assert Path(run.info.artifact_uri).is_relative_to(own_folder / "headrace-artifacts")
    caplog.clear()
    os.chdir("/")
    with headrace.start_run():
        pass
    assert caplog.text == ""
    assert len(headrace.search_runs(["0"], output_format="list")) == 2


@pytest.mark.parametrize("name", ["HEADRACE_TRACKING_URI", "MLFLOW_TRACKING_URI"])
def test_the_environment_says_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"sqlite:///{tmp_path}/env.db")
    assert headrace.is_tracking_uri_set()
    with headrace.start_run():
        pass
    headrace.flush()
    assert (tmp_path / "env.db").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:1/x/", "http://h:1/x"),
        ("sqlite:///rel.db", "sqlite:///{here}/rel.db"),
        ("sqlite:////abs.db", "sqlite:////abs.db"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("some/folder", "sqlite:///{here}/some/folder/headrace.db"),
        (Path("/abs/folder"), "sqlite:////abs/folder/headrace.db"),
        ("file:///abs/folder", "sqlite:////abs/folder/headrace.db"),
    ],
)
def test_forms_of_tracking_uris(given: str | Path, expected: str, own_folder: Path) -> None:
    headrace.set_tracking_uri(given)
    assert headrace.get_tracking_uri() == expected.format(here=own_folder)


def test_a_registry_of_its_own(database: str, tmp_path: Path) -> None:
    assert headrace.get_registry_uri() == database
    headrace.set_registry_uri(f"sqlite:///{tmp_path}/registry.db")
    headrace.Client().create_registered_model("m")
    assert [model.name for model in headrace.search_registered_models()] == ["m"]
    headrace.set_registry_uri("")
    assert headrace.search_registered_models() == []


def test_two_clients_on_two_databases(tmp_path: Path) -> None:
    one = headrace.Client(f"sqlite:///{tmp_path}/1.db")
    two = headrace.Client(f"sqlite:///{tmp_path}/2.db")
    run = one.create_run("0", run_name="one")
    with pytest.raises(NotFound):
        two.get_run(run.info.run_id)
    assert one.get_run(run.info.run_id).info.run_name == "one"
    assert one.registry_uri == one.tracking_uri
