"""What every LoggedModelStore must do."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import logged_models, metrics
from headrace.protocol.logged_models import DatasetFilter, OrderBy, SearchLoggedModels
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    AWKWARD_TEXTS,
    UNKNOWN_EXPERIMENT,
    UNKNOWN_MODEL,
    all_pages,
    as_dict,
    get_experiment,
    get_model,
    new_experiment,
    new_model,
    new_registered_model,
    new_run,
    new_version,
    plain,
)


def _log(store: Store, model_id: str, run_id: str, *points: metrics.Metric) -> None:
    for point in points:
        store.metrics.log(
            metrics.LogMetric(
                run_id=run_id,
                key=point.key,
                value=point.value,
                timestamp=point.timestamp,
                step=point.step,
                model_id=model_id,
                dataset_name=point.dataset_name,
                dataset_digest=point.dataset_digest,
            )
        )


class LoggedModelContract:
    """Logged models: made, finalized, written, deleted."""

    def test_new_model(self, store: Store) -> None:
        """Is PENDING, has an id, a name and a place of its own, and what it was given."""
        experiment_id = new_experiment(store)
        run_id = new_run(store, experiment_id)
        model = new_model(
            store,
            experiment_id,
            name="my model",
            model_type="agent",
            source_run_id=run_id,
            params=[Param("b", "2"), Param("a", "1")],
            tags=[Tag("t", "v")],
        )
        info = model.info
        assert re.fullmatch("m-[0-9a-f]{32}", info.model_id)
        location = get_experiment(store, experiment_id).artifact_location
        assert info.artifact_uri == f"{location}/models/{info.model_id}/artifacts"
        assert (info.experiment_id, info.name) == (experiment_id, "my model")
        assert (info.model_type, info.source_run_id) == ("agent", run_id)
        assert info.status == "LOGGED_MODEL_PENDING"
        assert info.creation_timestamp_ms == info.last_updated_timestamp_ms
        assert as_dict(info.tags) == {"t": "v"}
        assert as_dict(model.data.params) == {"a": "1", "b": "2"}
        assert (model.data.metrics, info.registrations) == ([], [])
        assert get_model(store, info.model_id) == model

    def test_nameless_model_gets_a_name(self, store: Store) -> None:
        """And absent facts stay absent."""
        info = new_model(store).info
        assert info.name
        assert (info.source_run_id, info.status_message) == (None, None)
        assert not info.model_type

    @pytest.mark.parametrize("status", ["LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"])
    def test_finalize(self, store: Store, status: str) -> None:
        """Answers the model in its new status; saying it twice is harmless."""
        model_id = new_model(store).info.model_id
        request = logged_models.FinalizeLoggedModel(model_id, status)
        answered = [store.logged_models.finalize(request).model for _ in range(2)]
        assert [model.info.status for model in answered] == [status] * 2
        assert get_model(store, model_id) == answered[-1]

    def test_unknown_is_not_found(self, store: Store) -> None:
        """A model, and the experiment of a new one."""
        with pytest.raises(NotFound):
            new_model(store, UNKNOWN_EXPERIMENT)
        self._expect_not_found(store, UNKNOWN_MODEL)

    def test_deleted_model_is_not_found(self, store: Store) -> None:
        """Unless a reader asks for deleted ones."""
        model = new_model(store, tags=[Tag("k", "v")])
        model_id = model.info.model_id
        store.logged_models.delete(logged_models.LoggedModelRef(model_id))
        self._expect_not_found(store, model_id)
        found = store.logged_models.get(logged_models.GetLoggedModel(model_id, allow_deleted=True))
        assert as_dict(found.model.info.tags) == {"k": "v"}

    def _expect_not_found(self, store: Store, model_id: str) -> None:
        ref = logged_models.LoggedModelRef(model_id)
        calls: list[Callable[[], object]] = [
            lambda: get_model(store, model_id),
            lambda: store.logged_models.delete(ref),
            lambda: store.logged_models.finalize(
                logged_models.FinalizeLoggedModel(model_id, "LOGGED_MODEL_READY")
            ),
            lambda: store.logged_models.set_tags(
                logged_models.SetLoggedModelTags(model_id, [Tag("k", "v")])
            ),
            lambda: store.logged_models.delete_tag(
                logged_models.DeleteLoggedModelTag(model_id, "k")
            ),
            lambda: store.logged_models.log_params(
                logged_models.LogLoggedModelParams(model_id, [Param("p", "v")])
            ),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()

    def test_tags(self, store: Store) -> None:
        """Are written over, hold any text, and are removed once."""
        model_id = new_model(store, tags=[Tag("t0", "old")]).info.model_id
        tags = [Tag(f"t{i}", text) for i, text in enumerate(AWKWARD_TEXTS)]
        store.logged_models.set_tags(logged_models.SetLoggedModelTags(model_id, tags))
        assert as_dict(get_model(store, model_id).info.tags) == as_dict(tags)
        delete = logged_models.DeleteLoggedModelTag(model_id, "t0")
        store.logged_models.delete_tag(delete)
        assert "t0" not in as_dict(get_model(store, model_id).info.tags)
        with pytest.raises(NotFound):
            store.logged_models.delete_tag(delete)

    def test_params_are_written_once(self, store: Store) -> None:
        """All of them or, if one has another value already, none."""
        model_id = new_model(store, params=[Param("a", "1")]).info.model_id
        request = logged_models.LogLoggedModelParams(model_id, [Param("a", "1"), Param("b", "")])
        for _ in range(2):
            store.logged_models.log_params(request)
        changed = [Param("c", "3"), Param("a", "2")]
        with pytest.raises(InvalidRequest, match="a"):
            store.logged_models.log_params(logged_models.LogLoggedModelParams(model_id, changed))
        assert as_dict(get_model(store, model_id).data.params) == {"a": "1", "b": ""}

    def test_metrics_are_the_latest_of_each_series(self, store: Store) -> None:
        """One for each key, run and data set; values are exact."""
        model_id, (one, two) = new_model(store).info.model_id, (new_run(store), new_run(store))
        first = metrics.Metric("m", 1.0, 5, 1)
        newer = metrics.Metric("m", math.nan, 6, 0)
        on_data = metrics.Metric("m", -math.inf, 1, 1, dataset_name="d", dataset_digest="1")
        _log(store, model_id, one, first, newer, newer, on_data)
        _log(store, model_id, two, first)
        found = {
            (point.run_id, point.dataset_name): plain([point])[0]
            for point in get_model(store, model_id).data.metrics
        }
        assert found == {
            (one, None): (6, 0, "nan"),
            (one, "d"): (1, 1, "-inf"),
            (two, None): (5, 1, "1.0"),
        }

    def test_registrations_are_listed(self, store: Store) -> None:
        """Under `registrations` and in the tag that MLflow's client writes too, each once."""
        model_id, name = new_model(store).info.model_id, new_registered_model(store)
        for _ in range(2):
            new_version(store, name, source=f"models:/{model_id}", model_id=model_id)
        info = get_model(store, model_id).info
        assert [(r.name, r.version) for r in info.registrations] == [(name, "1"), (name, "2")]
        tag = json.loads(as_dict(info.tags)["mlflow.modelVersions"])
        assert [(each["name"], str(each["version"])) for each in tag] == [(name, "1"), (name, "2")]
        repeated = json.dumps([*tag, {"name": name, "version": "2"}])
        store.logged_models.set_tags(
            logged_models.SetLoggedModelTags(model_id, [Tag("mlflow.modelVersions", repeated)])
        )
        again = as_dict(get_model(store, model_id).info.tags)["mlflow.modelVersions"]
        assert json.loads(again) == tag


