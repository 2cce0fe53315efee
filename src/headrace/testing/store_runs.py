"""What every RunStore must do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import datasets, experiments, metrics, runs
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    AWKWARD_TEXTS,
    INT64_MAX,
    INT64_MIN,
    UNKNOWN,
    UNKNOWN_EXPERIMENT,
    UNKNOWN_MODEL,
    all_pages,
    as_dict,
    by_key,
    get_run,
    history,
    new_experiment,
    new_run,
    outcomes,
    unique,
)


def _writes(store: Store, run_id: str) -> list[Callable[[], object]]:
    """Every way to write to a run."""
    point = metrics.LogMetric(run_id=run_id, key="k", value=1.0, timestamp=1)
    return [
        lambda: store.runs.update(runs.UpdateRun(run_id=run_id, status="FINISHED")),
        lambda: store.runs.log_param(runs.LogParam(run_id=run_id, key="k", value="v")),
        lambda: store.runs.set_tag(runs.SetTag(run_id=run_id, key="k", value="v")),
        lambda: store.runs.delete_tag(runs.DeleteTag(run_id=run_id, key="k")),
        lambda: store.runs.log_batch(runs.LogBatch(run_id=run_id, tags=[Tag("k", "v")])),
        lambda: store.runs.log_model(runs.LogModelNote(run_id=run_id, model_json="{}")),
        lambda: store.metrics.log(point),
        lambda: store.datasets.log_inputs(datasets.LogInputs(run_id)),
        lambda: store.datasets.log_outputs(datasets.LogOutputs(run_id)),
    ]


class RunLifeContract:
    """Runs: made, ended, resumed, renamed, deleted, restored."""

    def test_new_run(self, store: Store) -> None:
        """Is RUNNING from now on, has a name, and a place of its own for artifacts."""
        before = int(time.time() * 1000)
        experiment_id = new_experiment(store)
        run = store.runs.create(
            runs.CreateRun(experiment_id=experiment_id, tags=[Tag("mlflow.user", "ada")])
        ).run
        info = run.info
        assert info.run_id == info.run_uuid
        assert info.experiment_id == experiment_id
        assert (info.status, info.lifecycle_stage) == ("RUNNING", "active")
        assert info.end_time is None
        assert before - 5000 <= info.start_time
        assert info.artifact_uri.endswith(f"/{experiment_id}/{info.run_id}/artifacts")
        assert info.user_id == "ada"
        assert info.run_name
        assert as_dict(run.data.tags) == {"mlflow.user": "ada", "mlflow.runName": info.run_name}
        assert get_run(store, info.run_id) == by_key(run)

    def test_name_from_field_or_tag(self, store: Store) -> None:
        """Both ways give the run its name and its tag."""
        by_field = get_run(store, new_run(store, run_name="one"))
        by_tag = get_run(store, new_run(store, tags=[Tag("mlflow.runName", "one")]))
        for run in (by_field, by_tag):
            assert run.info.run_name == "one"
            assert as_dict(run.data.tags)["mlflow.runName"] == "one"

    @pytest.mark.parametrize("start_time", [0, 1, INT64_MIN, INT64_MAX])
    def test_times_are_kept(self, store: Store, start_time: int) -> None:
        """Any 64-bit number is a time."""
        run_id = new_run(store, start_time=start_time)
        store.runs.update(runs.UpdateRun(run_id=run_id, end_time=start_time))
        info = get_run(store, run_id).info
        assert (info.start_time, info.end_time) == (start_time, start_time)

    def test_creating_with_an_id_twice_makes_one_run(self, store: Store) -> None:
        """The second answer is the run as it is by now."""
        run_id = unique("run")
        request = runs.CreateRun(run_id=run_id, run_name="first", tags=[Tag("k", "v")])
        made = store.runs.create(request).run
        assert made.info.run_id == run_id
        store.runs.set_tag(runs.SetTag(run_id=run_id, key="k", value="changed"))
        again = store.runs.create(request).run
        assert by_key(again) == get_run(store, run_id)
        assert as_dict(again.data.tags)["k"] == "changed"

    def test_creating_with_an_id_at_once_makes_one_run(self, store: Store) -> None:
        """However the callers race."""
        request = runs.CreateRun(run_id=unique("run"), run_name="raced")
        found = outcomes([lambda: store.runs.create(request).run.info.run_id] * 6)
        assert found == [request.run_id] * 6

    def test_unknown_is_not_found(self, store: Store) -> None:
        """A run, and the experiment of a new one."""
        with pytest.raises(NotFound):
            new_run(store, UNKNOWN_EXPERIMENT)
        ref = runs.RunRef(UNKNOWN)
        calls = [
            lambda: store.runs.get(ref),
            lambda: store.runs.delete(ref),
            lambda: store.runs.restore(ref),
            *_writes(store, UNKNOWN),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call()

    def test_update_changes_what_it_names(self, store: Store) -> None:
        """Absent fields stay; a run can be ended, resumed and renamed."""
        run_id = new_run(store, run_name="one")
        answer = store.runs.update(
            runs.UpdateRun(run_id=run_id, status="FAILED", end_time=17)
        ).run_info
        assert (answer.status, answer.end_time, answer.run_name) == ("FAILED", 17, "one")
        store.runs.update(runs.UpdateRun(run_id=run_id, run_name="two"))
        run = get_run(store, run_id)
        assert (run.info.status, run.info.end_time, run.info.run_name) == ("FAILED", 17, "two")
        assert as_dict(run.data.tags)["mlflow.runName"] == "two"
        store.runs.update(runs.UpdateRun(run_id=run_id, status="RUNNING"))
        assert get_run(store, run_id).info.status == "RUNNING"

    def test_name_tag_renames(self, store: Store) -> None:
        """Set alone or in a batch."""
        run_id = new_run(store)
        store.runs.set_tag(runs.SetTag(run_id=run_id, key="mlflow.runName", value="two"))
        assert get_run(store, run_id).info.run_name == "two"
        store.runs.log_batch(runs.LogBatch(run_id=run_id, tags=[Tag("mlflow.runName", "three")]))
        assert get_run(store, run_id).info.run_name == "three"

    def test_deleted_run_is_read_but_not_written(self, store: Store) -> None:
        """Until it is restored; deleting and restoring twice is harmless."""
        run_id = new_run(store, tags=[Tag("k", "v")])
        for _ in range(2):
            store.runs.delete(runs.RunRef(run_id))
        run = get_run(store, run_id)
        assert run.info.lifecycle_stage == "deleted"
        for call in _writes(store, run_id):
            with pytest.raises(InvalidRequest):
                call()
        assert get_run(store, run_id) == run
        for _ in range(2):
            store.runs.restore(runs.RunRef(run_id))
        assert get_run(store, run_id).info.lifecycle_stage == "active"
        for call in _writes(store, run_id):
            call()


class RunDataContract:
    """Parameters and tags of runs, and batches of everything."""

    def test_params_are_written_once(self, store: Store) -> None:
        """The same value again is fine; another is refused and changes nothing."""
        run_id = new_run(store)
        for _ in range(2):
            store.runs.log_param(runs.LogParam(run_id=run_id, key="lr", value="0.1"))
        with pytest.raises(InvalidRequest, match=r"(?s)lr.*0\.1.*0\.2"):
            store.runs.log_param(runs.LogParam(run_id=run_id, key="lr", value="0.2"))
        assert as_dict(get_run(store, run_id).data.params) == {"lr": "0.1"}

    def test_one_of_many_values_wins(self, store: Store) -> None:
        """Of those who log a parameter at once with different values, one is kept."""
        run_id = new_run(store)

        def log(value: int) -> str:
            store.runs.log_param(runs.LogParam(run_id=run_id, key="p", value=str(value)))
            return str(value)

        found = outcomes([lambda i=i: log(i) for i in range(6)])  # type: ignore[misc]  # i is bound early
        won = [each for each in found if isinstance(each, str)]
        assert all(isinstance(each, (str, InvalidRequest)) for each in found), found
        assert as_dict(get_run(store, run_id).data.params) == {"p": won[0]}
        assert len(won) == 1

    def test_any_text_is_a_value(self, store: Store) -> None:
        """Of parameters and tags, up to 100,000 characters."""
        run_id = new_run(store, run_name="n")
        for i, text in enumerate(AWKWARD_TEXTS):
            store.runs.log_param(runs.LogParam(run_id=run_id, key=f"p{i}", value=text))
            store.runs.set_tag(runs.SetTag(run_id=run_id, key=f"t{i}", value=text))
        data = get_run(store, run_id).data
        expected = dict(enumerate(AWKWARD_TEXTS))
        assert as_dict(data.params) == {f"p{i}": text for i, text in expected.items()}
        tags = {f"t{i}": text for i, text in expected.items()}
        assert as_dict(data.tags) == {**tags, "mlflow.runName": "n"}

    @pytest.mark.parametrize("key", ["a/b.c", "A", "a", "x y: z-1", "é日本", "k" * 250])
    def test_keys_are_told_apart(self, store: Store, key: str) -> None:
        """Exactly as they were written, capitals too, whatever kind of value has them."""
        run_id = new_run(store)
        store.runs.log_batch(
            runs.LogBatch(
                run_id=run_id,
                metrics=[metrics.Metric(key, 1.0, 1)],
                params=[Param(key, "p")],
                tags=[Tag(key, "t")],
            )
        )
        data = get_run(store, run_id).data
        assert [point.key for point in data.metrics] == [key]
        assert as_dict(data.params) == {key: "p"}
        assert as_dict(data.tags)[key] == "t"
        assert key.swapcase() == key or history(store, run_id, key.swapcase()) == []

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["NUL", "half a pair"])
    def test_text_that_no_database_holds_is_refused(self, store: Store, text: str) -> None:
        """Wherever it stands."""
        run_id = new_run(store)
        calls: list[Callable[[], object]] = [
            lambda: new_run(store, run_name=text),
            lambda: store.runs.log_param(runs.LogParam(run_id=run_id, key="k", value=text)),
            lambda: store.runs.set_tag(runs.SetTag(run_id=run_id, key="k", value=text)),
            lambda: store.runs.set_tag(runs.SetTag(run_id=run_id, key=text, value="v")),
            lambda: store.runs.delete_tag(runs.DeleteTag(run_id=run_id, key=text)),
            lambda: history(store, run_id, text),
            lambda: store.runs.search(
                runs.SearchRuns(experiment_ids=["0"], filter=f"tags.k = '{text}'")
            ),
            lambda: store.experiments.get_by_name(experiments.ExperimentByName(text)),
        ]
        for call in calls:
            with pytest.raises(InvalidRequest):
                call()

    def test_tags_are_written_over_and_removed(self, store: Store) -> None:
        """Removing one that is not there is NotFound."""
        run_id = new_run(store)
        for value in ("1", "2"):
            store.runs.set_tag(runs.SetTag(run_id=run_id, key="k", value=value))
        assert as_dict(get_run(store, run_id).data.tags)["k"] == "2"
        delete = runs.DeleteTag(run_id=run_id, key="k")
        store.runs.delete_tag(delete)
        assert "k" not in as_dict(get_run(store, run_id).data.tags)
        for key in ("k", unique("never")):
            with pytest.raises(NotFound):
                store.runs.delete_tag(runs.DeleteTag(run_id=run_id, key=key))

    def test_batch_is_all(self, store: Store) -> None:
        """A full batch is stored whole, and sending it again changes nothing."""
        run_id = new_run(store)
        batch = runs.LogBatch(
            run_id=run_id,
            metrics=[metrics.Metric(f"m{i}", float(i), i, i) for i in range(800)],
            params=[Param(f"p{i}", str(i)) for i in range(100)],
            tags=[Tag(f"t{i}", str(i)) for i in range(100)],
        )
        store.runs.log_batch(batch)
        once = get_run(store, run_id)
        store.runs.log_batch(batch)
        assert get_run(store, run_id) == once
        assert {point.key: point.value for point in once.data.metrics} == {
            f"m{i}": float(i) for i in range(800)
        }
        assert as_dict(once.data.params) == {f"p{i}": str(i) for i in range(100)}
        assert len(once.data.tags) == 101
        assert len(history(store, run_id, "m7")) == 1

    @pytest.mark.parametrize("bad", ["changed param", "unknown model"])
    def test_batch_is_all_or_none(self, store: Store, bad: str) -> None:
        """A batch of which one part is refused leaves no trace of the others."""
        run_id = new_run(store)
        store.runs.log_param(runs.LogParam(run_id=run_id, key="p", value="1"))
        before = get_run(store, run_id)
        model_id = UNKNOWN_MODEL if bad == "unknown model" else None
        with pytest.raises((InvalidRequest, NotFound)):
            store.runs.log_batch(
                runs.LogBatch(
                    run_id=run_id,
                    metrics=[metrics.Metric("m", 1.0, 1, model_id=model_id)],
                    params=[Param("a", "1"), Param("p", "2" if model_id is None else "1")],
                    tags=[Tag("t", "1"), Tag("mlflow.runName", "renamed")],
                )
            )
        assert get_run(store, run_id) == before
        assert history(store, run_id, "m") == []

    def test_model_notes_are_appended(self, store: Store) -> None:
        """To the tag that clients of MLflow 2 read."""
        run_id = new_run(store)
        for path in ("a", "b"):
            note = json.dumps({"artifact_path": path})
            store.runs.log_model(runs.LogModelNote(run_id=run_id, model_json=note))
        with pytest.raises(InvalidRequest):
            store.runs.log_model(runs.LogModelNote(run_id=run_id, model_json="{"))
        tag = as_dict(get_run(store, run_id).data.tags)["mlflow.log-model.history"]
        assert [note["artifact_path"] for note in json.loads(tag)] == ["a", "b"]


class RunSearchContract:
    """Searching runs."""

    def test_pages_hold_each_match_once(self, store: Store) -> None:
        """In the order that was asked for, rows without the key last."""
        experiment_id = new_experiment(store)
        made = [new_run(store, experiment_id, start_time=i) for i in range(7)]
        for i, run_id in enumerate(made[:5]):
            point = metrics.LogMetric(run_id=run_id, key="loss", value=float(i), timestamp=1)
            store.metrics.log(point)

        def ask(token: str | None) -> tuple[list[runs.Run], str | None]:
            page = store.runs.search(
                runs.SearchRuns(
                    experiment_ids=[experiment_id],
                    max_results=3,
                    order_by=["metrics.loss DESC"],
                    page_token=token,
                )
            )
            return page.runs, page.next_page_token

        found = [run.info.run_id for run in all_pages(ask)]
        assert found == [*made[4::-1], made[6], made[5]]

    def test_runs_are_whole(self, store: Store) -> None:
        """A run in a page is the run that `get` answers."""
        experiment_id = new_experiment(store)
        for _ in range(2):
            run_id = new_run(store, experiment_id, tags=[Tag("k", "v")])
            store.runs.log_batch(
                runs.LogBatch(
                    run_id=run_id,
                    metrics=[metrics.Metric("m", 1.5, 1, 2)],
                    params=[Param("p", "1")],
                )
            )
        page = store.runs.search(runs.SearchRuns(experiment_ids=[experiment_id]))
        assert len(page.runs) == 2
        found = [by_key(run) for run in page.runs]
        assert found == [get_run(store, run.info.run_id) for run in found]

    def test_only_named_experiments(self, store: Store) -> None:
        """And none if none is named."""
        one, two, other = (new_experiment(store) for _ in range(3))
        wanted = {new_run(store, one), new_run(store, two)}
        new_run(store, other)
        page = store.runs.search(runs.SearchRuns(experiment_ids=[one, two, UNKNOWN_EXPERIMENT]))
        assert {run.info.run_id for run in page.runs} == wanted
        assert store.runs.search(runs.SearchRuns()).runs == []

    def test_filter_and_view(self, store: Store) -> None:
        """Every kind of field, of active or deleted runs."""
        experiment_id = new_experiment(store)
        kept, gone = (
            new_run(store, experiment_id, run_name=name, tags=[Tag("t", name)])
            for name in ("kept", "gone")
        )
        for run_id in (kept, gone):
            store.runs.log_batch(
                runs.LogBatch(
                    run_id=run_id,
                    metrics=[metrics.Metric("m", 0.5, 1)],
                    params=[Param("p", "x")],
                )
            )
        store.runs.delete(runs.RunRef(gone))
        matching = "metrics.m < 1 AND params.p = 'x' AND tags.t LIKE '%e%' AND status = 'RUNNING'"
        for view, expected in (
            ("ACTIVE_ONLY", {kept}),
            ("DELETED_ONLY", {gone}),
            ("ALL", {kept, gone}),
        ):
            for filter_text, ids in ((matching, expected), ("metrics.m > 1", set())):
                page = store.runs.search(
                    runs.SearchRuns(
                        experiment_ids=[experiment_id], filter=filter_text, run_view_type=view
                    )
                )
                assert {run.info.run_id for run in page.runs} == ids

    @pytest.mark.parametrize(
        "fields",
        [{"filter": "metrics.m >"}, {"order_by": ["metrics"]}, {"page_token": "%%%"}],
        ids=["filter", "order_by", "page_token"],
    )
    def test_bad_searches_are_refused(self, store: Store, fields: dict[str, object]) -> None:
        """As the caller's mistakes."""
        with pytest.raises(InvalidRequest):
            store.runs.search(runs.SearchRuns(experiment_ids=["0"], **fields))  # type: ignore[arg-type]  # the fields vary
