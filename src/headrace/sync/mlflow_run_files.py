"""Runs and logged models of an `mlruns` folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from headrace.errors import HeadraceError, InvalidState
from headrace.protocol.datasets import Dataset, DatasetInput, ModelInput, ModelOutput
from headrace.protocol.logged_models import (
    LoggedModel,
    LoggedModelData,
    LoggedModelInfo,
    LoggedModelStatus,
)
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import Run, RunData, RunInfo, RunInputs, RunOutputs
from headrace.protocol.wire import Param, Tag, as_enum
from headrace.sync.mlflow_files import (
    MetadataFolder,
    Point,
    number_of,
    required,
    text_of,
)
from headrace.sync.mlflow_values import DELETED, run_name, run_status, user_id

NOT_RUNS: Final = {"tags", "datasets", "traces", "models"}
"""Folders of an experiment that are no runs."""

Complain = Callable[[str], None]


class RunFiles:
    """Reads the runs below the folders of experiments; what is damaged is told to `complain`."""

    def __init__(self, files: MetadataFolder, complain: Complain) -> None:
        self._files = files
        self._complain = complain

    def run(self, experiment: str, experiment_id: str, run_id: str) -> Run:
        """The run in the folder `run_id` of the folder `experiment`. InvalidState."""
        path = f"{experiment}/{run_id}"
        meta = self._files.meta(path)
        if required(meta, "run_id", "run_uuid") != run_id:
            raise InvalidState("it names another run")
        tags = [Tag(key, value) for key, value in self.values(f"{path}/tags")]
        outputs = list(self._outputs(f"{path}/outputs"))
        return Run(
            info=RunInfo(
                run_id=run_id,
                run_uuid=run_id,
                experiment_id=experiment_id,
                run_name=run_name(text_of(meta, "run_name", "name"), tags),
                user_id=user_id(text_of(meta, "user_id"), tags),
                status=run_status(meta.get("status")),
                start_time=number_of(meta, "start_time") or 0,
                end_time=number_of(meta, "end_time"),
                artifact_uri=text_of(meta, "artifact_uri") or "",
                lifecycle_stage=text_of(meta, "lifecycle_stage") or "active",
            ),
            data=RunData(
                metrics=list(self._latest(f"{path}/metrics")),
                params=[Param(key, value) for key, value in self.values(f"{path}/params")],
                tags=tags,
            ),
            inputs=self._inputs(experiment, f"{path}/inputs"),
            outputs=RunOutputs(outputs) if outputs else None,
        )

    def values(self, folder: str) -> Iterator[tuple[str, str]]:
        """The keys and contents of the files below a folder, those that can be read."""
        for key in self._files.keys(folder):
            try:
                yield key, self._files.text(f"{folder}/{key}")
            except HeadraceError as error:
                self._complain(f"{error.message}: left out.")

    def points(self, path: str, *, of_model: bool = False) -> Iterator[Point]:
        """The points in a metric's file, those that can be read."""
        for point in self._files.points(path, of_model=of_model):
            if isinstance(point, str):
                self._complain(f"{point}: left out.")
            else:
                yield point

    def _latest(self, folder: str) -> Iterator[Metric]:
        for key in self._files.keys(folder):
            latest = max(self.points(f"{folder}/{key}"), key=_moment, default=None)
            if latest is None:
                self._complain(f"{folder}/{key} is empty: left out.")
            else:
                yield Metric(key, latest.value, latest.timestamp, latest.step)

    def _inputs(self, experiment: str, folder: str) -> RunInputs:
        inputs = RunInputs()
        for name in self._files.folders(folder):
            try:
                meta = self._files.meta(f"{folder}/{name}")
                source = required(meta, "source_id")
                if meta.get("source_type") == "MODEL":
                    inputs.model_inputs.append(ModelInput(source))
                    continue
                tags = meta.get("tags") or {}
                inputs.dataset_inputs.append(
                    DatasetInput(
                        self._dataset(f"{experiment}/datasets/{source}"),
                        [Tag(str(key), text_of(tags, key) or "") for key in tags],
                    )
                )
            except HeadraceError as error:
                self._complain(
                    f"The input {folder}/{name} is left out: {error.message.rstrip('.')}."
                )
        return inputs

    def _dataset(self, folder: str) -> Dataset:
        meta = self._files.meta(folder)
        return Dataset(
            required(meta, "name"),
            required(meta, "digest"),
            text_of(meta, "source_type") or "",
            text_of(meta, "source") or "",
            text_of(meta, "schema"),
            text_of(meta, "profile"),
        )

    def _outputs(self, folder: str) -> Iterator[ModelOutput]:
        for name in self._files.folders(folder):
            try:
                meta = self._files.meta(f"{folder}/{name}")
                yield ModelOutput(required(meta, "destination_id"), number_of(meta, "step") or 0)
            except HeadraceError as error:
                self._complain(
                    f"The output {folder}/{name} is left out: {error.message.rstrip('.')}."
                )

    def logged_model(self, folder: str, experiment_id: str) -> LoggedModel | None:
        """The logged model in a folder, None if it was deleted. InvalidState."""
        meta = self._files.meta(folder)
        if meta.get("lifecycle_stage") == DELETED:
            return None
        model_id = required(meta, "model_id")
        if model_id != folder.rpartition("/")[2]:
            raise InvalidState("it names another model")
        created = number_of(meta, "creation_timestamp") or 0
        return LoggedModel(
            LoggedModelInfo(
                model_id=model_id,
                experiment_id=experiment_id,
                name=required(meta, "name"),
                creation_timestamp_ms=created,
                last_updated_timestamp_ms=number_of(meta, "last_updated_timestamp") or created,
                artifact_uri=text_of(meta, "artifact_location") or "",
                status=as_enum(LoggedModelStatus, number_of(meta, "status") or 1, "status"),
                model_type=text_of(meta, "model_type"),
                source_run_id=text_of(meta, "source_run_id"),
                status_message=text_of(meta, "status_message"),
                tags=[Tag(key, value) for key, value in self.values(f"{folder}/tags")],
            ),
            LoggedModelData(
                params=[Param(key, value) for key, value in self.values(f"{folder}/params")],
                metrics=list(self._latest_of_model(model_id, f"{folder}/metrics")),
            ),
        )

    def _latest_of_model(self, model_id: str, folder: str) -> Iterator[Metric]:
        """The latest point of each metric and data set; all points come with their runs."""
        for key in self._files.keys(folder):
            latest: dict[tuple[str | None, str | None], Point] = {}
            for point in self.points(f"{folder}/{key}", of_model=True):
                measured_on = (point.dataset_name, point.dataset_digest)
                before = latest.get(measured_on)
                if before is None or _moment(point) >= _moment(before):
                    latest[measured_on] = point
            for point in latest.values():
                yield Metric(
                    key,
                    point.value,
                    point.timestamp,
                    point.step,
                    run_id=point.run_id,
                    model_id=model_id,
                    dataset_name=point.dataset_name,
                    dataset_digest=point.dataset_digest,
                )


def _moment(point: Point) -> tuple[int, int, float]:
    return (point.step, point.timestamp, point.value)
