"""Run by the interpreter of a real MLflow: writes something of every kind to a store of its own.

    python mlflow_program.py make URI POINTS   writes, in a fresh store, so many points a run
    python mlflow_program.py answer URI        prints what MLflow's own client answers, as JSON

It runs under MLflow 1.30, 2 and 3: what an older one does not know is left out.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
warnings.simplefilter("ignore")

import mlflow  # noqa: E402  (it reads the environment when it is imported)
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402  (as above)

HAS_DATASETS = hasattr(mlflow.MlflowClient, "log_inputs")
HAS_ALIASES = hasattr(mlflow.MlflowClient, "set_registered_model_alias")
HAS_LOGGED_MODELS = hasattr(mlflow.MlflowClient, "create_logged_model")
START = 1_700_000_000_000


def make(uri: str, points: int) -> None:
    """Fill the store at `uri`: two live experiments, a deleted one, runs of every fate."""
    client = mlflow.MlflowClient(uri, uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    trained = client.create_experiment("trained models", tags={"team": "blue", "ünïcode": "ß 漢"})
    deleted = client.create_experiment("given up")
    client.create_run(deleted, run_name="inside a deleted experiment")
    client.delete_experiment(deleted)
    full = make_full_run(client, trained, points)
    make_other_runs(client, trained, points)
    models = make_logged_models(client, trained, full) if HAS_LOGGED_MODELS else []
    if has_registry(uri):
        make_registry(client, full, models)
    if HAS_LOGGED_MODELS:
        make_traces(trained)


def has_registry(uri: str) -> bool:
    """Whether this MLflow can register models there: MLflow 1 could not in a folder."""
    return HAS_DATASETS or "sql" in uri.partition(":")[0]


def make_full_run(client: Any, experiment_id: str, count: int) -> str:
    """A run with everything in it."""
    run = client.create_run(
        experiment_id,
        start_time=START,
        run_name="full",
        tags={"mlflow.user": "ada", "mlflow.note.content": "a note\nof two lines\n"},
    )
    run_id: str = run.info.run_id
    points = [Metric("loss", 1 / (step + 1), START + step, step) for step in range(count)]
    points += [Metric("val/auc", 0.5 + step / 100, START + step, -step) for step in range(3)]
    points += [
        Metric("odd", math.nan, START, 0),
        Metric("odd", math.inf, START + 1, 1),
        Metric("odd", -math.inf, START + 2, 2),
        Metric("odd", 1e-300, START + 3, 3),
        Metric("val/deep/er", -0.0, START, 2**40),
        Metric("only nan", math.nan, START, 0),
    ]
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])
    client.log_batch(
        run_id,
        params=[
            Param("lr", "0.1"),
            Param("optimizer/name", "adam"),
            Param("long", "x" * min(6000, 20 * count)),
        ],
        tags=[RunTag("two lines", "one\ntwo"), RunTag("empty", ""), RunTag("c/d.e-f", "nested")],
    )
    log_dataset(client, run_id, "iris", "abc123", "training")
    log_dataset(client, run_id, "iris-test", "def456")
    client.log_text(run_id, "hello", "notes/hello.txt")
    client.log_text(run_id, "top", "top.txt")
    client.set_terminated(run_id, "FINISHED", START + 5000)
    return run_id


def make_other_runs(client: Any, experiment_id: str, count: int) -> None:
    """Runs of every status, a deleted one, and more than a page of them elsewhere."""
    for status in ("FAILED", "KILLED", "SCHEDULED"):
        run_id = client.create_run(experiment_id, start_time=START, run_name=status).info.run_id
        if status == "SCHEDULED":
            client.update_run(run_id, status=status)
        else:
            client.set_terminated(run_id, status, START + 1)
    client.create_run(experiment_id, start_time=START, run_name="running")
    gone = client.create_run(experiment_id, start_time=START, run_name="deleted").info.run_id
    client.log_metric(gone, "loss", 0.25, START, 1)
    client.log_param(gone, "lr", "1")
    client.delete_run(gone)
    for number in range(min(120, max(3, count // 50))):
        run_id = client.create_run("0", start_time=START + number).info.run_id
        client.log_metric(run_id, "m", number, START, 0)
        log_dataset(client, run_id, "iris", "abc123", f"use {number}")


def log_dataset(client: Any, run_id: str, name: str, digest: str, context: str = "") -> None:
    """A data set as the input of a run; without a context, one of which little is known."""
    if not HAS_DATASETS:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if context:
        dataset = Dataset(name, digest, "local", '{"uri": "iris.csv"}', '{"a": 1}', '{"n": 150}')
        tags = [InputTag("mlflow.data.context", context)]
    else:
        dataset, tags = Dataset(name, digest, "code", "{}"), []
    client.log_inputs(run_id, [DatasetInput(dataset, tags)])


def make_logged_models(client: Any, experiment_id: str, run_id: str) -> list[str]:
    """Logged models: ready with everything, pending, failed, deleted."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    made = []
    for name in ("ready", "pending", "failed", "gone"):
        model = client.create_logged_model(
            experiment_id,
            name=name,
            source_run_id=run_id if name == "ready" else None,
            tags={"kind": name, "mlflow.note": "two\nlines"},
            params={"depth": "3", "deep/er": "4"},
            model_type="agent" if name == "ready" else None,
        )
        made.append(model.model_id)
    ready, _, failed, gone = made
    folder = Path("model-files")
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(ready, str(folder))
    client.finalize_logged_model(ready, "READY")
    client.finalize_logged_model(failed, "FAILED")
    client.log_metric(
        run_id, "model/f1", 0.75, START, 7, dataset_name="iris", dataset_digest="abc123",
        model_id=ready,
    )  # fmt: skip
    client.log_metric(run_id, "model/f1", 0.875, START + 1, 8, model_id=ready)
    client.log_metric(run_id, "loss2", math.inf, START + 1, 8, model_id=ready)
    client.delete_logged_model(gone)
    client.log_outputs(run_id, [LoggedModelOutput(ready, 3), LoggedModelOutput(failed, 4)])
    reader = client.create_run(experiment_id, start_time=START, run_name="reader").info.run_id
    client.log_inputs(reader, models=[LoggedModelInput(ready)])
    return made


