"""What every store must do with the fields that copies need: ids, numbers and times as given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.errors import AlreadyExists, InvalidRequest
from headrace.protocol import (
    experiments,
    logged_models,
    model_versions,
    registered_models,
    runs,
)
from headrace.protocol.limits import MAX_GIVEN_VERSION, MAX_TIME_MS
from headrace.protocol.logged_models import FinalizeLoggedModel, LoggedModelRef
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    as_dict,
    get_experiment,
    get_model,
    get_registered_model,
    get_version,
    new_experiment,
    new_model,
    new_registered_model,
    new_run,
    new_version,
    outcomes,
    unique,
)


def _model_id() -> str:
    return "m-" + unique("").removeprefix("-")


class CopyContract:
    """What is made with an id, a number or a time of the caller's has it, and is made once."""

    def test_times_of_an_experiment(self, store: Store) -> None:
        """Are those that were given, each on its own."""
        both = get_experiment(store, new_experiment(store, creation_time=5, last_update_time=7))
        assert (both.creation_time, both.last_update_time) == (5, 7)
        one = get_experiment(store, new_experiment(store, creation_time=0))
        assert one.creation_time == 0
        assert one.last_update_time > 1_000_000_000_000

    def test_a_run_id_in_another_experiment(self, store: Store) -> None:
        """Is refused, and the run stays where it is."""
        run_id = new_run(store, new_experiment(store), run_id=unique("run"))
        other = new_experiment(store)
        with pytest.raises(AlreadyExists, match=run_id):
            new_run(store, other, run_id=run_id)
        assert not store.runs.search(runs.SearchRuns(experiment_ids=[other])).runs

    def test_a_logged_model_with_an_id(self, store: Store) -> None:
        """Is made once; the second answer is the model as it is by now."""
        experiment_id, model_id = new_experiment(store), _model_id()
        made = new_model(
            store, experiment_id, name="m", model_id=model_id, creation_timestamp_ms=11
        )
        assert made.info.model_id == model_id
        assert (made.info.creation_timestamp_ms, made.info.last_updated_timestamp_ms) == (11, 11)
        assert model_id in made.info.artifact_uri
        store.logged_models.set_tags(
            logged_models.SetLoggedModelTags(model_id=model_id, tags=[Tag("k", "v")])
        )
        again = new_model(store, experiment_id, name="other", model_id=model_id)
        assert again == get_model(store, model_id)
        assert as_dict(again.info.tags) == {"k": "v"}
        ready = FinalizeLoggedModel(
            model_id=model_id, status="LOGGED_MODEL_READY", last_updated_timestamp_ms=12
        )
        assert store.logged_models.finalize(ready).model.info.last_updated_timestamp_ms == 12

    def test_a_logged_model_with_an_id_at_once(self, store: Store) -> None:
        """However the callers race, there is one."""
        experiment_id, model_id = new_experiment(store), _model_id()
        found = outcomes(
            [lambda: new_model(store, experiment_id, model_id=model_id).info.model_id] * 6
        )
        assert found == [model_id] * 6

    def test_a_model_id_that_is_taken(self, store: Store) -> None:
        """By another experiment, or by a deleted model: refused."""
        experiment_id, model_id = new_experiment(store), _model_id()
        new_model(store, experiment_id, model_id=model_id)
        with pytest.raises(AlreadyExists, match=model_id):
            new_model(store, new_experiment(store), model_id=model_id)
        store.logged_models.delete(LoggedModelRef(model_id))
        with pytest.raises(AlreadyExists, match="deleted"):
            new_model(store, experiment_id, model_id=model_id)

    def test_times_of_a_registered_model(self, store: Store) -> None:
        """Are those that were given; an older version does not set them back."""
        name = new_registered_model(store, creation_timestamp=3, last_updated_timestamp=9)
        new_version(store, name, version=1, creation_timestamp=4, last_updated_timestamp=5)
        model = get_registered_model(store, name)
        assert (model.creation_timestamp, model.last_updated_timestamp) == (3, 9)
        version = get_version(store, name, "1")
        assert (version.creation_timestamp, version.last_updated_timestamp) == (4, 5)

    def test_versions_with_numbers(self, store: Store) -> None:
        """May leave gaps and come in any order; the next one comes after the highest."""
        name = new_registered_model(store)
        for number in (7, 3):
            version = new_version(store, name, version=number, current_stage="production")
            assert (version.version, version.current_stage) == (str(number), "Production")
        assert new_version(store, name).version == "8"

    def test_a_version_that_is_there(self, store: Store) -> None:
        """Is answered; with another source it is refused."""
        name = new_registered_model(store)
        made = new_version(store, name, version=2, description="first")
        assert new_version(store, name, version="2", description="second") == made
        with pytest.raises(AlreadyExists, match="another"):
            new_version(store, name, version=2, source="s3://bucket/another")
        assert get_version(store, name, "2") == made

    @pytest.mark.parametrize(
        "build",
        [
            lambda: experiments.CreateExperiment("e", creation_time=-1),
            lambda: experiments.CreateExperiment("e", last_update_time=MAX_TIME_MS + 1),
            lambda: logged_models.CreateLoggedModel("0", creation_timestamp_ms=-1),
            lambda: logged_models.CreateLoggedModel("0", model_id="m-1"),
            lambda: logged_models.CreateLoggedModel("0", model_id="../" + "0" * 31),
            lambda: FinalizeLoggedModel("m-1", 2, last_updated_timestamp_ms=-1),
            lambda: registered_models.CreateRegisteredModel("m", creation_timestamp=-1),
            lambda: registered_models.CreateRegisteredModel("m", last_updated_timestamp=-1),
            lambda: model_versions.CreateModelVersion("m", "s", version=0),
            lambda: model_versions.CreateModelVersion("m", "s", version=MAX_GIVEN_VERSION + 1),
            lambda: model_versions.CreateModelVersion("m", "s", current_stage="Shelf"),
            lambda: model_versions.CreateModelVersion("m", "s", creation_timestamp=-1),
            lambda: model_versions.CreateModelVersion("m", "s", last_updated_timestamp=-1),
        ],
    )
    def test_what_is_out_of_bounds_is_refused(self, build: Callable[[], object]) -> None:
        """Before it is sent."""
        with pytest.raises(InvalidRequest):
            build()
