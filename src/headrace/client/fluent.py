"""The fluent API: logging to the active run, which is started when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.client import values
from headrace.client.active import active_or_new_run
from headrace.client.active_model import get_active_model_id
from headrace.client.client import Client, current_client
from headrace.client.datasets import dataset_input
from headrace.client.experiment import current_experiment_id
from headrace.client.outbox import flush_all
from headrace.client.run import LogOperation, operation
from headrace.errors import InvalidRequest
from headrace.protocol.datasets import ModelInput, ModelOutput
from headrace.protocol.uris import join

if TYPE_CHECKING:
    import pandas as pd


def log_metric(
    key: str,
    value: float,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> LogOperation | None:
    """Add a point of a metric; `timestamp` in ms since 1970 (now, for None).

    `model_id` and `dataset` (with a `name` and `digest`) say what was measured on what.
    """
    client, run = active_or_new_run() if run_id is None else _target(run_id)
    if dataset is None:
        name = digest = None
    else:
        name, digest = getattr(dataset, "name", None), getattr(dataset, "digest", None)
    model = model_id or get_active_model_id()
    return client.log_metric(run, key, value, timestamp, step, synchronous, name, digest, model)


def log_metrics(
    metrics: Mapping[str, float],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> LogOperation | None:
    """Add a point of each metric, all at the same step and time."""
    model_id = model_id or get_active_model_id()
    points = values.metric_points(metrics, step, timestamp, model_id, dataset)
    return _log_fields(run_id, points, [], [], synchronous)


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Write a parameter, once, as text; gives `value` back, or an operation to wait for."""
    client, run = active_or_new_run()
    return client.log_param(run, key, value, synchronous)


def log_params(
    params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None
) -> LogOperation | None:
    """Write parameters, each once, as text."""
    return _log_fields(run_id, [], values.pairs("params", params), [], synchronous)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> LogOperation | None:
    """Write a tag of the run as text, over what was there."""
    client, run = active_or_new_run()
    return client.set_tag(run, key, value, synchronous)


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> LogOperation | None:
    """Write tags of the run as text, over what was there."""
    return _log_fields(None, [], [], values.pairs("tags", tags), synchronous)


def delete_tag(key: str) -> None:
    """Remove a tag of the run. NotFound."""
    client, run = active_or_new_run()
    client.delete_tag(run, key)


def log_artifact(
    local_path: str | Path, artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Store a local file (or folder) under its name, in the folder `artifact_path` of the run."""
    client, run = _target(run_id)
    client.log_artifact(run, local_path, artifact_path)


def log_artifacts(
    local_dir: str | Path, artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Store what is in a local folder, in the folder `artifact_path` of the run."""
    client, run = _target(run_id)
    client.log_artifacts(run, local_dir, artifact_path)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Store a text, as UTF-8."""
    client, run = _target(run_id)
    client.log_text(run, text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a dictionary or list: as YAML in `.yaml` and `.yml`, else as JSON."""
    client, run = _target(run_id)
    client.log_dict(run, dictionary, artifact_file)


def log_stream(stream: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store what a binary stream gives, to its end."""
    client, run = _target(run_id)
    client.log_stream(run, stream, artifact_file)


def log_figure(
    figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
) -> None:
    """Store a figure of Matplotlib or Plotly, in the format that the file's name says."""
    client, run = active_or_new_run()
    client.log_figure(run, figure, artifact_file, save_kwargs=save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = False,
) -> None:
    """Store an image under a file name, or in a series under a `key` and `step`."""
    client, run = active_or_new_run()
    client.log_image(run, image, artifact_file, key, step, timestamp, synchronous)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a table, a dictionary of columns or a DataFrame; rows are added to one that is there.

    `artifact_file` ends in `.json` or `.parquet`.
    """
    client, run = _target(run_id)
    client.log_table(run, data, artifact_file)


def load_table(
    artifact_file: str,
    run_ids: Sequence[str] | None = None,
    extra_columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The rows of a table of the current experiment's runs, one below the other. NotFound."""
    client = current_client()
    return client.load_table(current_experiment_id(), artifact_file, run_ids, extra_columns)


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """The URI of the run's artifacts, or of the file `artifact_path` among them."""
    client, run = active_or_new_run()
    return join(client.get_run(run).info.artifact_uri, artifact_path or "")


def log_input(
    dataset: Any = None,
    context: str | None = None,
    tags: Mapping[str, str] | None = None,
    model: ModelInput | None = None,
) -> None:
    """Note a data set that the run takes in, and what for ("training", "validation").

    A data set is any object with `to_dict()` (as MLflow's have), or with `name` and `digest`.
    """
    log_inputs(
        None if dataset is None else [dataset],
        None if dataset is None else [context],
        None if dataset is None else [dict(tags) if tags else None],
        None if model is None else [model],
    )


def log_inputs(
    datasets: Sequence[Any] | None = None,
    contexts: Sequence[str | None] | None = None,
    tags_list: Sequence[Mapping[str, str] | None] | None = None,
    models: Sequence[ModelInput | None] | None = None,
) -> None:
    """Note data sets, each with its context and tags, and logged models that the run takes in."""
    taken = list(datasets or ())
    names = list(contexts or [None] * len(taken))
    tags = list(tags_list or [None] * len(taken))
    if not len(taken) == len(names) == len(tags):
        raise InvalidRequest(
            f"'datasets' has {len(taken)} entries, 'contexts' {len(names)}, 'tags_list' "
            f"{len(tags)}: expected as many of each."
        )
    entries = [dataset_input(*each) for each in zip(taken, names, tags, strict=True)]
    client, run = active_or_new_run()
    client.log_inputs(run, entries, [model for model in models or () if model is not None])


def log_outputs(models: Sequence[ModelOutput] | None = None) -> None:
    """Note logged models that the run makes."""
    client, run = active_or_new_run()
    client.log_outputs(run, models or ())


def flush(timeout: float | None = None) -> bool:
    """Wait until all that this process logged is stored; False when it is not in time.

    `timeout` in seconds; by default the setting FLUSH_TIMEOUT. Nothing is lost when it is False:
    what is left stays in the journal and is sent as soon as it can be.
    """
    return flush_all(timeout, patient=True)


def flush_async_logging() -> None:
    """Wait until all that this process logged is stored, artifacts too. See `flush`."""
    flush()


def flush_artifact_async_logging() -> None:
    """Wait until all that this process logged is stored, artifacts too. See `flush`."""
    flush()


def _target(run_id: str | None) -> tuple[Client, str]:
    return (current_client(), run_id) if run_id else active_or_new_run()


def _log_fields(
    run_id: str | None,
    metrics: list[dict[str, Any]],
    params: list[dict[str, Any]],
    tags: list[dict[str, Any]],
    synchronous: bool | None,
) -> LogOperation | None:
    client, run = _target(run_id)
    client._log_fields(run, metrics, params, tags)
    return operation(client._outbox, synchronous)
