"""Runs: one execution of training code, with what it was told and what it measured."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Self

from msgspec import field

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.datasets import DatasetInput, ModelInput, ModelOutput
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.metrics import Metric, check_points
from headrace.protocol.wire import Answer, Empty, Int64, Param, Request, Tag, ViewType, as_enum

RUN_NAME_TAG = "mlflow.runName"
USER_TAG = "mlflow.user"
PARENT_RUN_TAG = "mlflow.parentRunId"
SOURCE_NAME_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
NOTE_TAG = "mlflow.note.content"
RUN_ID_TAG = "headrace.runId"
"""On a server that gives ids of its own: the id that a run had before."""
LOG_MODEL_HISTORY_TAG = "mlflow.log-model.history"


class RunStatus(StrEnum):
    """What a run is doing, or how it ended."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @classmethod
    def from_string(cls, status_str: str) -> Self:
        """The member of this name."""
        return as_enum(cls, status_str, "status_str")

    @classmethod
    def to_string(cls, status: str | int) -> str:
        """The name of a member, or of its number on the wire."""
        return as_enum(cls, status, "status").value

    @classmethod
    def is_terminated(cls, status: str | int) -> bool:
        """Whether a run of this status has ended."""
        return as_enum(cls, status, "status") in (cls.FINISHED, cls.FAILED, cls.KILLED)

    @classmethod
    def all_status(cls) -> list[Self]:
        """Every status."""
        return list(cls)


class RunInfo(Answer, kw_only=True):
    """A run's own facts; times are milliseconds since 1970."""

    run_id: str
    run_uuid: str
    experiment_id: str
    run_name: str
    user_id: str
    status: RunStatus
    start_time: Int64
    end_time: Int64 | None = None
    artifact_uri: str
    lifecycle_stage: str

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values; `run_uuid` is the wire's, and says nothing that `run_id` does not."""
        return (pair for pair in Answer.__iter__(self) if pair[0] != "run_uuid")


class RunData(Answer):
    """The latest value of each metric, the parameters and the tags of a run."""

    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[Tag] = []


class RunInputs(Answer):
    """What a run took in."""

    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(Answer):
    """What a run made."""

    model_outputs: list[ModelOutput] = []


class Run(Answer):
    """A run, whole."""

    info: RunInfo
    data: RunData
    inputs: RunInputs = field(default_factory=RunInputs)
    outputs: RunOutputs | None = None


class RunAnswer(Answer):
    """One run."""

    run: Run


class RunInfoAnswer(Answer):
    """The facts of one run."""

    run_info: RunInfo


class CreateRun(Request):
    """A new run, RUNNING from `start_time` (now, if absent). Without a name it gets one.

    `run_id` is Headrace's own addition: a client that made an id before it could reach the
    server sends it here, and sending the same id again answers the run that is there. A run
    with this id in another experiment is AlreadyExists.
    """

    experiment_id: str = "0"
    user_id: str | None = None
    run_name: str | None = None
    start_time: Int64 | None = None
    tags: list[Tag] = []
    run_id: str | None = None

    def __post_init__(self) -> None:
        names.check_experiment_id("experiment_id", self.experiment_id)
        names.check_text("user_id", self.user_id, limits.MAX_USER_LENGTH)
        names.check_text("run_name", self.run_name, limits.MAX_RUN_NAME_LENGTH)
        names.check_tags(self.tags)
        if self.run_id is not None:
            names.check_run_id("run_id", self.run_id)
        tagged = next((t.value for t in self.tags if t.key == RUN_NAME_TAG), None)
        if tagged and self.run_name and tagged != self.run_name:
            raise InvalidRequest(
                f"The run is named twice: 'run_name' is {self.run_name!r}, the tag "
                f"'{RUN_NAME_TAG}' is {tagged!r}. Send one of them, or the same in both."
            )
        self.run_name = self.run_name or tagged


class RunRef(Request):
    """Names a run; `run_uuid` is the older name of the same field."""

    run_id: str = ""
    run_uuid: str | None = None

    def __post_init__(self) -> None:
        self.run_id = self.run_id or self.run_uuid or ""
        names.check_run_id("run_id", self.run_id)


