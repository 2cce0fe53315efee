"""Metrics: numbers of a run over steps and time.

The latest value is the one of the highest (step, timestamp, value).
"""

from __future__ import annotations

from msgspec import Struct, field

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.wire import Answer, Empty, Entity, Int64, NonFinite, Request


class Metric(Entity, Struct, omit_defaults=True, gc=False):
    """One point: `timestamp` in milliseconds since 1970; `step` is the caller's own count."""

    key: str
    value: float
    timestamp: Int64
    step: Int64 = field(default_factory=int)
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        value = self.value
        if value - value != 0.0:
            self.value = NonFinite(value)


def check_metric_links(where: str, metric: Metric | LogMetric) -> None:
    """Refuse ids of a model or data set that cannot be stored."""
    if metric.model_id is not None:
        names.check_text(f"{where}model_id", metric.model_id, limits.MAX_RUN_ID_LENGTH)
    if metric.dataset_name is not None:
        names.check_text(
            f"{where}dataset_name", metric.dataset_name, limits.MAX_DATASET_NAME_LENGTH
        )
    if metric.dataset_digest is not None:
        names.check_text(
            f"{where}dataset_digest", metric.dataset_digest, limits.MAX_DATASET_DIGEST_LENGTH
        )


def check_points(points: list[Metric]) -> None:
    """Refuse a batch in which one point has a key or a link that cannot be stored."""
    # A batch has few keys and nearly never links: look closely only where something is wrong.
    keys_are_fine = all(map(names.is_key, {point.key for point in points}))
    for i, point in enumerate(points):
        if not keys_are_fine:
            names.check_key(f"metrics[{i}].key", point.key)
        if point.model_id or point.dataset_name or point.dataset_digest:
            check_metric_links(f"metrics[{i}].", point)


class LogMetric(Request):
    """Adds a point. Sending the same point twice changes nothing."""

    run_id: str = ""
    run_uuid: str | None = None
    key: str = ""
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __post_init__(self) -> None:
        self.run_id = self.run_id or self.run_uuid or ""
        names.check_run_id("run_id", self.run_id)
        names.check_key("key", self.key)
        names.check_required("value", self.value)
        names.check_required("timestamp", self.timestamp)
        check_metric_links("", self)
        value = self.value
        if value is not None and value - value != 0.0:
            self.value = NonFinite(value)

    def point(self) -> Metric:
        """The point that this call adds."""
        if self.value is None or self.timestamp is None:
            raise InvalidRequest("Missing value for required parameter 'value' or 'timestamp'.")
        return Metric(
            self.key,
            self.value,
            self.timestamp,
            self.step,
            model_id=self.model_id,
            dataset_name=self.dataset_name,
            dataset_digest=self.dataset_digest,
        )


class GetMetricHistory(Request):
    """All points of a metric by (timestamp, step, value); in pages if `max_results` is given."""

    run_id: str = ""
    run_uuid: str | None = None
    metric_key: str = ""
    page_token: str | None = None
    max_results: Int64 | None = None

    def __post_init__(self) -> None:
        self.run_id = self.run_id or self.run_uuid or ""
        names.check_run_id("run_id", self.run_id)
        names.check_required("metric_key", self.metric_key)
        if self.max_results is not None and self.max_results < 1:
            names.check_page_size("max_results", self.max_results, limits.MAX_HISTORY_PAGE)


class MetricPage(Answer):
    """Points of metrics; without `next_page_token` these are the last."""

    metrics: list[Metric] = []
    next_page_token: str | None = None


class GetMetricHistoryBulkInterval(Request):
    """Points of one metric of up to 100 runs, thinned evenly to `max_results` a run.

    The first and the last point of each run are always kept. `start_step` and `end_step`, both
    or neither, bound the steps, both ends included.
    """

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 | None = None

    def __post_init__(self) -> None:
        _check_run_ids("run_ids", self.run_ids)
        names.check_required("metric_key", self.metric_key)
        if (self.start_step is None) != (self.end_step is None):
            raise InvalidRequest("Give both 'start_step' and 'end_step', or neither.")
        start, end = self.start_step, self.end_step
        if start is not None and end is not None and start > end:
            raise InvalidRequest(f"'end_step' ({end}) must not be before 'start_step' ({start}).")
        names.check_page_size("max_results", self.max_results, limits.MAX_BULK_POINTS)


class GetMetricHistoryBulk(Request):
    """Points of one metric of up to 100 runs, unthinned, up to `max_results` in all."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: Int64 | None = None

    def __post_init__(self) -> None:
        _check_run_ids("run_id", self.run_id)
        names.check_required("metric_key", self.metric_key)
        names.check_page_size("max_results", self.max_results, 25_000)


def _check_run_ids(field_name: str, run_ids: list[str]) -> None:
    names.check_required(field_name, run_ids or None)
    if len(run_ids) > limits.MAX_BULK_RUNS:
        raise InvalidRequest(
            f"'{field_name}' names {len(run_ids)} runs; at most {limits.MAX_BULK_RUNS} are allowed."
        )
    for i, run_id in enumerate(run_ids):
        names.check_run_id(f"{field_name}[{i}]", run_id)


LOG = Endpoint("POST", "/2.0/mlflow/runs/log-metric", LogMetric, Empty, "Log a point of a metric.")
GET_HISTORY = Endpoint(
    "GET", "/2.0/mlflow/metrics/get-history", GetMetricHistory, MetricPage, "Get all points."
)
GET_HISTORY_BULK_INTERVAL = Endpoint(
    "GET",
    "/2.0/mlflow/metrics/get-history-bulk-interval",
    GetMetricHistoryBulkInterval,
    MetricPage,
    "Get a metric of several runs, thinned for a plot.",
)
GET_HISTORY_BULK = Endpoint(
    "GET",
    "/2.0/mlflow/metrics/get-history-bulk",
    GetMetricHistoryBulk,
    MetricPage,
    "Get a metric of several runs.",
)
