"""Stores full of everything that can be copied, and what a store holds, in a form to compare."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.open import open_artifacts
from headrace.protocol import datasets, logged_models, metrics, runs
from headrace.protocol import model_versions as versions
from headrace.protocol import registered_models as registry
from headrace.protocol.experiments import ExperimentRef
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.sync import marks
from headrace.sync.files import listing
from headrace.sync.source import Files
from headrace.sync.store_source import StoreSource
from headrace.testing.store_builders import new_experiment, new_model, new_run, new_version


def open_database(uri: str) -> Store:
    """A database whose files lie beside it, as the SDK opens it."""
    from headrace.artifacts.open import default_artifact_root

    return open_store(uri, str(default_artifact_root(uri)))


def write_file(store: Store, uri: str, artifact_uri: str, name: str, content: bytes) -> None:
    """A file of a run or a model."""
    place = open_artifacts(artifact_uri, uri).below(name)
    with place.store.write(place.path) as writer:
        writer.write(content)
        writer.commit()


def log(store: Store, run_id: str, **fields: Any) -> None:
    """One batch to a run."""
    store.runs.log_batch(runs.LogBatch(run_id=run_id, **fields))


def fill(store: Store, uri: str) -> None:
    """Some of everything: two experiments, runs with all that they can have, models, versions."""
    first = new_experiment(store, name="first", tags=[Tag("team", "blue")], creation_time=1000)
    second = new_experiment(store, name="second")
    parent = new_run(store, first, run_name="parent", start_time=5, user_id="ann")
    of_parent = [Tag(runs.PARENT_RUN_TAG, parent)]
    child = new_run(store, first, run_name="child", start_time=6, tags=of_parent)
    points = [
        metrics.Metric("loss", value, timestamp=10 + step, step=step)
        for step, value in enumerate([1.0, 0.5, math.nan, math.inf, -0.25])
    ]
    many = [metrics.Metric("curve", step / 7, timestamp=step, step=step) for step in range(2500)]
    log(store, parent, params=[Param("lr", "0.1"), Param("empty", "")], tags=[Tag("t", "é日本")])
    log(store, parent, metrics=points)
    for start in range(0, 2500, 1000):
        log(store, child, metrics=many[start : start + 1000])
    log(store, child, params=[Param(f"p{i}", "x" * i) for i in range(100)])
    data = datasets.Dataset("wine", "abc", "local", "/data/wine.csv", schema="{}", profile="{}")
    used = datasets.DatasetInput(data, [Tag(datasets.CONTEXT_TAG, "training")])
    model = new_model(
        store,
        first,
        name="forest",
        source_run_id=parent,
        params=[Param("depth", "3")],
        tags=[Tag("kind", "tree")],
    ).info
    store.datasets.log_inputs(
        datasets.LogInputs(child, [used], [datasets.ModelInput(model.model_id)])
    )
    store.datasets.log_outputs(
        datasets.LogOutputs(parent, [datasets.ModelOutput(model.model_id, 4)])
    )
    log(
        store,
        parent,
        metrics=[
            metrics.Metric(
                "score", 0.9, 7, 1, model_id=model.model_id, dataset_name="wine",
                dataset_digest="abc",
            )
        ],
    )  # fmt: skip
    write_file(store, uri, model.artifact_uri, "MLmodel", b"flavors: {}\n")
    store.logged_models.finalize(
        logged_models.FinalizeLoggedModel(model.model_id, "LOGGED_MODEL_READY")
    )
    place = store.runs.get(runs.RunRef(parent)).run.info.artifact_uri
    write_file(store, uri, place, "notes.txt", b"a note")
    write_file(store, uri, place, "plots/deep/roc.bin", bytes(range(256)) * 9000)
    store.runs.update(runs.UpdateRun(run_id=parent, status="FINISHED", end_time=99))
    store.runs.update(runs.UpdateRun(run_id=child, status="FAILED", end_time=98))
    gone = new_run(store, first, run_name="gone", start_time=7)
    log(store, gone, params=[Param("kept", "yes")], metrics=points)
    store.runs.delete(runs.RunRef(gone))
    new_run(store, second, run_name="open", start_time=8)
    _fill_registry(store, parent, model.model_id)
    old = new_experiment(store, name="old")
    new_run(store, old, run_name="old run", start_time=9)
    store.experiments.delete(ExperimentRef(old))


def _fill_registry(store: Store, run_id: str, model_id: str) -> None:
    for name in ("wine", "copy", "prompt"):
        tags = [Tag("stage", "x")] + ([Tag(registry.PROMPT_TAG, "true")] * (name == "prompt"))
        store.registered_models.create(
            registry.CreateRegisteredModel(name, tags, f"about {name}", creation_timestamp=7)
        )
    place = store.runs.get(runs.RunRef(run_id)).run.info.artifact_uri
    new_version(store, "wine", source=f"runs:/{run_id}/model", run_id=run_id, description="one")
    new_version(store, "wine", source="s3://bucket/gone")
    store.model_versions.delete(versions.ModelVersionRef("wine", "2"))
    new_version(store, "wine", source=f"models:/{model_id}", tags=[Tag("k", "v")])
    new_version(store, "wine", source=f"{place}/plots", run_id=run_id)
    store.registered_models.set_alias(registry.SetAlias("wine", "champion", "3"))
    store.model_versions.transition_stage(versions.TransitionStage("wine", "1", "Production"))
    # Comes before what it is made from, in the order of names.
    new_version(store, "copy", source="models:/wine@champion")
    prompt = [Tag(registry.PROMPT_TAG, "true"), Tag("mlflow.prompt.text", "Say {{what}}")]
    new_version(store, "prompt", source="dummy-source", tags=prompt)


def content_of(store: Store, uri: str) -> dict[str, Any]:
    """All that a store holds, without where its files lie and what copies note about themselves."""
    source = StoreSource(store, "compared")
    found: dict[str, Any] = {}
    for experiment in sorted(source.experiments(), key=lambda e: e.name):
        entry: dict[str, Any] = {"own": _plain(experiment)}
        if experiment.name == "Default":  # each store makes its own
            entry["own"] = {}
        elif experiment.lifecycle_stage == "deleted":  # the deletion counts as an update
            del entry["own"]["last_update_time"]
        for run in source.runs(experiment.experiment_id):
            histories = {
                metric.key: [
                    (point.timestamp, point.step, repr(float(point.value)))
                    for point in source.history(run.info.run_id, metric.key)
                ]
                for metric in run.data.metrics
            }
            entry[f"run {run.info.run_name}"] = (
                _plain(run),
                histories,
                _files(run.info.artifact_uri, uri),
            )
        for model in source.logged_models(experiment.experiment_id):
            entry[f"model {model.info.name}"] = (
                _plain(model),
                _files(model.info.artifact_uri, uri),
            )
        found[experiment.name] = entry
    found["registry"] = {
        model.name: (
            _plain(model),
            [_plain(version) for version in source.model_versions(model.name)],
        )
        for model in source.registered_models()
    }
    return found


def _files(artifact_uri: str, uri: str) -> dict[str, bytes]:
    place = Files(*open_artifacts(artifact_uri, uri))
    found = {}
    for name, _ in listing(place):
        with place.store.read(f"{place.path}/{name}".lstrip("/")) as reader:
            found[name] = b"".join(reader.chunks())
    return found


_PLACES = frozenset(
    {"artifact_uri", "artifact_location", "experiment_id", "latest_versions", "source"}
)


def _plain(thing: Any) -> Any:
    """A struct as plain values, sorted where the order means nothing."""
    if isinstance(thing, msgspec.Struct):
        return {
            name: _plain(value)
            for name, value in msgspec.structs.asdict(thing).items()
            if name not in _PLACES
        }
    if isinstance(thing, list):
        kept = [item for item in thing if getattr(item, "key", "") not in marks.OWN_TAGS]
        return sorted((_plain(item) for item in kept), key=repr)
    return repr(float(thing)) if isinstance(thing, float) else thing


def sync_uri(folder: Path, name: str) -> str:
    """A database of its own folder, so that its files have one too."""
    (folder / name).mkdir(exist_ok=True)
    return f"sqlite:///{folder}/{name}/headrace.db"
