"""What the client gives back: the wire's structs, and where MLflow's attributes differ, these.

Tags, parameters and latest metrics are dictionaries here; on the wire they are lists. What needs
no change (RunInfo, Metric, Dataset, FileInfo …) is the wire's struct itself. Import any of them
from `headrace.entities`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Self, TypeVar

from msgspec import Struct, field

from headrace.protocol import experiments, logged_models, model_versions, registered_models, runs
from headrace.protocol.datasets import DatasetInput, ModelInput, ModelOutput
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import RunInfo
from headrace.protocol.wire import Entity, Param, Tag, as_enum

T = TypeVar("T")


class PagedList(list[T]):
    """One page of a search; `token` asks for the next one, None after the last."""

    def __init__(self, items: Iterable[T] = (), token: str | None = None) -> None:
        super().__init__(items)
        self.token = token

    def to_list(self) -> list[T]:
        """The items as a plain list."""
        return list(self)


class RunData(Entity, Struct):
    """The latest value of each metric, the parameters and the tags of a run, by key."""

    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


class RunInputs(Entity, Struct):
    """What a run took in."""

    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(Entity, Struct):
    """What a run made."""

    model_outputs: list[ModelOutput] = []


class Run(Entity, Struct):
    """A run as it was when it was asked for."""

    info: RunInfo
    data: RunData
    inputs: RunInputs = field(default_factory=RunInputs)
    outputs: RunOutputs = field(default_factory=RunOutputs)


class LifecycleStage(StrEnum):
    """Whether an experiment or a run is there, or deleted and can be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class Experiment(Entity, Struct):
    """An experiment; times are milliseconds since 1970."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    creation_time: int
    last_update_time: int
    tags: dict[str, str]


class ModelVersionStatus(StrEnum):
    """What `ModelVersion.status` can be; on Headrace a version is READY at once."""

    PENDING_REGISTRATION = "PENDING_REGISTRATION"
    FAILED_REGISTRATION = "FAILED_REGISTRATION"
    READY = "READY"

    @classmethod
    def from_string(cls, status_str: str) -> Self:
        """The member of this name."""
        return as_enum(cls, status_str, "status_str")

    @classmethod
    def to_string(cls, status: str | int) -> str:
        """The name of a member, or of its number on the wire."""
        return as_enum(cls, status, "status").value

    @classmethod
    def all_status(cls) -> list[Self]:
        """Every status."""
        return list(cls)


class ModelVersion(Entity, Struct, kw_only=True):
    """A version of a registered model; times are milliseconds since 1970."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    description: str
    source: str
    run_id: str
    status: str
    status_message: str | None
    run_link: str
    model_id: str | None
    tags: dict[str, str]
    aliases: list[str]


class RegisteredModel(Entity, Struct, kw_only=True):
    """A registered model; `aliases` maps each alias to a version."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None
    latest_versions: list[ModelVersion]
    tags: dict[str, str]
    aliases: dict[str, str]


class LoggedModelStatus(StrEnum):
    """Whether a logged model's files are all there."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


class LoggedModel(Entity, Struct, kw_only=True):
    """A logged model; times are milliseconds since 1970."""

    model_id: str
    experiment_id: str
    name: str
    artifact_location: str
    creation_timestamp: int
    last_updated_timestamp: int
    model_type: str | None
    source_run_id: str | None
    status: LoggedModelStatus
    status_message: str | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[Metric]

    @property
    def model_uri(self) -> str:
        """The URI that names this model: `models:/m-…`."""
        return f"models:/{self.model_id}"

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values, the URI among them."""
        return iter(sorted([*super().__iter__(), ("model_uri", self.model_uri)]))

    def to_dictionary(self) -> dict[str, Any]:
        """The fields as plain values, without the URI that follows from them."""
        plain = super().to_dictionary()
        del plain["model_uri"]
        return plain


_STATUS_ON_WIRE = {
    LoggedModelStatus.PENDING: logged_models.LoggedModelStatus.LOGGED_MODEL_PENDING,
    LoggedModelStatus.READY: logged_models.LoggedModelStatus.LOGGED_MODEL_READY,
    LoggedModelStatus.FAILED: logged_models.LoggedModelStatus.LOGGED_MODEL_UPLOAD_FAILED,
}
_STATUS_FROM_WIRE = {wire: status for status, wire in _STATUS_ON_WIRE.items()}


def wire_status(status: str) -> str:
    """The wire's name for READY, FAILED and PENDING; anything else as it is."""
    try:
        return _STATUS_ON_WIRE[LoggedModelStatus(status)].value
    except ValueError:
        return status


def run_from_wire(run: runs.Run) -> Run:
    """The run in an answer."""
    data = run.data
    outputs = run.outputs.model_outputs if run.outputs else []
    return Run(
        run.info,
        RunData(
            {metric.key: metric.value for metric in data.metrics},
            {param.key: param.value for param in data.params},
            by_key(data.tags),
        ),
        RunInputs(run.inputs.dataset_inputs, run.inputs.model_inputs),
        RunOutputs(outputs),
    )


def experiment_from_wire(experiment: experiments.Experiment) -> Experiment:
    """The experiment in an answer."""
    return Experiment(
        experiment.experiment_id,
        experiment.name,
        experiment.artifact_location,
        experiment.lifecycle_stage,
        experiment.creation_time,
        experiment.last_update_time,
        by_key(experiment.tags),
    )


def version_from_wire(version: model_versions.ModelVersion) -> ModelVersion:
    """The model version in an answer."""
    return ModelVersion(**_fields(version, tags=by_key(version.tags)))


def registered_model_from_wire(model: registered_models.RegisteredModel) -> RegisteredModel:
    """The registered model in an answer."""
    return RegisteredModel(
        **_fields(
            model,
            tags=by_key(model.tags),
            aliases={alias.alias: alias.version for alias in model.aliases},
            latest_versions=[version_from_wire(version) for version in model.latest_versions],
        )
    )


def logged_model_from_wire(model: logged_models.LoggedModel) -> LoggedModel:
    """The logged model in an answer."""
    info = model.info
    return LoggedModel(
        model_id=info.model_id,
        experiment_id=info.experiment_id,
        name=info.name,
        artifact_location=info.artifact_uri,
        creation_timestamp=info.creation_timestamp_ms,
        last_updated_timestamp=info.last_updated_timestamp_ms,
        model_type=info.model_type,
        source_run_id=info.source_run_id,
        status=_STATUS_FROM_WIRE[info.status],
        status_message=info.status_message,
        tags=by_key(info.tags),
        params=by_key(model.data.params),
        metrics=model.data.metrics,
    )


def by_key(pairs: Iterable[Tag | Param]) -> dict[str, str]:
    """Tags or parameters as a dictionary."""
    return {pair.key: pair.value for pair in pairs}


def _fields(struct: Struct, **changed: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__} | changed
