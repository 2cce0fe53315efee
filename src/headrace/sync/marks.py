"""The tags by which a copy knows what it has copied, and from where.

A thing is marked when all of it is there, with a digest of what the source showed. The next copy
asks the destination for its marks, a page at a time, and passes over what has not changed; what
has no mark, because the copy was interrupted, is copied again, which is harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from headrace.protocol import codec
from headrace.protocol.experiments import Experiment
from headrace.protocol.logged_models import LoggedModel
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import RegisteredModel
from headrace.protocol.runs import RUN_ID_TAG, RUN_NAME_TAG, Run
from headrace.protocol.wire import Param, Tag

STATE_TAG: Final = "headrace.sync.state"
"""The digest of a thing as it was when all of it had been copied, but for its files."""
FILES_TAG: Final = "headrace.sync.files"
"""The digest of the names and sizes of its files; no tag stands for no files."""
MODEL_ID_TAG: Final = "headrace.modelId"
"""As RUN_ID_TAG for a run: the id of a logged model before, where ids are given anew."""
VERSION_TAG: Final = "headrace.modelVersion"
"""The same for the number of a version of a registered model."""
_VERSIONS_TAG: Final = "mlflow.modelVersions"
"""The list of a logged model's registrations, which stores keep by themselves."""
OWN_TAGS: Final = frozenset(
    {STATE_TAG, FILES_TAG, RUN_ID_TAG, MODEL_ID_TAG, VERSION_TAG, _VERSIONS_TAG}
)

WITH_DELETION: Final = "to be deleted"
"""The state of an experiment that was made here only to be deleted when all of it is there."""
NO_FILES: Final = ""

Pair = Tag | Param


def value_of(tags: Iterable[Tag], key: str) -> str:
    """The value of a tag, "" if it is not there."""
    return next((tag.value for tag in tags if tag.key == key), "")


def copied_tags(tags: Iterable[Tag]) -> list[Tag]:
    """The tags that are copied: all but those that copies and stores write by themselves."""
    return [tag for tag in tags if tag.key not in OWN_TAGS]


def run_origin(run: Run) -> str:
    """The id that a run had where it was made."""
    return value_of(run.data.tags, RUN_ID_TAG) or run.info.run_id


def model_origin(model: LoggedModel) -> str:
    """The id that a logged model had where it was made."""
    return value_of(model.info.tags, MODEL_ID_TAG) or model.info.model_id


def version_origin(version: ModelVersion) -> str:
    """The number that a version had where it was made."""
    return value_of(version.tags, VERSION_TAG) or version.version


def experiment_state(experiment: Experiment) -> str:
    """The digest of what is copied of an experiment itself."""
    return _digest(_pairs(experiment.tags))


def run_state(run: Run) -> str:
    """The digest of a run as its source shows it, without its files and where they lie."""
    info = run.info
    outputs = run.outputs.model_outputs if run.outputs else []
    return _digest(
        [info.status, info.start_time, info.end_time, info.run_name, info.user_id],
        _pairs(run.data.params),
        _pairs(tag for tag in run.data.tags if tag.key != RUN_NAME_TAG),
        _points(run.data.metrics),
        sorted(
            [[codec.encode(used.dataset).decode(), _pairs(used.tags)]]
            for used in run.inputs.dataset_inputs
        ),
        sorted(used.model_id for used in run.inputs.model_inputs),
        sorted((made.model_id, made.step) for made in outputs),
    )


def model_state(model: LoggedModel) -> str:
    """The digest of a logged model, without its files and its registrations."""
    info = model.info
    return _digest(
        [info.name, info.model_type or "", info.status, info.source_run_id],
        _pairs(info.tags),
        _pairs(model.data.params),
        _points(model.data.metrics),
    )


def registered_model_state(model: RegisteredModel) -> str:
    """The digest of a registered model, without its versions."""
    aliases = sorted((alias.alias, alias.version) for alias in model.aliases)
    return _digest([model.description or ""], _pairs(model.tags), aliases)


def version_state(version: ModelVersion) -> str:
    """The digest of a version."""
    return _digest(
        [version.description, version.current_stage, version.source, version.run_id],
        _pairs(version.tags),
    )


def files_state(files: Iterable[tuple[str, int]]) -> str:
    """The digest of the names and sizes of files."""
    found = sorted(files)
    return _digest(found) if found else NO_FILES


def _digest(*parts: Any) -> str:
    return hashlib.sha256(codec.encode(list(parts))).hexdigest()[:32]


def _pairs(pairs: Iterable[Pair]) -> list[tuple[str, str]]:
    return sorted((pair.key, pair.value) for pair in pairs if pair.key not in OWN_TAGS)


def _points(points: Iterable[Metric]) -> list[list[Any]]:
    found = [
        [p.key, p.run_id or "", p.dataset_name or "", p.step, p.timestamp, p.value] for p in points
    ]
    # By text: NaN has no place in an order of numbers.
    return sorted(found, key=repr)
