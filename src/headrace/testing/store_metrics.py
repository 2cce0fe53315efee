"""What every MetricStore must do."""

from __future__ import annotations

import math
import random
from itertools import pairwise, permutations

import msgspec
import pytest

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import logged_models, metrics, runs
from headrace.store.base import Store
from headrace.testing.store_builders import (
    INT64_MAX,
    INT64_MIN,
    UNKNOWN,
    UNKNOWN_MODEL,
    all_pages,
    get_model,
    get_run,
    history,
    latest,
    log_point,
    new_model,
    new_run,
    outcomes,
    plain,
    unique,
)

VALUES = (
    *(math.nan, math.inf, -math.inf),
    *(0.0, 1.0, -1.5, 0.1, 1e308, 1.7976931348623157e308, 5e-324, 2.0**53 + 2, 1e-300),
)


class MetricContract:
    """Points: exact, once, and the latest by (step, timestamp, value)."""

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_values_are_exact(self, store: Store, value: float) -> None:
        """As the latest value, in the history, and in a thinned history."""
        run_id = new_run(store)
        log_point(store, run_id, "m", value, 1, 2)
        expected = [(1, 2, repr(value))]
        assert plain(get_run(store, run_id).data.metrics) == expected
        assert plain(history(store, run_id, "m")) == expected
        thinned = metrics.GetMetricHistoryBulkInterval([run_id], "m")
        assert plain(store.metrics.history_bulk_interval(thinned).metrics) == expected

    @pytest.mark.parametrize("number", [INT64_MIN, -1, 0, INT64_MAX])
    def test_steps_and_times_are_64_bit(self, store: Store, number: int) -> None:
        """Both ends included, in writing, reading and paging."""
        run_id = new_run(store)
        log_point(store, run_id, "m", 1.0, number, number)
        log_point(store, run_id, "m", 2.0, number, number)
        expected = [(number, number, "1.0"), (number, number, "2.0")]
        assert plain(history(store, run_id, "m")) == expected
        assert latest(store, run_id) == {"m": expected[1]}
        assert plain(self._in_pages(store, run_id, 1)) == expected

    @pytest.mark.parametrize(
        "ordered",
        [
            # (timestamp, step, value), each the latest when it has been logged with those before
            [(9, 1, 9.0), (1, 2, 5.0), (2, 2, 1.0), (2, 2, 3.0)],
            [(1, 0, -math.inf), (1, 0, 1.0), (1, 0, math.inf), (1, 0, math.nan)],
            [(5, -1, math.nan), (0, 0, 0.0), (0, INT64_MAX, -1.0)],
        ],
    )
    def test_latest_is_highest_step_time_value(
        self, store: Store, ordered: list[tuple[int, int, float]]
    ) -> None:
        """In whatever order the points arrive; NaN is above all numbers."""
        timestamp, step, value = ordered[-1]
        for arrival in permutations(ordered):
            one_by_one, batched = new_run(store), new_run(store)
            for point in arrival:
                log_point(store, one_by_one, "m", point[2], point[0], point[1])
            points = [metrics.Metric("m", v, t, s) for t, s, v in arrival]
            store.runs.log_batch(runs.LogBatch(run_id=batched, metrics=points))
            for run_id in (one_by_one, batched):
                assert latest(store, run_id) == {"m": (timestamp, step, repr(value))}
                assert len(history(store, run_id, "m")) == len(ordered)

    def test_same_point_twice_is_one(self, store: Store) -> None:
        """NaN too, alone or in a batch."""
        run_id = new_run(store)
        for value in (1.0, math.nan):
            point = metrics.Metric("m", value, 1, 1)
            for _ in range(2):
                log_point(store, run_id, "m", value, 1, 1)
                store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=[point, point]))
        assert plain(history(store, run_id, "m")) == [(1, 1, "1.0"), (1, 1, "nan")]

    def test_points_of_concurrent_writers(self, store: Store) -> None:
        """All are there, and the latest is the latest, however many write to one run."""
        run_id = new_run(store)

        def write(writer: int) -> None:
            for i in range(15):
                step = i * 8 + writer
                log_point(store, run_id, "shared", step / 2, 1, step)
                points = [metrics.Metric(f"own{writer}", step / 2, 1, step)]
                store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=points))

        assert outcomes([lambda i=i: write(i) for i in range(8)]) == [None] * 8  # type: ignore[misc]  # i is bound early
        expected = {f"own{i}": (1, 112 + i, repr((112 + i) / 2)) for i in range(8)}
        assert latest(store, run_id) == {**expected, "shared": (1, 119, "59.5")}
        shared = [(1, step, repr(step / 2)) for step in range(120)]
        assert plain(history(store, run_id, "shared")) == shared
        assert len(history(store, run_id, "own3")) == 15

    def test_points_of_a_model(self, store: Store) -> None:
        """Belong to the run and to the logged model; an unknown or deleted one is refused."""
        run_id, model_id = new_run(store), new_model(store).info.model_id
        request = metrics.LogMetric(
            run_id=run_id,
            key="m",
            value=math.nan,
            timestamp=3,
            step=4,
            model_id=model_id,
            dataset_name="d",
            dataset_digest="1",
        )
        store.metrics.log(request)
        assert latest(store, run_id) == {"m": (3, 4, "nan")}
        (point,) = get_model(store, model_id).data.metrics
        assert (point.key, *plain([point])[0]) == ("m", 3, 4, "nan")
        assert (point.run_id, point.model_id) == (run_id, model_id)
        assert (point.dataset_name, point.dataset_digest) == ("d", "1")
        store.logged_models.delete(logged_models.LoggedModelRef(model_id))
        for missing in (UNKNOWN_MODEL, model_id):
            with pytest.raises(NotFound):
                store.metrics.log(msgspec.structs.replace(request, step=5, model_id=missing))
        assert len(history(store, run_id, "m")) == 1

    def _in_pages(self, store: Store, run_id: str, size: int) -> list[metrics.Metric]:
        def ask(token: str | None) -> tuple[list[metrics.Metric], str | None]:
            page = store.metrics.history(
                metrics.GetMetricHistory(
                    run_id=run_id, metric_key="m", page_token=token, max_results=size
                )
            )
            assert len(page.metrics) <= size
            return page.metrics, page.next_page_token

        return all_pages(ask)

    def test_history_is_ordered_in_pages_of_any_size(self, store: Store) -> None:
        """By (timestamp, step, value), NaN last; the pages together are the whole."""
        run_id = new_run(store)
        values = (math.nan, -1.0, math.inf, 0.5, -math.inf)
        points = [
            metrics.Metric("m", value, timestamp, step)
            for timestamp in (-3, 5)
            for step in (2, -1)
            for value in values
        ]
        random.Random(1).shuffle(points)  # noqa: S311 - an order, not a secret
        store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=points))
        expected = [
            (timestamp, step, repr(value))
            for timestamp in (-3, 5)
            for step in (-1, 2)
            for value in (-math.inf, -1.0, 0.5, math.inf, math.nan)
        ]
        assert plain(history(store, run_id, "m")) == expected
        for size in (1, 3, 20, 1000):
            assert plain(self._in_pages(store, run_id, size)) == expected


