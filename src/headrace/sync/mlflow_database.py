"""MLflow's own database, SQLite or PostgreSQL, as a source to copy from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.errors import HeadraceError
from headrace.protocol.experiments import Experiment
from headrace.protocol.logged_models import LoggedModel
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import RegisteredModel
from headrace.protocol.runs import Run
from headrace.protocol.wire import Tag
from headrace.sync.mlflow_model_rows import (
    read_logged_models,
    read_registered_models,
    read_versions,
    version_place,
)
from headrace.sync.mlflow_places import ArtifactPlaces
from headrace.sync.mlflow_remarks import Remarks, note_left_out
from headrace.sync.mlflow_rows import PostgresRows, Rows, SqliteRows
from headrace.sync.mlflow_run_rows import Histories, read_runs
from headrace.sync.mlflow_tables import MlflowTables, grouped, marks
from headrace.sync.mlflow_values import name_in_workspace
from headrace.sync.source import Files

_PAGE: Final = 500
_EXPERIMENT: Final = (
    *("experiment_id", "name", "artifact_location", "lifecycle_stage"),
    *("creation_time", "last_update_time", "workspace"),
)


class MlflowDatabase:
    """See Source. Read-only: MLflow may go on writing to it meanwhile.

    Schemas from MLflow 1.0 on are understood; what an older one lacks is empty. Experiments and
    registered models of workspaces are called `NAME (WORKSPACE)`, those of the default one keep
    their names. `left_out` counts what Headrace does not keep. The logged models and data sets
    that points were measured on are read once: those added later come with the next copy.
    """

    def __init__(
        self,
        tables: MlflowTables,
        name: str,
        *,
        home: Path | None = None,
        artifacts: Path | None = None,
    ) -> None:
        self.name = name
        self._complaints = Remarks()
        self._notes = Remarks()
        self.complaints = self._complaints.lines
        self.notes = self._notes.lines
        self._tables = tables
        self._histories = Histories(self._tables)
        self._places = ArtifactPlaces(
            home, artifacts, complain=self._complaints.add, note=self._notes.add
        )
        note_left_out(self.left_out(), self._notes)

    def left_out(self) -> dict[str, int]:
        """How much there is of each kind that is not copied: traces, webhooks and so on."""
        return self._tables.left_out()

    def experiments(self) -> Iterator[Experiment]:
        """See Source."""
        for page in self._tables.pages("experiments", _EXPERIMENT, "1 = 1", size=_PAGE):
            ids = [row[0] for row in page]
            tags = grouped(
                self._tables.select(
                    "experiment_tags",
                    ("experiment_id", "key", "value"),
                    f"WHERE experiment_id IN ({marks(ids)})",
                    *ids,
                )
            )
            for number, name, place, stage, created, updated, space in page:
                yield Experiment(
                    experiment_id=str(number),
                    name=name_in_workspace(name, space),
                    artifact_location=place or "",
                    lifecycle_stage=stage or "active",
                    creation_time=created or 0,
                    last_update_time=updated or created or 0,
                    tags=[Tag(key, value or "") for key, value in tags.get(number, [])],
                )

    def runs(self, experiment_id: str) -> Iterator[Run]:
        """See Source."""
        return read_runs(self._tables, experiment_id, self._complaints.add)

    def history(self, run_id: str, key: str) -> Iterator[Metric]:
        """See Source. A point that belongs to several logged models comes once for each."""
        return self._histories.read(run_id, key)

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]:
        """See Source. Of the metrics, the latest of each data set: all come with their runs."""
        return read_logged_models(self._tables, experiment_id, self._complaints.add)

    def registered_models(self) -> Iterator[RegisteredModel]:
        """See Source."""
        return read_registered_models(self._tables)

    def model_versions(self, name: str) -> Iterator[ModelVersion]:
        """See Source. Deleted versions, of which MLflow keeps only a husk, are left out."""
        return read_versions(self._tables, name, self)

    def artifacts(self, uri: str) -> Files | None:
        """See Source. `runs:/` and `models:/` URIs are followed to the files."""
        return self._places.find(uri, self)

    def run_place(self, run_id: str) -> str | None:
        """See RecordedPlaces."""
        found = self._tables.select("runs", ("artifact_uri",), "WHERE run_uuid = ?", run_id)
        return next((place for (place,) in found), None)

    def logged_model_place(self, model_id: str) -> str | None:
        """See RecordedPlaces."""
        where = "WHERE model_id = ?"
        found = self._tables.select("logged_models", ("artifact_location",), where, model_id)
        return next((place for (place,) in found), None)

    def version_place(self, name: str, version: str) -> str | None:
        """See RecordedPlaces."""
        return version_place(self._tables, name, version)

    def close(self) -> None:
        """See Source."""
        self._tables.close()


def open_mlflow_database(
    uri: str, file: Path | None, name: str, artifacts: Path | None
) -> MlflowDatabase | None:
    """Open MLflow's database to copy from; None if it is another program's.

    `file` is the one that a SQLite URI names, `artifacts` the folder that a server in front of
    the database keeps as `mlflow-artifacts:`. Unavailable, InvalidState if it can't be read.
    """
    rows: Rows = PostgresRows(uri) if file is None else SqliteRows(file)
    home = None if file is None else file.absolute().parent
    try:
        tables = MlflowTables(rows)
        if tables.are_mlflows:
            return MlflowDatabase(tables, name, home=home, artifacts=artifacts)
    except HeadraceError:
        rows.close()
        raise
    rows.close()
    return None