class LoggedModelSearchContract:
    """Searching logged models."""

    def _found(self, store: Store, experiment_id: str, filter_text: str = "") -> set[str]:
        request = SearchLoggedModels([experiment_id], filter=filter_text)
        return {model.info.name for model in store.logged_models.search(request).models}

    def test_filter(self, store: Store) -> None:
        """By attributes, metrics, parameters and tags; deleted models are left out."""
        experiment_id, run_id = new_experiment(store), new_run(store)
        for name in ("a", "b", "gone"):
            model_id = new_model(
                store, experiment_id, name=name, params=[Param("p", name)], tags=[Tag("t", name)]
            ).info.model_id
            _log(store, model_id, run_id, metrics.Metric("m", float(ord(name[0])), 1))
            if name == "gone":
                store.logged_models.delete(logged_models.LoggedModelRef(model_id))
        for filter_text, names in (
            ("", {"a", "b"}),
            ("name = 'a'", {"a"}),
            ("params.p != 'a'", {"b"}),
            ("tags.t IN ('a', 'gone')", {"a"}),
            (f"metrics.m > {ord('a')}", {"b"}),
            ("status = 'LOGGED_MODEL_READY'", set()),
        ):
            assert self._found(store, experiment_id, filter_text) == names, filter_text
        assert store.logged_models.search(SearchLoggedModels([])).models == []

    def test_metrics_on_a_data_set(self, store: Store) -> None:
        """With `datasets`, a metric counts only where it was measured on one of them."""
        experiment_id, run_id = new_experiment(store), new_run(store)
        for name, value, digest in (("a", 1.0, "1"), ("b", 2.0, "1"), ("c", 2.0, "2")):
            model_id = new_model(store, experiment_id, name=name).info.model_id
            point = metrics.Metric("m", value, 1, dataset_name="d", dataset_digest=digest)
            _log(store, model_id, run_id, point)
        expected: list[tuple[str | None, set[str]]]
        expected = [("1", {"b"}), ("2", {"c"}), (None, {"b", "c"}), ("3", set())]
        for wanted, names in expected:
            page = store.logged_models.search(
                SearchLoggedModels(
                    [experiment_id], filter="metrics.m > 1", datasets=[DatasetFilter("d", wanted)]
                )
            )
            assert {model.info.name for model in page.models} == names

    def test_pages_hold_each_match_once(self, store: Store) -> None:
        """In the order that was asked for; the models are whole."""
        experiment_id, run_id = new_experiment(store), new_run(store)
        for i in range(5):
            model_id = new_model(store, experiment_id, name=f"n{i}").info.model_id
            if i < 4:
                _log(store, model_id, run_id, metrics.Metric("m", float(i % 2), 1))

        def ask(token: str | None) -> tuple[list[logged_models.LoggedModel], str | None]:
            page = store.logged_models.search(
                SearchLoggedModels(
                    [experiment_id],
                    max_results=2,
                    order_by=[OrderBy("metrics.m", ascending=False), OrderBy("name")],
                    page_token=token,
                )
            )
            return page.models, page.next_page_token

        found = all_pages(ask)
        assert [model.info.name for model in found] == ["n1", "n3", "n0", "n2", "n4"]
        assert found == [get_model(store, model.info.model_id) for model in found]

    def test_bad_searches_are_refused(self, store: Store) -> None:
        """As the caller's mistakes."""
        bad: list[dict[str, object]] = [
            {"filter": "name ="},
            {"order_by": [OrderBy("nothing")]},
            {"page_token": "x"},
        ]
        for fields in bad:
            with pytest.raises(InvalidRequest):
                store.logged_models.search(SearchLoggedModels(["0"], **fields))  # type: ignore[arg-type]  # the fields vary