class UpdateRun(RunRef):
    """Changes status, end time or name; a field that is absent stays as it is."""

    status: str | int | None = None
    end_time: Int64 | None = None
    run_name: str | None = None

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        if self.status is not None:
            self.status = as_enum(RunStatus, self.status, "status")
        names.check_text("run_name", self.run_name, limits.MAX_RUN_NAME_LENGTH)


class LogParam(RunRef):
    """Writes a parameter, once: the same value again is fine, another one is refused."""

    key: str = ""
    value: str = field(default_factory=str)

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        names.check_key("key", self.key)
        names.check_text("value", self.value, limits.MAX_VALUE_LENGTH)


class SetTag(RunRef):
    """Writes a tag of a run, over what was there."""

    key: str = ""
    value: str = field(default_factory=str)

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        names.check_key("key", self.key)
        names.check_text("value", self.value, limits.MAX_VALUE_LENGTH)


class DeleteTag(RunRef):
    """Removes a tag of a run."""

    key: str = ""

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        names.check_required("key", self.key)


class LogBatch(RunRef):
    """Metrics, parameters and tags in one step: all of them are stored, or none."""

    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[Tag] = []

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        _check_count("metrics", len(self.metrics), limits.MAX_METRICS_PER_BATCH)
        _check_count("params", len(self.params), limits.MAX_PARAMS_PER_BATCH)
        _check_count("tags", len(self.tags), limits.MAX_TAGS_PER_BATCH)
        total = len(self.metrics) + len(self.params) + len(self.tags)
        _check_count("metrics, params and tags together", total, limits.MAX_ENTITIES_PER_BATCH)
        check_points(self.metrics)
        names.check_params(self.params)
        names.check_tags(self.tags)


def _check_count(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidRequest(
            f"A batch may hold at most {limit} {what}; this one has {count}. Split it."
        )


class LogModelNote(RunRef):
    """How clients of MLflow 2 say that a run has a model: its MLmodel file as JSON text."""

    model_json: str = ""

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        names.check_required("model_json", self.model_json)
        names.check_text("model_json", self.model_json, limits.MAX_VALUE_LENGTH)


class SearchRuns(Request):
    """A page of runs that a filter accepts, newest first unless `order_by` says else."""

    experiment_ids: list[str] = []
    filter: str | None = None
    run_view_type: str | int | None = None
    max_results: Int64 = 1000
    order_by: list[str] = []
    page_token: str | None = None

    def __post_init__(self) -> None:
        for i, experiment_id in enumerate(self.experiment_ids):
            names.check_experiment_id(f"experiment_ids[{i}]", experiment_id)
        names.check_page_size("max_results", self.max_results, limits.MAX_SEARCH_RESULTS)
        self.run_view_type = as_enum(
            ViewType, self.run_view_type or ViewType.ACTIVE_ONLY, "run_view_type"
        )


class RunPage(Answer):
    """A page of runs; without `next_page_token` it is the last."""

    runs: list[Run] = []
    next_page_token: str | None = None


_AT = "/2.0/mlflow/runs"
CREATE = Endpoint("POST", f"{_AT}/create", CreateRun, RunAnswer, "Create a run.")
GET = Endpoint("GET", f"{_AT}/get", RunRef, RunAnswer, "Get a run.")
UPDATE = Endpoint("POST", f"{_AT}/update", UpdateRun, RunInfoAnswer, "End, resume or rename a run.")
DELETE = Endpoint("POST", f"{_AT}/delete", RunRef, Empty, "Delete a run; it can be restored.")
RESTORE = Endpoint("POST", f"{_AT}/restore", RunRef, Empty, "Restore a deleted run.")
SEARCH = Endpoint("POST", f"{_AT}/search", SearchRuns, RunPage, "Search runs.")
LOG_PARAM = Endpoint("POST", f"{_AT}/log-parameter", LogParam, Empty, "Log a parameter.")
SET_TAG = Endpoint("POST", f"{_AT}/set-tag", SetTag, Empty, "Set a tag of a run.")
DELETE_TAG = Endpoint("POST", f"{_AT}/delete-tag", DeleteTag, Empty, "Delete a tag of a run.")
LOG_BATCH = Endpoint(
    "POST", f"{_AT}/log-batch", LogBatch, Empty, "Log metrics, parameters and tags, all or none."
)
LOG_MODEL = Endpoint(
    "POST", f"{_AT}/log-model", LogModelNote, Empty, "Note a model of a run (MLflow 2 clients)."
)
