"""What a copy reads from: anything that can show all it holds in the protocol's structs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from headrace.artifacts.base import ReadableArtifacts
from headrace.protocol import (
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
)


class Files(NamedTuple):
    """Files to copy: those below the folder `path` of a place that is only read.

    For a folder on this machine: `Files(ReadOnlyFolder(folder), "")` (artifacts/read_only.py);
    `open_artifacts` must not be used on it, because it makes a folder of its own there.
    """

    store: ReadableArtifacts
    path: str


class Source(Protocol):
    """A place to copy from. It is only read: nothing in it changes, not by a byte.

    Methods may be called from any thread, several at once; one iterator stays in one thread.
    Iterators hold a page at a time, never everything. Each may be asked for again.

    Whatever cannot be read raises a `HeadraceError` that says what and why: NotFound for what
    has gone meanwhile, InvalidState for damaged content, Unavailable for what may work later. A
    single damaged run is better left out of `runs` and told in `complaints` than raised.
    """

    name: str
    """For messages: the address without passwords."""

    complaints: list[str]
    """What could not be read and was left out, one line each; grows while reading."""

    notes: list[str]
    """What a person should know although nothing is missing, one line each; often empty."""

    def experiments(self) -> Iterator[experiments.Experiment]:
        """All experiments, deleted ones too (`lifecycle_stage` tells), with their tags."""
        ...

    def runs(self, experiment_id: str) -> Iterator[runs.Run]:
        """All runs of an experiment, deleted ones too: info, latest metrics, params, tags,
        inputs (data sets with tags, models), outputs.
        """
        ...

    def history(self, run_id: str, key: str) -> Iterator[metrics.Metric]:
        """All points of a metric of a run, each once, in any order.

        `model_id`, `dataset_name` and `dataset_digest` are set where the source knows them.
        """
        ...

    def logged_models(self, experiment_id: str) -> Iterator[logged_models.LoggedModel]:
        """The logged models of an experiment, with params, tags and the metrics that are known.

        Deleted ones are left out: they cannot be restored, and the protocol cannot show which
        they are.
        """
        ...

    def registered_models(self) -> Iterator[registered_models.RegisteredModel]:
        """All registered models, prompts too, with tags and aliases; no need for
        `latest_versions`.
        """
        ...

    def model_versions(self, name: str) -> Iterator[model_versions.ModelVersion]:
        """The versions of a registered model, with tags, by rising version."""
        ...

    def artifacts(self, uri: str) -> Files | None:
        """Where the files behind an artifact URI of this source lie; None if they cannot be
        reached from here (another machine's folder, a cloud without a reader).
        """
        ...

    def close(self) -> None:
        """Let go of connections and files. May be called twice."""
        ...


@runtime_checkable
class ShowsRunsInPart(Protocol):
    """A source whose `runs` leave something out that can be had for one run at a time."""

    def whole_run(self, run: runs.Run) -> runs.Run:
        """The run with all that it has. NotFound if it has gone meanwhile."""
        ...
