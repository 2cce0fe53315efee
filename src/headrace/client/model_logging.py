"""Logging models: a logged model with its files, linked to the run that made it.

The logged model is PENDING while its files are saved and sent, READY when all are there, FAILED
when that did not work out; what can be known to be wrong is found out before there is any. Each
file is read once, when it is sent, and the manifest of what was sent is signed last.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.client.active import active_run
from headrace.client.client import Client, current_client
from headrace.client.entities import LoggedModel
from headrace.client.models import initialize_logged_model, register_model
from headrace.errors import HeadraceError, InvalidRequest, Unavailable
from headrace.models import saving
from headrace.models.model import Model, ModelInfo, facts_of, info_of
from headrace.models.saving import SaveRequest, request_for, write_model
from headrace.models.trust import SIGNATURE_FILE, signature_over
from headrace.protocol.datasets import ModelOutput
from headrace.protocol.metrics import Metric
from headrace.protocol.names import check_logged_model_name, check_model_name
from headrace.protocol.runs import Run

DEFAULT_NAME = "model"


@dataclass(frozen=True)
class LogRequest:
    """How a model is logged. The names are those of MLflow's arguments."""

    name: str | None = None
    artifact_path: str | None = None
    """The older word for `name`."""
    registered_model_name: str | None = None
    await_registration_for: int | None = 300
    params: Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None
    model_type: str | None = None
    step: int = 0
    metrics: Sequence[Metric] | None = None
    """Points of the run that are the model's, by whoever knows; else all that it has at `step`."""
    model_id: str | None = None
    """A logged model that is there already, and gets these files."""

    def model_name(self) -> str | None:
        """The name of the logged model. InvalidRequest for two different ones, and for a name that
        it cannot have, or not be registered under.
        """
        if self.name and self.artifact_path and self.name != self.artifact_path:
            raise InvalidRequest(
                f"'name' is {self.name!r} and 'artifact_path', the older word for it, is "
                f"{self.artifact_path!r}: give one of them."
            )
        name = self.name or self.artifact_path
        if name is not None:
            check_logged_model_name("name", name)
        if self.registered_model_name is not None:
            check_model_name("registered_model_name", self.registered_model_name)
        return name


def log_model(model: Any, flavor: str | None = None, **given: Any) -> ModelInfo:
    """Log a model of any library: `given` are the fields of `LogRequest`, those of `SaveRequest`
    and `Requirements`, and the flavor's own options.

    InvalidRequest for what cannot be saved, with nothing left behind but a logged model that is
    FAILED when saving had begun. Anything that the tracking server raises.
    """
    own = {name: given.pop(name) for name in LogRequest.__dataclass_fields__ if name in given}
    return log(request_for(model, flavor, **given), LogRequest(**own))


def save_model(model: Any, path: str | Path, flavor: str | None = None, **given: Any) -> Model:
    """Save a model of any library as the folder `path`, which must be new or empty.

    `given` as for `log_model`, but for what is about logging. See `models.saving.save_model`.
    """
    return saving.save_model(request_for(model, flavor, **given), path)


def log(request: SaveRequest, how: LogRequest, run: tuple[Client, str] | None = None) -> ModelInfo:
    """As `log_model`, of what was made already; for `run`, its client and id, or the active one."""
    name = how.model_name()
    request.check()
    active = active_run()
    if run is None and active is not None:
        run = (current_client(), active.info.run_id)
    try:
        return _log(request, how, run, name)
    except Unavailable as error:
        folder = name or DEFAULT_NAME
        raise Unavailable(
            f"{error} The model is not logged. What waits for no server is to save it as a folder "
            f"(save_model(model, path='{folder}')) and log that as files of the run: "
            f"headrace.log_artifacts('{folder}', '{folder}'). It then loads from runs:/…/{folder}."
        ) from error


def _log(
    request: SaveRequest, how: LogRequest, run: tuple[Client, str] | None, name: str | None
) -> ModelInfo:
    client = run[0] if run else current_client()
    source = None if run is None else client._store.runs.get(client._run_ref(run[1])).run
    logged = _logged_model(client, name, how, source)
    staged = Path(tempfile.mkdtemp(prefix="headrace-model-"))
    try:
        described = _send(client, request, logged, staged)
        logged = client.finalize_logged_model(logged.model_id, "READY")
    except BaseException:
        # The first error is the one to tell.
        with suppress(HeadraceError):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    if source is not None and how.model_id is None:
        _link(client, source, logged.model_id, how)
    version = None
    if how.registered_model_name is not None:
        version = register_model(
            logged.model_uri, how.registered_model_name, how.await_registration_for
        ).version
    return info_of(
        described,
        logged.model_uri,
        registered_model_version=None if version is None else int(version),
        **facts_of(logged),
    )


def _send(client: Client, request: SaveRequest, logged: LoggedModel, staged: Path) -> Model:
    """Save into `staged`, send it all, and last the signature over what was sent."""
    from headrace.artifacts.transfer import upload_file, upload_folder

    identity = {
        "model_id": logged.model_id,
        "run_id": logged.source_run_id or None,
        "artifact_path": logged.artifact_location,
    }
    described = write_model(request, staged, identity, by_reference=True)
    place = client._place(logged.artifact_location)
    digests = upload_folder(place.store, staged, place.path)
    bundle = signature_over(logged.name, digests)
    if bundle is not None:
        (staged / SIGNATURE_FILE).write_bytes(bundle)
        upload_file(place.store, staged / SIGNATURE_FILE, place.below(SIGNATURE_FILE).path)
    return described


def _logged_model(
    client: Client, name: str | None, how: LogRequest, run: Run | None
) -> LoggedModel:
    """The logged model to fill; it takes the parameters of the run that makes it."""
    if how.model_id is not None:
        return client.get_logged_model(how.model_id)
    params = {} if run is None else {param.key: param.value for param in run.data.params}
    return initialize_logged_model(
        name or DEFAULT_NAME,
        None if run is None else run.info.run_id,
        _texts(how.tags),
        {**params, **_texts(how.params)},
        how.model_type,
        None if run is None else run.info.experiment_id,
    )


def _link(client: Client, run: Run, model_id: str, how: LogRequest) -> None:
    """Say that the run made the model, and of its metrics of this step that they are the model's.

    Metrics that are another model's already stay so. Both are logged as anything of a run is, so
    nobody waits for it.
    """
    run_id = run.info.run_id
    client.log_outputs(run_id, [ModelOutput(model_id=model_id, step=how.step)])
    points = _points_at(client, run, how.step) if how.metrics is None else how.metrics
    linked = [
        Metric(
            key=each.key,
            value=each.value,
            timestamp=each.timestamp,
            step=each.step,
            model_id=model_id,
            dataset_name=each.dataset_name,
            dataset_digest=each.dataset_digest,
        )
        for each in points
        if each.model_id is None
    ]
    if linked:
        client.log_batch(run_id, metrics=linked)


def _points_at(client: Client, run: Run, step: int) -> list[Metric]:
    """What a run has measured at a step."""
    found: list[Metric] = []
    for metric in run.data.metrics:
        if metric.step == step:
            found.append(metric)
        elif metric.step > step:
            points = client.get_metric_history(run.info.run_id, metric.key)
            found.extend(point for point in points if point.step == step)
    return found


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: str(value) for key, value in (values or {}).items()}