class MetricHistoryContract:
    """Reading histories of one run and of several."""

    def test_history_of_what_is_not_there(self, store: Store) -> None:
        """Of an unknown key: no points. Of an unknown run: NotFound."""
        run_id = new_run(store)
        assert history(store, run_id, unique("never")) == []
        with pytest.raises(NotFound):
            history(store, UNKNOWN, "m")
        for runs_asked in ([UNKNOWN], [run_id, UNKNOWN]):
            with pytest.raises(NotFound):
                store.metrics.history_bulk(metrics.GetMetricHistoryBulk(runs_asked, "m"))
            with pytest.raises(NotFound):
                store.metrics.history_bulk_interval(
                    metrics.GetMetricHistoryBulkInterval(runs_asked, "m")
                )

    @pytest.mark.parametrize("token", ["x", "%%%", "bm90IGpzb24=", "W10=", "é"])
    def test_bad_page_token_is_refused(self, store: Store, token: str) -> None:
        """As the caller's mistake."""
        run_id = new_run(store)
        log_point(store, run_id, "m", 1.0, 1, 1)
        with pytest.raises(InvalidRequest, match="page_token"):
            store.metrics.history(
                metrics.GetMetricHistory(run_id=run_id, metric_key="m", page_token=token)
            )

    def test_history_of_a_deleted_run(self, store: Store) -> None:
        """Can still be read."""
        run_id = new_run(store)
        log_point(store, run_id, "m", 1.0, 1, 1)
        store.runs.delete(runs.RunRef(run_id))
        assert len(history(store, run_id, "m")) == 1

    @pytest.mark.parametrize("wanted", [1, 2, 7, 50, 100, 101, 2500])
    def test_thinned_history(self, store: Store, wanted: int) -> None:
        """Has no more points than asked for, evenly spread, the first and last among them."""
        run_id = new_run(store)
        points = [metrics.Metric("m", float(i), 1, i) for i in range(101)]
        store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=points))
        found = store.metrics.history_bulk_interval(
            metrics.GetMetricHistoryBulkInterval([run_id], "m", max_results=wanted)
        ).metrics
        steps = [point.step for point in found]
        assert len(steps) <= max(wanted, 2)
        assert len(steps) >= min(wanted, 101) // 2
        assert (steps[0], steps[-1]) == (0, 100)
        gaps = {b - a for a, b in pairwise(steps[:-1])}
        assert len(gaps) <= 1, f"unevenly spread: {steps}"
        assert all(point.run_id == run_id for point in found)

    def test_history_of_a_range_of_steps(self, store: Store) -> None:
        """Both ends belong to it."""
        run_id = new_run(store)
        points = [metrics.Metric("m", float(i), 1, i) for i in range(-5, 6)]
        store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=points))
        for start, end in ((-2, 3), (5, 90), (INT64_MIN, INT64_MAX), (7, 8)):
            found = store.metrics.history_bulk_interval(
                metrics.GetMetricHistoryBulkInterval([run_id], "m", start, end)
            ).metrics
            wanted = [step for step in range(-5, 6) if start <= step <= end]
            assert [point.step for point in found] == wanted

    def test_histories_of_several_runs(self, store: Store) -> None:
        """Whole, run by run, up to the limit."""
        ids = sorted(new_run(store) for _ in range(3))
        for run_id in ids[:2]:
            points = [metrics.Metric("m", float(i), i, 9 - i) for i in range(4)]
            store.runs.log_batch(runs.LogBatch(run_id=run_id, metrics=points))
        ask = metrics.GetMetricHistoryBulk([ids[2], ids[1], ids[0]], "m")
        found = store.metrics.history_bulk(ask).metrics
        expected = [(run_id, i) for run_id in ids[:2] for i in range(4)]
        assert [(point.run_id, point.timestamp) for point in found] == expected
        ask = metrics.GetMetricHistoryBulk(ids, "m", max_results=6)
        cut = store.metrics.history_bulk(ask).metrics
        assert [(point.run_id, point.timestamp) for point in cut] == expected[:6]
