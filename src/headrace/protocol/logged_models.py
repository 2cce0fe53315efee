"""Logged models: a model's files and facts, made by a run or alone, before any registration."""

from __future__ import annotations

from enum import StrEnum

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.artifacts import ArtifactListing
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.metrics import Metric
from headrace.protocol.wire import Answer, Empty, Int64, Param, Request, Tag, as_enum


class LoggedModelStatus(StrEnum):
    """Whether a model's files are all there."""

    LOGGED_MODEL_PENDING = "LOGGED_MODEL_PENDING"
    LOGGED_MODEL_READY = "LOGGED_MODEL_READY"
    LOGGED_MODEL_UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


class Registration(Answer):
    """A registered model version that was made from a logged model."""

    name: str
    version: str


class LoggedModelInfo(Answer):
    """A logged model's own facts; times are milliseconds since 1970."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: Int64
    last_updated_timestamp_ms: Int64
    artifact_uri: str
    status: LoggedModelStatus
    model_type: str | None = None
    source_run_id: str | None = None
    status_message: str | None = None
    tags: list[Tag] = []
    registrations: list[Registration] = []


class LoggedModelData(Answer):
    """Parameters and metrics of a logged model."""

    params: list[Param] = []
    metrics: list[Metric] = []


class LoggedModel(Answer):
    """A logged model, whole."""

    info: LoggedModelInfo
    data: LoggedModelData


class LoggedModelAnswer(Answer):
    """One logged model."""

    model: LoggedModel


class CreateLoggedModel(Request):
    """A new logged model, PENDING until it is finalized. Without a name it gets one.

    `model_id` and `creation_timestamp_ms` are Headrace's own additions, for copies: sending the
    same id again answers the model that is there, and a model with this id in another experiment
    is AlreadyExists.
    """

    experiment_id: str = ""
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[Param] = []
    tags: list[Tag] = []
    model_id: str | None = None
    creation_timestamp_ms: Int64 | None = None

    def __post_init__(self) -> None:
        names.check_experiment_id("experiment_id", self.experiment_id)
        if self.name:
            names.check_logged_model_name("name", self.name)
        names.check_text("model_type", self.model_type, limits.MAX_KEY_LENGTH)
        if self.source_run_id:
            names.check_run_id("source_run_id", self.source_run_id)
        names.check_params(self.params)
        names.check_tags(self.tags)
        if self.model_id is not None:
            names.check_logged_model_id("model_id", self.model_id)
        names.check_time("creation_timestamp_ms", self.creation_timestamp_ms)


class LoggedModelRef(Request):
    """Names a logged model."""

    model_id: str = ""

    def __post_init__(self) -> None:
        names.check_run_id("model_id", self.model_id)


class GetLoggedModel(LoggedModelRef):
    """Asks for a logged model; deleted ones only with `allow_deleted`."""

    allow_deleted: bool = False


class FinalizeLoggedModel(LoggedModelRef):
    """Says that a model's files are there (READY), or that saving them failed.

    `last_updated_timestamp_ms` (now, if absent) is Headrace's own addition, for copies.
    """

    status: str | int | None = None
    last_updated_timestamp_ms: Int64 | None = None

    def __post_init__(self) -> None:
        LoggedModelRef.__post_init__(self)
        names.check_required("status", self.status)
        self.status = as_enum(LoggedModelStatus, self.status or "", "status")
        names.check_time("last_updated_timestamp_ms", self.last_updated_timestamp_ms)


class SetLoggedModelTags(LoggedModelRef):
    """Writes tags of a logged model, over what was there."""

    tags: list[Tag] = []

    def __post_init__(self) -> None:
        LoggedModelRef.__post_init__(self)
        names.check_tags(self.tags)


class DeleteLoggedModelTag(LoggedModelRef):
    """Removes a tag of a logged model."""

    tag_key: str = ""

    def __post_init__(self) -> None:
        LoggedModelRef.__post_init__(self)
        names.check_required("tag_key", self.tag_key)


class LogLoggedModelParams(LoggedModelRef):
    """Writes parameters of a logged model, each once."""

    params: list[Param] = []

    def __post_init__(self) -> None:
        LoggedModelRef.__post_init__(self)
        names.check_params(self.params)


class DatasetFilter(Request):
    """Narrows a metric to one measured on this data set."""

    dataset_name: str = ""
    dataset_digest: str | None = None

    def __post_init__(self) -> None:
        names.check_required("dataset_name", self.dataset_name)
        names.check_text("dataset_digest", self.dataset_digest, limits.MAX_DATASET_DIGEST_LENGTH)


class OrderBy(Request):
    """One key of an order."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None

    def __post_init__(self) -> None:
        names.check_required("order_by.field_name", self.field_name)
        for part in ("dataset_name", "dataset_digest"):
            names.check_text(
                f"order_by.{part}", getattr(self, part), limits.MAX_DATASET_NAME_LENGTH
            )
        if self.dataset_digest and not self.dataset_name:
            raise InvalidRequest("'order_by.dataset_digest' needs 'order_by.dataset_name' too.")


class SearchLoggedModels(Request):
    """A page of logged models that a filter accepts, newest first unless `order_by` says else.

    With `datasets`, a metric in the filter counts only where it was measured on one of them.
    """

    experiment_ids: list[str] = []
    filter: str | None = None
    datasets: list[DatasetFilter] = []
    max_results: Int64 = 50
    order_by: list[OrderBy] = []
    page_token: str | None = None

    def __post_init__(self) -> None:
        for i, experiment_id in enumerate(self.experiment_ids):
            names.check_experiment_id(f"experiment_ids[{i}]", experiment_id)
        names.check_page_size("max_results", self.max_results, limits.MAX_SEARCH_LOGGED_MODELS)


class LoggedModelPage(Answer):
    """A page of logged models; without `next_page_token` it is the last."""

    models: list[LoggedModel] = []
    next_page_token: str | None = None


class ListLoggedModelArtifacts(LoggedModelRef):
    """The files of a logged model directly under a folder of it."""

    artifact_directory_path: str | None = None
    page_token: str | None = None


_AT = "/2.0/mlflow/logged-models"
CREATE = Endpoint("POST", _AT, CreateLoggedModel, LoggedModelAnswer, "Create a logged model.")
SEARCH = Endpoint(
    "POST", f"{_AT}/search", SearchLoggedModels, LoggedModelPage, "Search logged models."
)
GET = Endpoint(
    "GET", f"{_AT}/{{model_id}}", GetLoggedModel, LoggedModelAnswer, "Get a logged model."
)
FINALIZE = Endpoint(
    "PATCH",
    f"{_AT}/{{model_id}}",
    FinalizeLoggedModel,
    LoggedModelAnswer,
    "Say that a model's files are there, or failed.",
)
DELETE = Endpoint("DELETE", f"{_AT}/{{model_id}}", LoggedModelRef, Empty, "Delete a logged model.")
SET_TAGS = Endpoint(
    "PATCH", f"{_AT}/{{model_id}}/tags", SetLoggedModelTags, Empty, "Set tags of a logged model."
)
DELETE_TAG = Endpoint(
    "DELETE", f"{_AT}/{{model_id}}/tags/{{tag_key}}", DeleteLoggedModelTag, Empty, "Delete a tag."
)
LOG_PARAMS = Endpoint(
    "POST", f"{_AT}/{{model_id}}/params", LogLoggedModelParams, Empty, "Log parameters."
)
LIST_ARTIFACTS = Endpoint(
    "GET",
    f"{_AT}/{{model_id}}/artifacts/directories",
    ListLoggedModelArtifacts,
    ArtifactListing,
    "List files of a logged model.",
)