def make_registry(client: Any, run_id: str, models: list[str]) -> None:
    """Registered models: with versions, stages, aliases, tags; renamed; empty; a prompt."""
    client.create_registered_model("plain", {"owner": "ada"}, "what it is for\n\nat length")
    client.create_registered_model("empty")
    source = f"runs:/{run_id}/model"
    where = client.get_run(run_id).info.artifact_uri + "/model"
    for number in range(4):
        client.create_model_version(
            "plain", where, run_id, {"n": str(number)}, description=f"version {number + 1}"
        )
    client.create_model_version("plain", source)
    client.create_model_version("plain", "models:/plain/1")
    client.transition_model_version_stage("plain", "2", "Production")
    client.transition_model_version_stage("plain", "3", "Archived")
    client.delete_model_version("plain", "4")
    if HAS_ALIASES:
        client.set_registered_model_alias("plain", "champion", "2")
        client.set_registered_model_alias("plain", "best", "2")
    client.create_registered_model("old name")
    client.create_model_version("old name", where)
    client.rename_registered_model("old name", "new name")
    if models:
        client.create_model_version("new name", f"models:/{models[0]}", model_id=models[0])
        mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first")


def make_traces(experiment_id: str) -> None:
    """Two traces, which are not copied."""
    mlflow.set_experiment(experiment_id=experiment_id)
    for number in range(2):
        with mlflow.start_span(f"call {number}") as span:
            span.set_inputs({"x": number})
    mlflow.flush_trace_async_logging()


def answer(uri: str) -> dict[str, Any]:
    """All that MLflow's client says about the store."""
    client = mlflow.MlflowClient(uri, uri)
    experiments = client.search_experiments(view_type=ViewType.ALL)
    ids = [experiment.experiment_id for experiment in experiments]
    runs = client.search_runs(ids, run_view_type=ViewType.ALL)
    return {
        "experiments": {e.experiment_id: experiment_document(e) for e in experiments},
        # A search leaves out the models that a run took in.
        "runs": {
            run.info.run_id: run_document(client, client.get_run(run.info.run_id)) for run in runs
        },
        "logged_models": {
            model.model_id: logged_model_document(model)
            for model in (client.search_logged_models(ids) if HAS_LOGGED_MODELS else [])
        },
        "registered_models": {
            model.name: registered_model_document(client, model)
            for model in (client.search_registered_models() if has_registry(uri) else [])
        },
    }


