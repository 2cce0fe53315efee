"""MLflow's kept stores copied into a database of Headrace's: nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.sync.copying import copy
from headrace.sync.destination import Destination
from headrace.sync.marks import OWN_TAGS
from headrace.sync.open import open_source
from headrace.sync.plan import Choice
from headrace.sync.source import Source
from tests.sync.mlflow_answers import differences, shown
from tests.sync.mlflow_stores import MadeStore, kept_database, kept_folder


@pytest.fixture(
    params=["database-3.17", "database-2.22", "database-1.30", "mlruns-3.17", "mlruns-1.30"]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> MadeStore:
    kind, _, version = request.param.partition("-")
    (tmp_path / "theirs").mkdir()
    restore = kept_database if kind == "database" else kept_folder
    return restore(version, tmp_path / "theirs")


def test_all_of_it_arrives_and_nothing_twice(kept: MadeStore, tmp_path: Path) -> None:
    ours = f"sqlite:///{tmp_path}/headrace.db"
    destination = Destination(ours)
    source = open_source(kept.uri)
    for _ in range(2):
        assert copy(source, destination, Choice()).problems == []
    destination.close()
    copied = open_source(ours)
    assert differences(_comparable(copied), _comparable(source)) == []
    source.close()
    copied.close()


def _comparable(source: Source) -> dict[str, Any]:
    """All of a source but the places of files, the numbers of experiments, and marks."""
    found = shown(source)
    names = {number: entry["name"] for number, entry in found["experiments"].items()}
    found["experiments"] = {entry["name"]: entry for entry in found["experiments"].values()}
    # The Default experiment is that of the destination.
    del found["experiments"]["Default"]
    for kind in ("experiments", "runs", "logged_models"):
        for entry in found[kind].values():
            entry["experiment_id"] = names.get(entry.get("experiment_id"))
    for run in found["runs"].values():
        _comparable_run(run)
    for registered in found["registered_models"].values():
        for version in registered["versions"].values():
            _comparable_version(version)
    for kind in ("experiments", "runs", "logged_models", "registered_models"):
        for entry in found[kind].values():
            _without_marks(entry)
    return found


def _comparable_run(run: dict[str, Any]) -> None:
    if run["experiment_id"] == "given up":
        # MLflow 1 deleted an experiment in a folder without its runs.
        del run["lifecycle_stage"]
    # Our databases know one zero.
    for values in (run["latest"], *run["metrics"].values()):
        _without_negative_zero(values)


def _comparable_version(version: dict[str, Any]) -> None:
    if version["source"].startswith(("runs:", "models:")):
        # From these our store sees the run by itself.
        del version["run_id"]
    version["source"] = version["source"].rpartition("/")[2]
    _without_marks(version)


def _without_marks(entry: dict[str, Any]) -> None:
    for place in ("artifact_location", "artifact_uri", "last_update_time"):
        entry.pop(place, None)
    entry["tags"] = {key: value for key, value in entry["tags"].items() if key not in OWN_TAGS}


def _without_negative_zero(values: Any) -> None:
    if isinstance(values, dict):
        values.update({key: "0.0" for key, value in values.items() if value == "-0.0"})
    else:
        values[:] = [[*point[:2], "0.0" if point[2] == "-0.0" else point[2]] for point in values]
