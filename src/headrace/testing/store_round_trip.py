"""What a run holds after any sequence of writes, against a plain model of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import metrics, runs
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.testing.store_builders import (
    INT64_MAX,
    INT64_MIN,
    as_dict,
    get_run,
    history,
    latest,
    new_run,
)

_KEYS = ("a", "A", "b/c", "x y", "é日本", ".z", "k" * 250)
_keys = st.sampled_from(_KEYS)
_texts = st.one_of(
    st.sampled_from(["1", "2", ""]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
)
_small = st.integers(-2, 2)
_int64 = st.one_of(_small, st.integers(INT64_MIN, INT64_MAX))
_values = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0]),
    # SQLite keeps no sign of zero.
    st.floats(allow_nan=False).filter(lambda value: value != 0.0),
)
_metrics = st.builds(metrics.Metric, _keys, _values, timestamp=_int64, step=_int64)
_params = st.lists(st.builds(Param, _keys, _texts), max_size=3, unique_by=lambda p: p.key)
_tags = st.lists(st.builds(Tag, _keys, _texts), max_size=3)
_batches = st.builds(
    runs.LogBatch,
    run_id=st.just("r"),
    metrics=st.lists(_metrics, max_size=8),
    params=_params,
    tags=_tags,
)
_deletions = st.builds(runs.DeleteTag, run_id=st.just("r"), key=_keys)
_writes = st.lists(st.one_of(_batches, _deletions), max_size=8)

Point = tuple[int, int, bool, float]
"""(step, timestamp, is NaN, value or 0): sorts as points do."""


@dataclass
class _PlainRun:
    """What a run should hold."""

    points: dict[str, set[Point]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def apply(self, request: runs.LogBatch) -> bool:
        """Apply a batch, or refuse it whole."""
        if any(self.params.get(p.key, p.value) != p.value for p in request.params):
            return False
        self.params |= as_dict(request.params)
        self.tags |= {tag.key: tag.value for tag in request.tags}
        for point in request.metrics:
            nan = math.isnan(point.value)
            entry = (point.step, point.timestamp, nan, 0.0 if nan else float(point.value))
            self.points.setdefault(point.key, set()).add(entry)
        return True


def _shown(point: Point) -> tuple[int, int, str]:
    return point[1], point[0], "nan" if point[2] else repr(point[3])


class RoundTripContract:
    """Any values in any order."""

    @given(writes=_writes)
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            # Each example has a run of its own in the one store; subclasses share the test.
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    def test_a_run_holds_what_was_written(
        self, store: Store, writes: list[runs.LogBatch | runs.DeleteTag]
    ) -> None:
        """Its metrics, histories, parameters and tags are those of the plain model."""
        run_id = new_run(store, run_name="n")
        expected = _PlainRun(tags={"mlflow.runName": "n"})
        for request in writes:
            request.run_id = run_id
            if isinstance(request, runs.LogBatch):
                self._log(store, request, accepted=expected.apply(request))
            elif expected.tags.pop(request.key, None) is None:
                with pytest.raises(NotFound):
                    store.runs.delete_tag(request)
            else:
                store.runs.delete_tag(request)
        data = get_run(store, run_id).data
        assert as_dict(data.params) == expected.params
        assert as_dict(data.tags) == expected.tags
        newest = {key: _shown(max(points)) for key, points in expected.points.items()}
        assert latest(store, run_id) == newest
        for key, points in expected.points.items():
            in_order = sorted(points, key=lambda p: (p[1], p[0], p[2], p[3]))
            found = history(store, run_id, key)
            assert [(p.timestamp, p.step, repr(float(p.value))) for p in found] == [
                _shown(point) for point in in_order
            ]

    def _log(self, store: Store, request: runs.LogBatch, *, accepted: bool) -> None:
        if accepted:
            store.runs.log_batch(request)
        else:
            with pytest.raises(InvalidRequest):
                store.runs.log_batch(request)
