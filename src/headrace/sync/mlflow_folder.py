"""An `mlruns` folder, where MLflow keeps everything in files, as a source to copy from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.errors import HeadraceError, InvalidState, NotFound
from headrace.protocol.experiments import Experiment
from headrace.protocol.logged_models import LoggedModel
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.names import check_experiment_id, check_run_id
from headrace.protocol.registered_models import Alias, RegisteredModel
from headrace.protocol.runs import Run
from headrace.protocol.wire import Tag
from headrace.sync.mlflow_files import META, MetadataFolder, Point, number_of, required, text_of
from headrace.sync.mlflow_places import ArtifactPlaces, owners
from headrace.sync.mlflow_remarks import Remarks, note_left_out
from headrace.sync.mlflow_run_files import NOT_RUNS, RunFiles
from headrace.sync.mlflow_values import DELETED, DELETED_STAGE, version_status
from headrace.sync.source import Files

_TRASH: Final = ".trash"
_MODELS: Final = "models"
_VERSION: Final = "version-"

_Moment = tuple[int, int, str]
_Link = tuple[str | None, str | None, str | None]


class MlflowFolder:
    """See Source. Nothing in the folder changes, and no symbolic link in it is followed.

    Damaged or half-written files are named in `complaints` and left out, with the run that
    cannot be read without them. A point that MLflow wrote twice comes twice.
    """

    def __init__(self, root: Path, name: str, *, artifacts: Path | None = None) -> None:
        self.name = name
        self._complaints = Remarks()
        self._notes = Remarks()
        self.complaints = self._complaints.lines
        self.notes = self._notes.lines
        self._files = MetadataFolder(root)
        self._runs = RunFiles(self._files, self._complaints.add)
        self._places = ArtifactPlaces(
            root, artifacts, complain=self._complaints.add, note=self._notes.add
        )
        note_left_out(self.left_out(), self._notes)
        self._last_experiment = ""
        self._linked: tuple[str, dict[tuple[str, str], list[str]]] = ("", {})

    def left_out(self) -> dict[str, int]:
        """How much there is of each kind that is not copied: traces."""
        traces = sum(
            len(self._files.folders(f"{experiment}/traces"))
            for experiment in self._experiment_folders()
        )
        return {"traces": traces} if traces else {}

    def _experiment_folders(self) -> Iterator[str]:
        for above in ("", f"{_TRASH}/"):
            for name in self._files.folders(above.rstrip("/")):
                if name.isascii() and name.isdigit():
                    yield f"{above}{name}"
            for name in self._files.links(above.rstrip("/")):
                if name.isdigit():
                    self._complaints.add(f"{above}{name} is a symbolic link: left out.")

    def experiments(self) -> Iterator[Experiment]:
        """See Source."""
        for folder in self._experiment_folders():
            try:
                yield self._experiment(folder)
            except HeadraceError as error:
                self._complaints.add(f"The experiment {folder} is left out: {_reason(error)}.")

    def _experiment(self, folder: str) -> Experiment:
        meta = self._files.meta(folder)
        experiment_id = required(meta, "experiment_id")
        if experiment_id != folder.rpartition("/")[2]:
            raise InvalidState(f"its {META} names the experiment {experiment_id!r}")
        created = number_of(meta, "creation_time") or 0
        # MLflow 1 moved the folder of a deleted experiment, and left its description alone.
        stage = DELETED if folder.startswith(_TRASH) else text_of(meta, "lifecycle_stage")
        return Experiment(
            experiment_id=experiment_id,
            name=required(meta, "name"),
            artifact_location=text_of(meta, "artifact_location") or "",
            lifecycle_stage=stage or "active",
            creation_time=created,
            last_update_time=number_of(meta, "last_update_time") or created,
            tags=[Tag(key, value) for key, value in self._runs.values(f"{folder}/tags")],
        )

    def runs(self, experiment_id: str) -> Iterator[Run]:
        """See Source."""
        folder = self._folder_of(experiment_id)
        for name in self._files.links(folder):
            self._complaints.add(f"{folder}/{name} is a symbolic link: left out.")
        for run_id in self._files.folders(folder):
            if run_id in NOT_RUNS:
                continue
            try:
                check_run_id("run_id", run_id)
                yield self._runs.run(folder, experiment_id, run_id)
            except HeadraceError as error:
                self._complaints.add(f"The run {folder}/{run_id} is left out: {_reason(error)}.")

    def _folder_of(self, experiment_id: str) -> str:
        check_experiment_id("experiment_id", experiment_id)
        for folder in (experiment_id, f"{_TRASH}/{experiment_id}"):
            if self._files.has(f"{folder}/{META}"):
                return folder
        raise NotFound(f"There is no experiment {experiment_id} in {self.name}.")

    def _experiment_of(self, run_id: str) -> str:
        """The folder of the experiment that a run is in: most often that of the last one."""
        check_run_id("run_id", run_id)
        last = self._last_experiment
        if last and self._files.has(f"{last}/{run_id}/{META}"):
            return last
        for folder in self._experiment_folders():
            if self._files.has(f"{folder}/{run_id}/{META}"):
                self._last_experiment = folder
                return folder
        raise NotFound(f"There is no run {run_id} in {self.name}.")

    def history(self, run_id: str, key: str) -> Iterator[Metric]:
        """See Source. A point that belongs to several logged models comes once for each."""
        experiment = self._experiment_of(run_id)
        links = self._links(experiment, run_id, key)
        for point in self._runs.points(f"{experiment}/{run_id}/metrics/{key}"):
            alone = (None, point.dataset_name, point.dataset_digest)
            for model, dataset, digest in links.get(_moment(point)) or [alone]:
                yield Metric(
                    key,
                    point.value,
                    point.timestamp,
                    point.step,
                    model_id=model,
                    dataset_name=dataset,
                    dataset_digest=digest,
                )

    def _links(self, experiment: str, run_id: str, key: str) -> dict[_Moment, list[_Link]]:
        """The models and data sets of the points that logged models keep a copy of."""
        links: dict[_Moment, list[_Link]] = {}
        for model_id in self._models_with_points(experiment).get((run_id, key), ()):
            path = f"{experiment}/{_MODELS}/{model_id}/metrics/{key}"
            for point in self._runs.points(path, of_model=True):
                if point.run_id == run_id:
                    link = (model_id, point.dataset_name, point.dataset_digest)
                    links.setdefault(_moment(point), []).append(link)
        return links

    def _models_with_points(self, experiment: str) -> dict[tuple[str, str], list[str]]:
        """Which logged models of an experiment have points of a (run, metric): looked up once."""
        known, found = self._linked
        if known == experiment:
            return found
        pairs: dict[tuple[str, str], list[str]] = {}
        for model_id in self._files.folders(f"{experiment}/{_MODELS}"):
            if not self._is_alive(f"{experiment}/{_MODELS}/{model_id}"):
                continue
            folder = f"{experiment}/{_MODELS}/{model_id}/metrics"
            for key in self._files.keys(folder):
                points = self._runs.points(f"{folder}/{key}", of_model=True)
                for run_id in {point.run_id or "" for point in points}:
                    pairs.setdefault((run_id, key), []).append(model_id)
        self._linked = (experiment, pairs)
        return pairs

    def _is_alive(self, folder: str) -> bool:
        try:
            return self._files.meta(folder).get("lifecycle_stage") != DELETED
        except HeadraceError:
            return False

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]:
        """See Source. Of the metrics, the latest of each data set: all come with their runs."""
        above = f"{self._folder_of(experiment_id)}/{_MODELS}"
        for model_id in self._files.folders(above):
            try:
                model = self._runs.logged_model(f"{above}/{model_id}", experiment_id)
            except HeadraceError as error:
                self._complaints.add(
                    f"The logged model {above}/{model_id} is left out: {_reason(error)}."
                )
                continue
            if model is not None:
                yield model

    def registered_models(self) -> Iterator[RegisteredModel]:
        """See Source."""
        for name in self._files.folders(_MODELS):
            try:
                yield self._registered_model(name)
            except HeadraceError as error:
                self._complaints.add(
                    f"The registered model {name!r} is left out: {_reason(error)}."
                )

    def _registered_model(self, name: str) -> RegisteredModel:
        folder = f"{_MODELS}/{name}"
        meta = self._files.meta(folder)
        created = number_of(meta, "creation_timestamp") or 0
        aliases = self._runs.values(f"{folder}/aliases")
        return RegisteredModel(
            required(meta, "name"),
            created,
            number_of(meta, "last_updated_timestamp") or created,
            text_of(meta, "description"),
            tags=[Tag(key, value) for key, value in self._runs.values(f"{folder}/tags")],
            aliases=[Alias(alias, version.strip()) for alias, version in aliases],
        )

    def model_versions(self, name: str) -> Iterator[ModelVersion]:
        """See Source. Deleted versions are left out."""
        found = self._files.folders(f"{_MODELS}/{name}")
        numbers = [part.removeprefix(_VERSION) for part in found if part.startswith(_VERSION)]
        for number in sorted((text for text in numbers if text.isdecimal()), key=int):
            folder = f"{_MODELS}/{name}/{_VERSION}{number}"
            try:
                version = self._version(folder, name, number)
            except HeadraceError as error:
                self._complaints.add(f"Version {number} of {name!r} is left out: {_reason(error)}.")
                continue
            if version.current_stage != DELETED_STAGE:
                yield version

    def _version(self, folder: str, name: str, number: str) -> ModelVersion:
        meta = self._files.meta(folder)
        created = number_of(meta, "creation_timestamp") or 0
        source = text_of(meta, "source") or ""
        run_id, model_id = owners(source, text_of(meta, "run_id"), text_of(meta, "model_id"), self)
        return ModelVersion(
            name=name,
            version=number,
            creation_timestamp=created,
            last_updated_timestamp=number_of(meta, "last_updated_timestamp") or created,
            current_stage=text_of(meta, "current_stage") or "None",
            description=text_of(meta, "description") or "",
            source=source,
            run_id=run_id,
            status=version_status(text_of(meta, "status")),
            status_message=text_of(meta, "status_message"),
            run_link=text_of(meta, "run_link") or "",
            model_id=model_id,
            tags=[Tag(key, value) for key, value in self._runs.values(f"{folder}/tags")],
        )

    def artifacts(self, uri: str) -> Files | None:
        """See Source. `runs:/` and `models:/` URIs are followed to the files."""
        return self._places.find(uri, self)

    def run_place(self, run_id: str) -> str | None:
        """See RecordedPlaces."""
        try:
            return text_of(
                self._files.meta(f"{self._experiment_of(run_id)}/{run_id}"), "artifact_uri"
            )
        except HeadraceError:
            return None

    def logged_model_place(self, model_id: str) -> str | None:
        """See RecordedPlaces."""
        for experiment in self._experiment_folders():
            folder = f"{experiment}/{_MODELS}/{model_id}"
            if self._files.has(f"{folder}/{META}"):
                return text_of(self._files.meta(folder), "artifact_location")
        return None

    def version_place(self, name: str, version: str) -> str | None:
        """See RecordedPlaces."""
        try:
            meta = self._files.meta(f"{_MODELS}/{name}/{_VERSION}{version}")
        except HeadraceError:
            return None
        return text_of(meta, "storage_location", "source")

    def close(self) -> None:
        """See Source. No file is kept open."""


def _moment(point: Point) -> _Moment:
    # As text, NaN equals NaN.
    return (point.timestamp, point.step, str(point.value))


def _reason(error: HeadraceError) -> str:
    return error.message.rstrip(".")


def is_mlflow_folder(root: Path) -> bool:
    """Whether a folder looks like MLflow's: it has experiments with their descriptions."""
    known = (root.glob(f"[0-9]*/{META}"), root.glob(f"{_TRASH}/[0-9]*/{META}"))
    return any(next(found, None) is not None for found in known)
