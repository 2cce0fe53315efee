"""What every ExperimentStore must do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from headrace.errors import AlreadyExists, HeadraceError, InvalidRequest, InvalidState, NotFound
from headrace.protocol import experiments, runs
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    AWKWARD_TEXTS,
    UNKNOWN_EXPERIMENT,
    all_pages,
    as_dict,
    get_experiment,
    get_run,
    new_experiment,
    new_model,
    new_run,
    outcomes,
    unique,
)


def _ref(experiment_id: str) -> experiments.ExperimentRef:
    return experiments.ExperimentRef(experiment_id)


class ExperimentContract:
    """Experiments: made, found, renamed, tagged, deleted with their runs, restored."""

    def test_default_experiment_is_there(self, store: Store) -> None:
        """The experiment "0" is named Default and active."""
        found = get_experiment(store, "0")
        assert (found.name, found.lifecycle_stage) == ("Default", "active")

    def test_created_experiment_is_found(self, store: Store) -> None:
        """By id and by name, with its tags and a place of its own for artifacts."""
        before, name = int(time.time() * 1000), unique("experiment")
        experiment_id = new_experiment(store, name=name, tags=[Tag("b", "2"), Tag("a", "1")])
        found = get_experiment(store, experiment_id)
        assert (found.experiment_id, found.name) == (experiment_id, name)
        assert found.lifecycle_stage == "active"
        assert found.artifact_location.endswith(f"/{experiment_id}")
        assert as_dict(found.tags) == {"a": "1", "b": "2"}
        assert before - 5000 <= found.creation_time == found.last_update_time
        by_name = store.experiments.get_by_name(experiments.ExperimentByName(name)).experiment
        assert by_name == found

    def test_artifact_location_is_kept(self, store: Store) -> None:
        """Runs lie under the location that the experiment was given."""
        experiment_id = new_experiment(store, artifact_location="s3://bucket/here")
        assert get_experiment(store, experiment_id).artifact_location == "s3://bucket/here"
        run_id = new_run(store, experiment_id)
        uri = get_run(store, run_id).info.artifact_uri
        assert uri == f"s3://bucket/here/{run_id}/artifacts"

    @pytest.mark.parametrize("name", ["it's", "é日本🚂", "a/b\\c", 'a "b"\n', " "])
    def test_any_text_is_a_name(self, store: Store, name: str) -> None:
        """Names come back exactly, up to 500 characters."""
        long_name = (unique() + name).ljust(500, "x")
        new_experiment(store, name=long_name)
        found = store.experiments.get_by_name(experiments.ExperimentByName(long_name))
        assert found.experiment.name == long_name

    def test_name_is_taken_once(self, store: Store) -> None:
        """By an active experiment as by a deleted one, which the message offers to restore."""
        name = unique("experiment")
        experiment_id = new_experiment(store, name=name)
        with pytest.raises(AlreadyExists, match=name):
            new_experiment(store, name=name)
        store.experiments.delete(_ref(experiment_id))
        with pytest.raises(AlreadyExists, match=f"(?i)restore.*{experiment_id}"):
            new_experiment(store, name=name)

    def test_one_of_many_creators_wins(self, store: Store) -> None:
        """Of those who create the same name at once, one makes it, the others hear so."""
        name = unique("experiment")
        found = outcomes([lambda: new_experiment(store, name=name)] * 8)
        made = [each for each in found if isinstance(each, str)]
        refused = [each for each in found if isinstance(each, AlreadyExists)]
        assert (len(made), len(refused)) == (1, 7), found

    def test_unknown_experiment_is_not_found(self, store: Store) -> None:
        """Whatever is asked of it."""
        ref = _ref(UNKNOWN_EXPERIMENT)
        calls: list[Callable[[], object]] = [
            lambda: store.experiments.get(ref),
            lambda: store.experiments.get_by_name(experiments.ExperimentByName(unique())),
            lambda: store.experiments.update(
                experiments.UpdateExperiment(UNKNOWN_EXPERIMENT, unique())
            ),
            lambda: store.experiments.delete(ref),
            lambda: store.experiments.restore(ref),
            lambda: store.experiments.set_tag(
                experiments.SetExperimentTag(UNKNOWN_EXPERIMENT, "k", "v")
            ),
            lambda: store.experiments.delete_tag(
                experiments.DeleteExperimentTag(UNKNOWN_EXPERIMENT, "k")
            ),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()

    def test_rename(self, store: Store) -> None:
        """To a free name or its own; not to a taken one, and not once it is deleted."""
        taken, name = unique("experiment"), unique("experiment")
        new_experiment(store, name=taken)
        experiment_id = new_experiment(store)
        for _ in range(2):
            store.experiments.update(experiments.UpdateExperiment(experiment_id, name))
        assert get_experiment(store, experiment_id).name == name
        with pytest.raises(AlreadyExists):
            store.experiments.update(experiments.UpdateExperiment(experiment_id, taken))
        store.experiments.delete(_ref(experiment_id))
        with pytest.raises(InvalidState):
            store.experiments.update(experiments.UpdateExperiment(experiment_id, unique()))
        assert get_experiment(store, experiment_id).name == name

    def test_deleting_takes_runs_along(self, store: Store) -> None:
        """Restoring brings back the runs that went along, not those that were deleted before."""
        experiment_id = new_experiment(store)
        kept, gone = new_run(store, experiment_id), new_run(store, experiment_id)
        store.runs.delete(runs.RunRef(gone))
        store.experiments.delete(_ref(experiment_id))
        assert get_experiment(store, experiment_id).lifecycle_stage == "deleted"
        assert get_run(store, kept).info.lifecycle_stage == "deleted"
        with pytest.raises(InvalidRequest):
            store.runs.set_tag(runs.SetTag(run_id=kept, key="k", value="v"))
        store.experiments.restore(_ref(experiment_id))
        assert get_experiment(store, experiment_id).lifecycle_stage == "active"
        assert get_run(store, kept).info.lifecycle_stage == "active"
        assert get_run(store, gone).info.lifecycle_stage == "deleted"
        store.runs.set_tag(runs.SetTag(run_id=kept, key="k", value="v"))

    def test_deleting_and_restoring_twice(self, store: Store) -> None:
        """Is NotFound: the second caller learns that somebody else did it."""
        experiment_id = new_experiment(store)
        with pytest.raises(NotFound):
            store.experiments.restore(_ref(experiment_id))
        store.experiments.delete(_ref(experiment_id))
        with pytest.raises(NotFound):
            store.experiments.delete(_ref(experiment_id))
        store.experiments.restore(_ref(experiment_id))

    def test_deleted_experiment_is_not_written(self, store: Store) -> None:
        """No runs, models or tags."""
        experiment_id = new_experiment(store, tags=[Tag("k", "v")])
        store.experiments.delete(_ref(experiment_id))
        tag = experiments.SetExperimentTag(experiment_id, "k", "other")
        calls: list[Callable[[], object]] = [
            lambda: new_run(store, experiment_id),
            lambda: new_model(store, experiment_id),
            lambda: store.experiments.set_tag(tag),
            lambda: store.experiments.delete_tag(
                experiments.DeleteExperimentTag(experiment_id, "k")
            ),
        ]
        for call in calls:
            with pytest.raises(InvalidRequest):
                call()
        assert as_dict(get_experiment(store, experiment_id).tags) == {"k": "v"}

    def test_tags(self, store: Store) -> None:
        """Are written over, hold any text, and are removed once."""
        experiment_id = new_experiment(store)
        for text in (*AWKWARD_TEXTS, "last"):
            store.experiments.set_tag(experiments.SetExperimentTag(experiment_id, "k", text))
            assert as_dict(get_experiment(store, experiment_id).tags) == {"k": text}
        delete = experiments.DeleteExperimentTag(experiment_id, "k")
        store.experiments.delete_tag(delete)
        assert get_experiment(store, experiment_id).tags == []
        with pytest.raises(NotFound):
            store.experiments.delete_tag(delete)


class ExperimentSearchContract:
    """Searching experiments."""

    def test_pages_hold_each_match_once(self, store: Store) -> None:
        """In the order that was asked for, whatever the size of a page."""
        mark = unique("search")
        made = [new_experiment(store, name=f"{mark} {i}") for i in range(5)]
        for order, wanted in (("name ASC", made), ("name DESC", made[::-1])):

            def ask(
                token: str | None, order: str = order
            ) -> tuple[list[experiments.Experiment], str | None]:
                page = store.experiments.search(
                    experiments.SearchExperiments(
                        max_results=2,
                        filter=f"name LIKE '{mark}%'",
                        order_by=[order],
                        page_token=token,
                    )
                )
                assert len(page.experiments) <= 2
                return page.experiments, page.next_page_token

            assert [each.experiment_id for each in all_pages(ask)] == wanted

    @pytest.mark.parametrize(
        ("view", "expected"),
        [(None, {"b"}), ("ACTIVE_ONLY", {"b"}), ("DELETED_ONLY", {"a"}), ("ALL", {"a", "b"})],
    )
    def test_view(self, store: Store, view: str | None, expected: set[str]) -> None:
        """Active ones unless deleted ones are asked for."""
        mark = unique("view")
        deleted = new_experiment(store, tags=[Tag("mark", mark), Tag("is", "a")])
        new_experiment(store, tags=[Tag("mark", mark), Tag("is", "b")])
        store.experiments.delete(_ref(deleted))
        page = store.experiments.search(
            experiments.SearchExperiments(
                max_results=10, filter=f"tags.mark = '{mark}'", view_type=view
            )
        )
        assert {as_dict(each.tags)["is"] for each in page.experiments} == expected

    def test_newest_comes_first(self, store: Store) -> None:
        """Unless the caller asks for another order."""
        new_experiment(store)
        page = store.experiments.search(experiments.SearchExperiments(max_results=100))
        times = [each.creation_time for each in page.experiments]
        assert times == sorted(times, reverse=True)

    def test_bad_searches_are_refused(self, store: Store) -> None:
        """A filter, an order or a token that cannot be read; a token of another search."""
        for _ in range(2):
            new_experiment(store)
        first = store.experiments.search(experiments.SearchExperiments(max_results=1))
        bad: list[dict[str, object]] = [
            {"filter": "name ="},
            {"filter": "metrics.x > 1"},
            {"order_by": ["nothing"]},
            {"page_token": "not a token"},
            {"page_token": first.next_page_token, "filter": "name LIKE '%'"},
            {"page_token": first.next_page_token, "view_type": "ALL"},
        ]
        for fields in bad:
            with pytest.raises(InvalidRequest) as caught:
                store.experiments.search(
                    experiments.SearchExperiments(max_results=1, **fields)  # type: ignore[arg-type]  # the fields vary
                )
            assert isinstance(caught.value, HeadraceError)