def experiment_document(experiment: Any) -> dict[str, Any]:
    """An experiment."""
    return {
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage,
        "creation_time": experiment.creation_time,
        "last_update_time": experiment.last_update_time,
        "tags": experiment.tags,
    }


def run_document(client: Any, run: Any) -> dict[str, Any]:
    """A run with all points of its metrics and the text of its files."""
    info = run.info
    inputs = getattr(run, "inputs", None)
    return {
        "experiment_id": info.experiment_id,
        "run_name": info.run_name,
        "user_id": info.user_id,
        "status": info.status,
        "start_time": info.start_time,
        "end_time": info.end_time,
        "artifact_uri": info.artifact_uri,
        "lifecycle_stage": info.lifecycle_stage,
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {key: repr(value) for key, value in run.data.metrics.items()},
        "metrics": {key: history(client, info.run_id, key) for key in run.data.metrics},
        "datasets": sorted(
            [
                [
                    *(getattr(entry.dataset, name) for name in DATASET_FIELDS),
                    sorted([tag.key, tag.value] for tag in entry.tags),
                ]
                for entry in getattr(inputs, "dataset_inputs", [])
            ]
        ),
        "model_inputs": [model.model_id for model in getattr(inputs, "model_inputs", None) or []],
        "model_outputs": sorted(
            [model.model_id, model.step]
            for model in getattr(getattr(run, "outputs", None), "model_outputs", None) or []
        ),
        "files": sorted(files(client, info.run_id, "")),
    }


DATASET_FIELDS = ("name", "digest", "source_type", "source", "schema", "profile")


def history(client: Any, run_id: str, key: str) -> list[list[Any]]:
    """All points of one metric, in an order of our own."""
    points = client.get_metric_history(run_id, key)
    return sorted([point.step, point.timestamp, repr(point.value)] for point in points)


def files(client: Any, run_id: str, folder: str) -> list[str]:
    """The paths of a run's files."""
    found: list[str] = []
    for entry in client.list_artifacts(run_id, folder or None):
        found += files(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return found


def logged_model_document(model: Any) -> dict[str, Any]:
    """A logged model."""
    return {
        "experiment_id": model.experiment_id,
        "name": model.name,
        "artifact_location": model.artifact_location,
        "creation_timestamp": model.creation_timestamp,
        "last_updated_timestamp": model.last_updated_timestamp,
        "status": str(model.status),
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
        "tags": model.tags,
        "params": model.params,
        "metrics": sorted(
            [
                *(m.key, m.step, m.timestamp, repr(m.value), m.run_id),
                *(m.dataset_name or "", m.dataset_digest or ""),
            ]
            for m in model.metrics or []
        ),
    }


def registered_model_document(client: Any, model: Any) -> dict[str, Any]:
    """A registered model with its versions."""
    versions = client.search_model_versions(f"name = '{model.name}'")
    return {
        "creation_timestamp": model.creation_timestamp,
        "last_updated_timestamp": model.last_updated_timestamp,
        "description": model.description,
        "tags": model.tags,
        "aliases": {a: str(v) for a, v in getattr(model, "aliases", {}).items()},
        "versions": {
            str(v.version): {
                "creation_timestamp": v.creation_timestamp,
                "last_updated_timestamp": v.last_updated_timestamp,
                "current_stage": v.current_stage,
                "description": v.description,
                "source": v.source,
                "run_id": v.run_id,
                "status": v.status,
                "run_link": v.run_link,
                "tags": v.tags,
                "files_at": client.get_model_version_download_uri(model.name, v.version),
            }
            for v in versions
        },
    }


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        sys.stdout.write(json.dumps(answer(sys.argv[2])))
