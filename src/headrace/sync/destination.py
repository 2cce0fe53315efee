"""What a copy writes to: a store, its artifacts, and which ids it gives to what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from headrace.artifacts.open import (
    ArtifactPlace,
    default_artifact_root,
    local_store,
    open_artifacts,
)
from headrace.artifacts.paths import path_of_uri
from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import experiments, runs
from headrace.protocol.uris import scheme_of
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.sync import marks
from headrace.sync.addresses import is_plain, is_server, shown
from headrace.sync.servers import is_headrace
from headrace.sync.store_source import StoreSource

_PROXY: Final = "mlflow-artifacts:/"


class KnownRun(Struct, frozen=True):
    """A run that is at the destination already."""

    run_id: str
    state: str
    files: str
    deleted: bool


class KnownModel(Struct, frozen=True):
    """A logged model that is at the destination already."""

    model_id: str
    artifact_uri: str
    state: str
    files: str


class Destination:
    """A store to copy to.

    `keeps_ids`: whether it gives runs, models and versions the ids that it is asked for, as
    Headrace's stores do and MLflow's server does not.
    """

    def __init__(self, uri: str, artifacts: Path | None = None) -> None:
        self.name = shown(uri)
        self._uri = uri
        self._folder: Path | None = None
        if not is_server(uri):
            self._folder = artifacts or default_artifact_root(uri)
        # New experiments keep their files at `mlflow-artifacts:/`: the SDK finds these beside the
        # database, a server that is started on it serves them, and both can be moved.
        self.store: Store = open_store(uri)
        self.contents = StoreSource(self.store, self.name)
        self.keeps_ids = self._folder is not None or is_headrace(uri)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def place(self, uri: str) -> ArtifactPlace:
        """Where files of the artifact URI `uri` are written. Raises InvalidRequest."""
        if self._folder is not None and scheme_of(uri) == "mlflow-artifacts":
            return ArtifactPlace(local_store(self._folder), "").below(path_of_uri(uri))
        if self._folder is None and is_plain(uri):
            # Here it would be another folder of the same name, on the wrong machine.
            raise InvalidRequest(
                f"{self.name} keeps these files at '{uri}', a path of its own machine, and does "
                "not take them over HTTP."
            )
        return open_artifacts(uri, self._uri)

    def experiment(self, name: str) -> experiments.Experiment | None:
        """The experiment of this name, deleted or not; None if there is none."""
        try:
            return self.store.experiments.get_by_name(experiments.ExperimentByName(name)).experiment
        except NotFound:
            return None

    def known_runs(self, experiment_id: str) -> dict[str, KnownRun]:
        """The runs of an experiment by the id that they had at their source."""
        return {
            marks.run_origin(run): KnownRun(
                run.info.run_id,
                marks.value_of(run.data.tags, marks.STATE_TAG),
                marks.value_of(run.data.tags, marks.FILES_TAG),
                run.info.lifecycle_stage != "active",
            )
            for run in self.contents.runs(experiment_id)
        }

    def known_models(self, experiment_id: str) -> dict[str, KnownModel]:
        """The logged models of an experiment by the id that they had at their source."""
        return {
            marks.model_origin(model): KnownModel(
                model.info.model_id,
                model.info.artifact_uri,
                marks.value_of(model.info.tags, marks.STATE_TAG),
                marks.value_of(model.info.tags, marks.FILES_TAG),
            )
            for model in self.contents.logged_models(experiment_id)
        }

    def run(self, run_id: str) -> runs.Run:
        """A run as it is now. NotFound."""
        return self.store.runs.get(runs.RunRef(run_id)).run
