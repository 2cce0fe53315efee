"""Copies between Headrace's stores: whole, once, in steps, and with what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import experiments, metrics, runs
from headrace.protocol import registered_models as registry
from headrace.protocol.experiments import ExperimentRef
from headrace.protocol.logged_models import LoggedModelRef, SearchLoggedModels
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.sync.between import Addresses, copy_between
from headrace.sync.outcome import Outcome
from headrace.sync.plan import Choice
from headrace.testing.store_builders import (
    as_dict,
    get_run,
    get_version,
    new_experiment,
    new_registered_model,
    new_run,
    new_version,
)
from tests.fixtures.servers import ServerLauncher
from tests.sync.content import content_of, fill, log, open_database, sync_uri, write_file


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    """A database with some of everything, at `here(tmp_path)`."""
    store = open_database(here(tmp_path))
    fill(store, here(tmp_path))
    yield store
    store.close()


def here(folder: Path) -> str:
    return sync_uri(folder, "source")


def there(folder: Path) -> str:
    return sync_uri(folder, "destination")


def copied(folder: Path, *names: str, files: bool = True, **options: Any) -> Outcome:
    return copy_between(
        Addresses(here(folder), there(folder)), Choice(names, files=files), **options
    )


def held(uri: str) -> dict[str, Any]:
    with closing(open_database(uri) if uri.startswith("sqlite") else open_store(uri)) as store:
        return content_of(store, uri)


def changes(outcome: Outcome) -> dict[str, tuple[int, int, int]]:
    """What was new, updated or incomplete, of the kinds where anything was."""
    found = {k: (t.new, t.updated, t.incomplete) for k, t in outcome.tallies.items()}
    return {kind: counts for kind, counts in found.items() if any(counts)}


def whole_run(store: Store, name: str) -> runs.Run:
    ids = [experiment.experiment_id for experiment in all_experiments(store)]
    found = store.runs.search(
        runs.SearchRuns(ids, f"run_name = '{name}'", run_view_type="ALL")
    ).runs
    assert len(found) == 1, f"{len(found)} runs named {name}"
    return found[0]


def all_experiments(store: Store) -> list[experiments.Experiment]:
    request = experiments.SearchExperiments(max_results=100, view_type="ALL")
    return store.experiments.search(request).experiments


def test_a_copy_holds_what_the_source_holds(tmp_path: Path, source: Store) -> None:
    outcome = copied(tmp_path)
    assert outcome.problems == []
    assert held(there(tmp_path)) == content_of(source, here(tmp_path))
    assert outcome.tallies["runs"].new == 5
    assert (outcome.points, outcome.files) == (2512, 3)


def test_a_second_copy_changes_nothing(tmp_path: Path, source: Store) -> None:
    copied(tmp_path)
    once = held(there(tmp_path))
    outcome = copied(tmp_path)
    assert (changes(outcome), outcome.problems, outcome.notes) == ({}, [], [])
    assert (outcome.points, outcome.files) == (0, 0)
    assert held(there(tmp_path)) == once


def test_by_way_of_postgresql(tmp_path: Path, source: Store, postgres_uri: str) -> None:
    folder = str(tmp_path / "elsewhere")
    to = Addresses(here(tmp_path), postgres_uri, destination_artifacts=folder)
    back = Addresses(postgres_uri, there(tmp_path), source_artifacts=folder)
    for where in (to, to, back):
        assert copy_between(where, Choice()).problems == []
    assert held(there(tmp_path)) == content_of(source, here(tmp_path))


def test_by_way_of_a_server(tmp_path: Path, source: Store, start_server: ServerLauncher) -> None:
    url = start_server().url
    assert copy_between(Addresses(here(tmp_path), url), Choice()).problems == []
    assert changes(copy_between(Addresses(here(tmp_path), url), Choice())) == {}
    assert copy_between(Addresses(url, there(tmp_path)), Choice()).problems == []
    expected = content_of(source, here(tmp_path))
    assert held(url) == expected
    assert held(there(tmp_path)) == expected


def test_a_copy_can_be_served_and_moved(
    tmp_path: Path, source: Store, start_server: ServerLauncher
) -> None:
    copied(tmp_path)
    moved = (tmp_path / "destination").rename(tmp_path / "moved")
    uri = f"sqlite:///{moved}/headrace.db"
    expected = content_of(source, here(tmp_path))
    assert held(uri) == expected
    server = start_server(backend_store_uri=uri, artifacts=moved / "headrace-artifacts")
    assert held(server.url) == expected


def test_what_is_new_or_changed_is_copied_and_nothing_else(tmp_path: Path, source: Store) -> None:
    uri = here(tmp_path)
    copied(tmp_path)
    child, parent = whole_run(source, "child").info, whole_run(source, "parent").info
    log(source, child.run_id, metrics=[metrics.Metric("late", 1.0, 1)], tags=[Tag("t", "new")])
    source.runs.update(runs.UpdateRun(child.run_id, status="KILLED", run_name="child"))
    write_file(source, uri, parent.artifact_uri, "notes.txt", b"another note")
    new_run(source, parent.experiment_id, run_name="young", start_time=100)
    source.registered_models.set_alias(registry.SetAlias("wine", "champion", "1"))
    outcome = copied(tmp_path)
    assert changes(outcome) == {"runs": (1, 2, 0), "registered_models": (0, 1, 0)}
    assert outcome.files == 1
    assert held(there(tmp_path)) == content_of(source, uri)


def test_what_was_done_at_the_destination_stays(tmp_path: Path, source: Store) -> None:
    copied(tmp_path)
    with closing(open_database(there(tmp_path))) as store:
        parent, child = whole_run(store, "parent").info, whole_run(store, "child").info
        log(store, child.run_id, tags=[Tag("mine", "1"), Tag("t", "mine")])
        store.runs.delete(runs.RunRef(parent.run_id))
        store.runs.restore(runs.RunRef(whole_run(store, "gone").info.run_id))
        store.registered_models.set_alias(registry.SetAlias("wine", "champion", "4"))
        before = content_of(store, there(tmp_path))
    outcome = copied(tmp_path)
    assert (changes(outcome), outcome.problems) == ({}, [])
    assert any("deleted at the destination" in note for note in outcome.notes)
    assert held(there(tmp_path)) == before


def test_what_is_deleted_later_at_the_source_stays(tmp_path: Path, source: Store) -> None:
    copied(tmp_path)
    before = held(there(tmp_path))
    second = whole_run(source, "open").info
    source.runs.delete(runs.RunRef(second.run_id))
    source.experiments.delete(ExperimentRef(whole_run(source, "parent").info.experiment_id))
    outcome = copied(tmp_path)
    assert outcome.problems == []
    assert any("'first' is deleted at the source and stays" in note for note in outcome.notes)
    assert any("Runs that are deleted at the source" in note for note in outcome.notes)
    assert held(there(tmp_path)) == before


def test_a_run_that_changed_before_it_was_deleted_is_updated_and_stays(
    tmp_path: Path, source: Store
) -> None:
    copied(tmp_path)
    run_id = whole_run(source, "open").info.run_id
    log(source, run_id, params=[Param("last", "words")])
    source.runs.delete(runs.RunRef(run_id))
    assert changes(copied(tmp_path)) == {"runs": (0, 1, 0)}
    with closing(open_database(there(tmp_path))) as store:
        found = get_run(store, run_id)
    assert as_dict(found.data.params) == {"last": "words"}
    assert found.info.lifecycle_stage == "active"


def test_restoring_a_copied_experiment_brings_its_runs_back(tmp_path: Path, source: Store) -> None:
    copied(tmp_path)
    with closing(open_database(there(tmp_path))) as store:
        old = whole_run(store, "old run").info
        assert old.lifecycle_stage == "deleted"
        store.experiments.restore(ExperimentRef(old.experiment_id))
        assert get_run(store, old.run_id).info.lifecycle_stage == "active"
    copied(tmp_path)
    with closing(open_database(there(tmp_path))) as store:
        assert whole_run(store, "old run").info.lifecycle_stage == "active"


def test_an_experiment_deleted_at_the_destination_is_reported(
    tmp_path: Path, source: Store
) -> None:
    with closing(open_database(there(tmp_path))) as store:
        number = new_experiment(store, name="first")
        store.experiments.delete(ExperimentRef(number))
    outcome = copied(tmp_path)
    assert [p.what == "the experiment 'first'" for p in outcome.problems].count(True) == 1
    assert outcome.tallies["experiments"].incomplete == 1
    with closing(open_database(there(tmp_path))) as store:
        assert whole_run(store, "open").info.run_name == "open"


def test_a_parameter_that_differs_is_named_and_the_rest_is_copied(
    tmp_path: Path, source: Store
) -> None:
    parent = whole_run(source, "parent").info
    with closing(open_database(there(tmp_path))) as store:
        number = new_experiment(store, name="first")
        new_run(store, number, run_id=parent.run_id, run_name="parent")
        log(store, parent.run_id, params=[Param("lr", "0.2")])
    for _ in range(2):  # it is said again, as long as it is so
        outcome = copied(tmp_path)
        (problem,) = outcome.problems
        assert problem.what == f"the parameter 'lr' of the run 'parent' ({parent.run_id})"
        assert "'0.2'" in problem.why
        assert outcome.tallies["runs"].incomplete == 1
    with closing(open_database(there(tmp_path))) as store:
        found = get_run(store, parent.run_id)
        assert as_dict(found.data.params) == {"lr": "0.2", "empty": ""}
        assert found.info.status == "FINISHED"
        assert {metric.key for metric in found.data.metrics} == {"loss", "score"}


def test_a_run_id_of_another_experiment_is_named(tmp_path: Path, source: Store) -> None:
    parent = whole_run(source, "parent").info
    with closing(open_database(there(tmp_path))) as store:
        new_run(store, "0", run_id=parent.run_id)
    outcome = copied(tmp_path)
    assert any(parent.run_id in problem.what for problem in outcome.problems)
    with closing(open_database(there(tmp_path))) as store:
        assert whole_run(store, "child").info.status == "FAILED"


def test_a_version_of_the_destinations_own_is_left_alone(tmp_path: Path, source: Store) -> None:
    with closing(open_database(there(tmp_path))) as store:
        store.registered_models.create(registry.CreateRegisteredModel("wine"))
        mine = new_version(store, "wine", source="s3://mine")
    outcome = copied(tmp_path)
    (problem,) = outcome.problems
    assert problem.what == "version 1 of the registered model 'wine'"
    with closing(open_database(there(tmp_path))) as store:
        assert get_version(store, "wine", "1") == mine
        assert get_version(store, "wine", "4").run_id == whole_run(store, "parent").info.run_id


def test_only_the_experiment_that_was_asked_for(tmp_path: Path, source: Store) -> None:
    outcome = copied(tmp_path, "second")
    assert changes(outcome) == {"experiments": (1, 0, 0), "runs": (1, 0, 0)}
    outcome = copied(tmp_path, "first")
    assert outcome.problems == []
    assert outcome.tallies["registered_models"].new == 2  # wine, and copy, which comes from it
    copied(tmp_path)
    assert held(there(tmp_path)) == content_of(source, here(tmp_path))
    with pytest.raises(NotFound, match="'third'"):
        copied(tmp_path, "third")


def test_files_may_come_later(tmp_path: Path, source: Store) -> None:
    outcome = copied(tmp_path, files=False)
    assert (outcome.problems, outcome.files) == ([], 0)
    outcome = copied(tmp_path)
    assert (outcome.files, outcome.points) == (3, 0)
    assert held(there(tmp_path)) == content_of(source, here(tmp_path))


def test_files_that_cannot_be_reached_are_named_every_time(tmp_path: Path) -> None:
    with closing(open_database(here(tmp_path))) as store:
        number = new_experiment(store, name="cloud", artifact_location="s3://bucket/x")
        new_run(store, number, run_name="far")
    for points in (0, 0):
        outcome = copied(tmp_path)
        (problem,) = outcome.problems
        assert problem.what.startswith("the files of the run 'far'")
        assert "s3://bucket/x" in problem.why
        assert outcome.points == points


def test_files_that_no_store_can_keep_are_named_and_the_others_copied(tmp_path: Path) -> None:
    with closing(open_database(here(tmp_path))) as store:
        run_id = new_run(store, "0", run_name="odd")
        place = get_run(store, run_id).info.artifact_uri
        write_file(store, here(tmp_path), place, "good.txt", b"good")
    folder = Path(place)
    (folder / "a#b.txt").write_bytes(b"1")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "back\\slash").mkdir()
    (folder / "back\\slash" / "in").write_bytes(b"2")
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"3")
    outcome = copied(tmp_path)
    named = {problem.what.split("'")[1] for problem in outcome.problems}
    assert named == {"a#b.txt", "link", "back\\slash", "pipe", "\\udcff"}
    assert outcome.files == 1
    copy_of = tmp_path / "destination" / "headrace-artifacts" / "0" / run_id / "artifacts"
    assert [file.name for file in copy_of.iterdir()] == ["good.txt"]


def test_a_logged_model_that_was_deleted_there_stays_deleted(tmp_path: Path, source: Store) -> None:
    copied(tmp_path)
    with closing(open_database(there(tmp_path))) as store:
        number = whole_run(store, "parent").info.experiment_id
        (model,) = store.logged_models.search(SearchLoggedModels([number])).models
        store.logged_models.delete(LoggedModelRef(model.info.model_id))
    outcome = copied(tmp_path)
    assert (changes(outcome), outcome.problems) == ({}, [])
    assert any("Logged models that were deleted" in note for note in outcome.notes)


def test_a_dry_run_writes_nothing(tmp_path: Path, source: Store) -> None:
    outcome = copied(tmp_path, dry=True)
    assert outcome.tallies["runs"].new == 5
    assert outcome.tallies["model_versions"].new == 5
    assert list((tmp_path / "destination").iterdir()) == []
    copied(tmp_path)
    new_run(source, "0", run_name="young")
    new_version(source, new_registered_model(source))
    before = held(there(tmp_path))
    assert changes(copied(tmp_path, dry=True)) == {
        "runs": (1, 0, 0),
        "registered_models": (1, 0, 0),
        "model_versions": (1, 0, 0),
    }
    assert held(there(tmp_path)) == before


def test_the_same_place_twice_is_refused(tmp_path: Path, source: Store) -> None:
    roundabout = f"sqlite:///{tmp_path}/destination/../source/headrace.db"
    (tmp_path / "destination").mkdir()
    with pytest.raises(InvalidRequest, match="the same"):
        copy_between(Addresses(here(tmp_path), roundabout), Choice())


def test_a_source_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        copied(tmp_path)
    assert list((tmp_path / "source").iterdir()) == []


@pytest.mark.parametrize("uri", ["mysql://ann:secret@h/db", "ftp://h", "nowhere/at/all"])
def test_what_is_no_source_is_refused_without_its_password(tmp_path: Path, uri: str) -> None:
    with pytest.raises((InvalidRequest, NotFound)) as refused:
        copy_between(Addresses(uri, there(tmp_path)), Choice())
    assert "secret" not in refused.value.message
    assert list((tmp_path / "destination").iterdir()) == []


def test_progress_ends_where_it_says(tmp_path: Path, source: Store) -> None:
    told: list[tuple[int, int]] = []
    report: Callable[[int, int], None] = lambda done, total: told.append((done, total))  # noqa: E731  (one line of a test)
    copied(tmp_path, report=report)
    assert [done for done, _ in told] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total in told} == {6}
