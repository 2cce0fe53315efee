"""What a source shows, in the form that `mlflow_program.py answer` prints MLflow's answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.protocol.logged_models import LoggedModel
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import PROMPT_TAG, RegisteredModel
from headrace.protocol.runs import Run
from headrace.protocol.wire import Param, Tag
from headrace.sync.source import Files, Source

MOST_FLOAT = repr(1.7976931348623157e308)
NAN = repr(float("nan"))


def shown(source: Source) -> dict[str, Any]:
    """All of a source but its prompts, which MLflow's searches leave out."""
    experiments = list(source.experiments())
    ids = [experiment.experiment_id for experiment in experiments]
    return {
        "experiments": {
            e.experiment_id: {
                "name": e.name,
                "artifact_location": e.artifact_location,
                "lifecycle_stage": e.lifecycle_stage,
                "creation_time": e.creation_time,
                "last_update_time": e.last_update_time,
                "tags": as_dict(e.tags),
            }
            for e in experiments
        },
        "runs": {run.info.run_id: of_run(source, run) for i in ids for run in source.runs(i)},
        "logged_models": {
            model.info.model_id: of_logged_model(model)
            for i in ids
            for model in source.logged_models(i)
        },
        "registered_models": {
            model.name: of_registered_model(source, model)
            for model in source.registered_models()
            if PROMPT_TAG not in as_dict(model.tags)
        },
    }


def of_run(source: Source, run: Run) -> dict[str, Any]:
    """A run as MLflow's client shows it, with the histories and the names of its files."""
    info = run.info
    return {
        "experiment_id": info.experiment_id,
        "run_name": info.run_name,
        "user_id": info.user_id,
        "status": info.status.value,
        "start_time": info.start_time,
        "end_time": info.end_time,
        "artifact_uri": info.artifact_uri,
        "lifecycle_stage": info.lifecycle_stage,
        "params": as_dict(run.data.params),
        "tags": as_dict(run.data.tags),
        "latest": {point.key: repr(float(point.value)) for point in run.data.metrics},
        "metrics": {
            point.key: sorted(
                [p.step, p.timestamp, repr(float(p.value))]
                for p in source.history(info.run_id, point.key)
            )
            for point in run.data.metrics
        },
        "datasets": sorted(
            [
                *(entry.dataset.name, entry.dataset.digest, entry.dataset.source_type),
                *(entry.dataset.source, entry.dataset.schema, entry.dataset.profile),
                sorted([tag.key, tag.value] for tag in entry.tags),
            ]
            for entry in run.inputs.dataset_inputs
        ),
        "model_inputs": [model.model_id for model in run.inputs.model_inputs],
        "model_outputs": sorted(
            [model.model_id, model.step]
            for model in (run.outputs.model_outputs if run.outputs else [])
        ),
        "files": sorted(files_below(source.artifacts(info.artifact_uri))),
    }


def of_logged_model(model: LoggedModel) -> dict[str, Any]:
    """A logged model as MLflow's client shows it."""
    info = model.info
    return {
        "experiment_id": info.experiment_id,
        "name": info.name,
        "artifact_location": info.artifact_uri,
        "creation_timestamp": info.creation_timestamp_ms,
        "last_updated_timestamp": info.last_updated_timestamp_ms,
        "status": info.status.value.removeprefix("LOGGED_MODEL_").removeprefix("UPLOAD_"),
        "model_type": info.model_type,
        "source_run_id": info.source_run_id,
        "tags": as_dict(info.tags),
        "params": as_dict(model.data.params),
        "metrics": sorted(
            [
                *(m.key, m.step, m.timestamp, repr(float(m.value)), m.run_id),
                *(m.dataset_name or "", m.dataset_digest or ""),
            ]
            for m in model.data.metrics
        ),
    }


def of_registered_model(source: Source, model: RegisteredModel) -> dict[str, Any]:
    """A registered model as MLflow's client shows it, with its versions."""
    return {
        "creation_timestamp": model.creation_timestamp,
        "last_updated_timestamp": model.last_updated_timestamp,
        "description": model.description,
        "tags": as_dict(model.tags),
        "aliases": {alias.alias: alias.version for alias in model.aliases},
        "versions": {v.version: of_version(v) for v in source.model_versions(model.name)},
    }


def of_version(version: ModelVersion) -> dict[str, Any]:
    """A model version as MLflow's client shows it."""
    return {
        "creation_timestamp": version.creation_timestamp,
        "last_updated_timestamp": version.last_updated_timestamp,
        "current_stage": version.current_stage,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id,
        "status": version.status,
        "run_link": version.run_link,
        "tags": as_dict(version.tags),
    }


def as_dict(pairs: list[Tag] | list[Param]) -> dict[str, str]:
    """Tags or parameters by key."""
    return {pair.key: pair.value for pair in pairs}


def files_below(files: Files | None, folder: str = "") -> Iterator[str]:
    """The paths of all files, none where they are out of reach."""
    if files is None:
        return
    where = f"{files.path}/{folder}" if files.path and folder else files.path or folder
    for entry in files.store.list(where):
        path = f"{folder}/{entry.path}" if folder else entry.path
        if entry.is_dir:
            yield from files_below(files, path)
        else:
            yield path


def links(points: Iterator[Metric]) -> set[tuple[int, str | None, str | None, str | None]]:
    """The step of each point, and the model and data set that it was measured on."""
    return {(p.step, p.model_id, p.dataset_name, p.dataset_digest) for p in points}


def in_our_words(answer: dict[str, Any]) -> dict[str, Any]:
    """MLflow's answers, with what is deliberately different put right.

    Its databases answer the largest number for an infinity; null texts of a version are empty
    with us; users and names are never null; where a version's files lie is asked otherwise.
    """
    for run in answer["runs"].values():
        run["run_name"] = run["run_name"] or ""
        run["user_id"] = run["user_id"] or ""
        run["latest"] = {key: value_of(value) for key, value in run["latest"].items()}
        for points in run["metrics"].values():
            points[:] = sorted([step, at, value_of(value)] for step, at, value in points)
    for model in answer["logged_models"].values():
        for point in model["metrics"]:
            point[3] = value_of(point[3])
    for registered in answer["registered_models"].values():
        for version in registered["versions"].values():
            for name in ("description", "run_id", "run_link"):
                version[name] = version[name] or ""
            # The path of a run's files says whose they are, also where MLflow was not told.
            _, known, inside = version["source"].rpartition("/mlruns/")
            if known and not version["run_id"]:
                version["run_id"] = inside.split("/")[1]
            del version["files_at"]
    return answer


def value_of(value: str) -> str:
    """The value that was logged."""
    return {MOST_FLOAT: "inf", f"-{MOST_FLOAT}": "-inf"}.get(value, value)


def correct_steps(runs: dict[str, Any]) -> None:
    """MLflow's file store writes the step of a point with a data set, but reads it as 0."""
    for run in runs.values():
        for point in run["metrics"].get("model/f1", []):
            if point[2] == "0.75":
                assert point[0] == 0
                point[0] = 7


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """What differs between two documents, each with its place: shorter than pytest's report."""
    if not isinstance(found, dict) or not isinstance(expected, dict):
        return [] if found == expected else [f"{where}: {found!r}, not {expected!r}"]
    lines = [f"{where}/{key} is missing" for key in expected.keys() - found.keys()]
    lines += [f"{where}/{key} is too much" for key in found.keys() - expected.keys()]
    for key in found.keys() & expected.keys():
        lines += differences(found[key], expected[key], f"{where}/{key}")
    return sorted(lines)
