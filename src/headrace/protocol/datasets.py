"""Data sets: what a run was trained or measured on, and the models that went in or came out."""

from __future__ import annotations

from typing import Any

from msgspec import field

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.wire import Answer, Empty, Int64, Request, Tag

CONTEXT_TAG = "mlflow.data.context"
"""The tag of an input that says what it was used for: training, validation, testing."""


class Dataset(Answer):
    """A data set; one experiment knows it once by (name, digest)."""

    name: str = ""
    digest: str = ""
    source_type: str = field(default_factory=str)
    source: str = field(default_factory=str)
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Answer):
    """A data set as the input of one run, with tags of this use."""

    dataset: Dataset
    tags: list[Tag] = []

    def to_dictionary(self) -> dict[str, Any]:
        """The data set's fields, and the tags by key."""
        tags = {tag.key: tag.value for tag in self.tags}
        return {"dataset": self.dataset.to_dictionary(), "tags": tags}


class ModelInput(Answer):
    """A logged model that a run took in."""

    model_id: str


class ModelOutput(Answer):
    """A logged model that a run made, at a step."""

    model_id: str
    step: Int64 = field(default_factory=int)


class LogInputs(Request):
    """Notes what a run takes in. What is noted already stays as it is."""

    run_id: str = ""
    datasets: list[DatasetInput] = []
    models: list[ModelInput] = []

    def __post_init__(self) -> None:
        names.check_run_id("run_id", self.run_id)
        for i, entry in enumerate(self.datasets):
            _check_dataset(f"datasets[{i}].dataset", entry.dataset)
            _check_input_tags(f"datasets[{i}].tags", entry.tags)
        for i, model in enumerate(self.models):
            names.check_run_id(f"models[{i}].model_id", model.model_id)


def _check_dataset(where: str, dataset: Dataset) -> None:
    names.check_required(f"{where}.name", dataset.name)
    names.check_required(f"{where}.digest", dataset.digest)
    names.check_text(f"{where}.name", dataset.name, limits.MAX_DATASET_NAME_LENGTH)
    names.check_text(f"{where}.digest", dataset.digest, limits.MAX_DATASET_DIGEST_LENGTH)
    names.check_text(f"{where}.source_type", dataset.source_type, limits.MAX_KEY_LENGTH)
    names.check_text(f"{where}.source", dataset.source, limits.MAX_DATASET_SOURCE_LENGTH)
    names.check_text(f"{where}.schema", dataset.schema, limits.MAX_DATASET_SCHEMA_LENGTH)
    names.check_text(f"{where}.profile", dataset.profile, limits.MAX_DATASET_PROFILE_LENGTH)


def _check_input_tags(where: str, tags: list[Tag]) -> None:
    for i, tag in enumerate(tags):
        names.check_required(f"{where}[{i}].key", tag.key)
        names.check_text(f"{where}[{i}].key", tag.key, limits.MAX_INPUT_TAG_KEY_LENGTH)
        names.check_text(f"{where}[{i}].value", tag.value, limits.MAX_INPUT_TAG_VALUE_LENGTH)


class LogOutputs(Request):
    """Notes which logged models a run makes."""

    run_id: str = ""
    models: list[ModelOutput] = []

    def __post_init__(self) -> None:
        names.check_run_id("run_id", self.run_id)
        for i, model in enumerate(self.models):
            names.check_run_id(f"models[{i}].model_id", model.model_id)


class SearchDatasets(Request):
    """The data sets that runs of up to 20 experiments took in."""

    experiment_ids: list[str] = []

    def __post_init__(self) -> None:
        if len(self.experiment_ids) > limits.MAX_DATASET_SEARCH_EXPERIMENTS:
            raise InvalidRequest(
                f"'experiment_ids' names {len(self.experiment_ids)} experiments; at most "
                f"{limits.MAX_DATASET_SEARCH_EXPERIMENTS} are allowed."
            )
        for i, experiment_id in enumerate(self.experiment_ids):
            names.check_experiment_id(f"experiment_ids[{i}]", experiment_id)


class DatasetSummary(Answer):
    """A data set's name and digest, and one context that it was used in."""

    experiment_id: str
    name: str
    digest: str
    context: str | None = None


class DatasetSummaries(Answer):
    """Up to 1,000 data sets."""

    dataset_summaries: list[DatasetSummary] = []


LOG_INPUTS = Endpoint(
    "POST", "/2.0/mlflow/runs/log-inputs", LogInputs, Empty, "Note what a run takes in."
)
LOG_OUTPUTS = Endpoint(
    "POST", "/2.0/mlflow/runs/outputs", LogOutputs, Empty, "Note the models that a run makes."
)
SEARCH = Endpoint(
    "POST",
    "/2.0/mlflow/experiments/search-datasets",
    SearchDatasets,
    DatasetSummaries,
    "List the data sets of experiments.",
)
