"""Experiments: the folders that runs live in."""

from __future__ import annotations

from msgspec import field

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.wire import Answer, Empty, Int64, Request, Tag, ViewType, as_enum

DEFAULT_EXPERIMENT_ID = "0"
DEFAULT_EXPERIMENT_NAME = "Default"


class Experiment(Answer):
    """An experiment; times are milliseconds since 1970."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    creation_time: Int64
    last_update_time: Int64
    tags: list[Tag] = []


class CreateExperiment(Request):
    """A new experiment; without `artifact_location` it lies under the server's artifact root.

    `creation_time` and `last_update_time` (now, if absent) are Headrace's own additions, for
    copies that keep them.
    """

    name: str = ""
    artifact_location: str | None = None
    tags: list[Tag] = []
    creation_time: Int64 | None = None
    last_update_time: Int64 | None = None

    def __post_init__(self) -> None:
        names.check_experiment_name("name", self.name)
        names.check_text("artifact_location", self.artifact_location, limits.MAX_URI_LENGTH)
        if self.artifact_location and self.artifact_location.startswith("runs:"):
            raise InvalidRequest(
                "Invalid value for 'artifact_location': a place inside a run ('runs:/…') cannot "
                "hold an experiment; give a folder or an object store's URI."
            )
        names.check_tags(self.tags)
        names.check_time("creation_time", self.creation_time)
        names.check_time("last_update_time", self.last_update_time)


class ExperimentId(Answer):
    """The id of an experiment."""

    experiment_id: str


class ExperimentRef(Request):
    """Names an experiment by id."""

    experiment_id: str = ""

    def __post_init__(self) -> None:
        names.check_experiment_id("experiment_id", self.experiment_id)


class ExperimentByName(Request):
    """Names an experiment by name."""

    experiment_name: str = ""

    def __post_init__(self) -> None:
        names.check_required("experiment_name", self.experiment_name)


class ExperimentAnswer(Answer):
    """One experiment."""

    experiment: Experiment


class UpdateExperiment(ExperimentRef):
    """Gives an experiment a new name."""

    new_name: str = ""

    def __post_init__(self) -> None:
        ExperimentRef.__post_init__(self)
        names.check_experiment_name("new_name", self.new_name)


class SetExperimentTag(ExperimentRef):
    """Writes a tag of an experiment, over what was there."""

    key: str = ""
    value: str = field(default_factory=str)

    def __post_init__(self) -> None:
        ExperimentRef.__post_init__(self)
        names.check_key("key", self.key)
        names.check_text("value", self.value, limits.MAX_VALUE_LENGTH)


class DeleteExperimentTag(ExperimentRef):
    """Removes a tag of an experiment."""

    key: str = ""

    def __post_init__(self) -> None:
        ExperimentRef.__post_init__(self)
        names.check_required("key", self.key)


class SearchExperiments(Request):
    """A page of experiments that a filter accepts, newest first unless `order_by` says else."""

    max_results: Int64 | None = None
    page_token: str | None = None
    filter: str | None = None
    order_by: list[str] = []
    view_type: str | int | None = None

    def __post_init__(self) -> None:
        names.check_required("max_results", self.max_results)
        names.check_page_size("max_results", self.max_results, limits.MAX_SEARCH_RESULTS)
        self.view_type = as_enum(ViewType, self.view_type or ViewType.ACTIVE_ONLY, "view_type")


class ExperimentPage(Answer):
    """A page of experiments; without `next_page_token` it is the last."""

    experiments: list[Experiment] = []
    next_page_token: str | None = None


_AT = "/2.0/mlflow/experiments"
CREATE = Endpoint("POST", f"{_AT}/create", CreateExperiment, ExperimentId, "Create an experiment.")
GET = Endpoint("GET", f"{_AT}/get", ExperimentRef, ExperimentAnswer, "Get an experiment by id.")
GET_BY_NAME = Endpoint(
    "GET", f"{_AT}/get-by-name", ExperimentByName, ExperimentAnswer, "Get an experiment by name."
)
SEARCH = Endpoint("POST", f"{_AT}/search", SearchExperiments, ExperimentPage, "Search experiments.")
SEARCH_GET = Endpoint(
    "GET", f"{_AT}/search", SearchExperiments, ExperimentPage, "Search experiments."
)
UPDATE = Endpoint("POST", f"{_AT}/update", UpdateExperiment, Empty, "Rename an experiment.")
DELETE = Endpoint(
    "POST", f"{_AT}/delete", ExperimentRef, Empty, "Delete an experiment; it can be restored."
)
RESTORE = Endpoint(
    "POST", f"{_AT}/restore", ExperimentRef, Empty, "Restore a deleted experiment and its runs."
)
SET_TAG = Endpoint(
    "POST", f"{_AT}/set-experiment-tag", SetExperimentTag, Empty, "Set a tag of an experiment."
)
DELETE_TAG = Endpoint(
    "POST", f"{_AT}/delete-experiment-tag", DeleteExperimentTag, Empty, "Delete a tag."
)
