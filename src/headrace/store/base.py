"""The `Store` interface: everything that is tracked, behind seven narrow stores.

Promises that every implementation keeps, and that `headrace.testing` checks:

- Methods are synchronous and may be called from any thread. One request struct in, one answer
  struct out.
- A write that has returned is committed: it survives the death of the process, and later reads,
  from any process, see it. A write that raises has changed nothing.
- Sending a write again that may have arrived already is harmless where the protocol allows it:
  points of metrics, equal parameters, tags, inputs and outputs, and making a run, a logged model
  or a model version with an id or number of the caller's.
- Deleting is soft for experiments, runs and logged models: they can still be asked for, but not
  written, and experiments and runs can be restored. It is final for registered models and model
  versions.
- Errors: `InvalidRequest` for what the caller got wrong, `NotFound`, `AlreadyExists`,
  `InvalidState`, and `Unavailable` when the database cannot be reached or written now; nothing
  else, whatever the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from headrace.protocol import (
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
)
from headrace.protocol.wire import Empty
from headrace.store.users import UserStore

Req = TypeVar("Req", contravariant=True)
Ans = TypeVar("Ans", covariant=True)


@runtime_checkable
class Submittable(Protocol[Req, Ans]):
    """A write that need not be waited for: how the server keeps its event loop free.

    `submit` queues the request and returns; `done` is called once, from another thread, with
    the answer or the error, after the commit. Calling the method itself submits and waits.
    """

    def __call__(self, request: Req, /) -> Ans: ...

    def submit(self, request: Req, done: Callable[[Any, BaseException | None], None]) -> None:
        """Queue `request`; `done(answer, None)` or `done(None, error)` follows."""
        ...


class ExperimentStore(Protocol):
    """Experiments. The experiment "0", named Default, is always there."""

    def create(self, request: experiments.CreateExperiment, /) -> experiments.ExperimentId:
        """Make an experiment. AlreadyExists if the name is taken, by a deleted one too."""
        ...

    def get(self, request: experiments.ExperimentRef, /) -> experiments.ExperimentAnswer:
        """Return an experiment, deleted ones too. NotFound."""
        ...

    def get_by_name(self, request: experiments.ExperimentByName, /) -> experiments.ExperimentAnswer:
        """Return the experiment of this name, deleted ones too. NotFound."""
        ...

    def search(self, request: experiments.SearchExperiments, /) -> experiments.ExperimentPage:
        """Return a page of experiments. InvalidRequest for a bad filter, order or page token."""
        ...

    def update(self, request: experiments.UpdateExperiment, /) -> Empty:
        """Rename. NotFound; AlreadyExists; InvalidState if it is deleted."""
        ...

    def delete(self, request: experiments.ExperimentRef, /) -> Empty:
        """Delete it and its runs, softly. NotFound, also if it is deleted already."""
        ...

    def restore(self, request: experiments.ExperimentRef, /) -> Empty:
        """Restore it and the runs that its deletion took along. NotFound unless it is deleted."""
        ...

    def set_tag(self, request: experiments.SetExperimentTag, /) -> Empty:
        """Write a tag. NotFound; InvalidRequest if it is deleted."""
        ...

    def delete_tag(self, request: experiments.DeleteExperimentTag, /) -> Empty:
        """Remove a tag. NotFound, also if the tag is not there."""
        ...


class RunStore(Protocol):
    """Runs, their parameters and tags. Only an active run may be written (InvalidRequest)."""

    def create(self, request: runs.CreateRun, /) -> runs.RunAnswer:
        """Make a run, or return the one with `request.run_id`.

        NotFound; InvalidRequest; AlreadyExists for an id that is in another experiment.
        """
        ...

    def get(self, request: runs.RunRef, /) -> runs.RunAnswer:
        """Return a run, whole, deleted ones too. NotFound."""
        ...

    def update(self, request: runs.UpdateRun, /) -> runs.RunInfoAnswer:
        """Change status, end time, name. NotFound; InvalidRequest if it is deleted."""
        ...

    def delete(self, request: runs.RunRef, /) -> Empty:
        """Delete softly; deleting twice is harmless. NotFound."""
        ...

    def restore(self, request: runs.RunRef, /) -> Empty:
        """Make it active again; restoring twice is harmless. NotFound."""
        ...

    def search(self, request: runs.SearchRuns, /) -> runs.RunPage:
        """Return a page of runs of the named experiments (none named: an empty page)."""
        ...

    def log_param(self, request: runs.LogParam, /) -> Empty:
        """Write a parameter. InvalidRequest if it has another value already."""
        ...

    def set_tag(self, request: runs.SetTag, /) -> Empty:
        """Write a tag; `mlflow.runName` renames the run."""
        ...

    def delete_tag(self, request: runs.DeleteTag, /) -> Empty:
        """Remove a tag. NotFound if it is not there."""
        ...

    def log_batch(self, request: runs.LogBatch, /) -> Empty:
        """Write metrics, parameters and tags: all or none."""
        ...

    def log_model(self, request: runs.LogModelNote, /) -> Empty:
        """Append a model's description to the run's model history tag."""
        ...


class MetricStore(Protocol):
    """Points of metrics."""

    def log(self, request: metrics.LogMetric, /) -> Empty:
        """Add a point; the same point twice is one. NotFound; InvalidRequest if run deleted."""
        ...

    def history(self, request: metrics.GetMetricHistory, /) -> metrics.MetricPage:
        """Return points by (timestamp, step, value). NotFound if the run is not there."""
        ...

    def history_bulk_interval(
        self, request: metrics.GetMetricHistoryBulkInterval, /
    ) -> metrics.MetricPage:
        """Return points of several runs by (run, step, timestamp), thinned. NotFound."""
        ...

    def history_bulk(self, request: metrics.GetMetricHistoryBulk, /) -> metrics.MetricPage:
        """Return points of several runs by (run, timestamp, step, value), cut at the limit."""
        ...


class DatasetStore(Protocol):
    """What runs take in and make."""

    def log_inputs(self, request: datasets.LogInputs, /) -> Empty:
        """Note data sets and models that a run takes in. NotFound for the run."""
        ...

    def log_outputs(self, request: datasets.LogOutputs, /) -> Empty:
        """Note models that a run makes. NotFound for the run."""
        ...

    def search(self, request: datasets.SearchDatasets, /) -> datasets.DatasetSummaries:
        """Return the data sets of experiments, up to 1,000."""
        ...


class LoggedModelStore(Protocol):
    """Logged models. Only those not deleted may be written (NotFound)."""

    def create(
        self, request: logged_models.CreateLoggedModel, /
    ) -> logged_models.LoggedModelAnswer:
        """Make a logged model, PENDING, or return the one with `request.model_id`.

        NotFound for the experiment; AlreadyExists for an id that is deleted or elsewhere.
        """
        ...

    def get(self, request: logged_models.GetLoggedModel, /) -> logged_models.LoggedModelAnswer:
        """Return a logged model. NotFound."""
        ...

    def finalize(
        self, request: logged_models.FinalizeLoggedModel, /
    ) -> logged_models.LoggedModelAnswer:
        """Set the status. NotFound."""
        ...

    def delete(self, request: logged_models.LoggedModelRef, /) -> Empty:
        """Delete softly. NotFound."""
        ...

    def search(self, request: logged_models.SearchLoggedModels, /) -> logged_models.LoggedModelPage:
        """Return a page of logged models of the named experiments."""
        ...

    def set_tags(self, request: logged_models.SetLoggedModelTags, /) -> Empty:
        """Write tags. NotFound."""
        ...

    def delete_tag(self, request: logged_models.DeleteLoggedModelTag, /) -> Empty:
        """Remove a tag. NotFound, also if the tag is not there."""
        ...

    def log_params(self, request: logged_models.LogLoggedModelParams, /) -> Empty:
        """Write parameters. InvalidRequest if one has another value already."""
        ...


class RegisteredModelStore(Protocol):
    """Registered models, their tags and aliases."""

    def create(
        self, request: registered_models.CreateRegisteredModel, /
    ) -> registered_models.RegisteredModelAnswer:
        """Make a registered model. AlreadyExists."""
        ...

    def get(
        self, request: registered_models.RegisteredModelRef, /
    ) -> registered_models.RegisteredModelAnswer:
        """Return a registered model. NotFound."""
        ...

    def update(
        self, request: registered_models.UpdateRegisteredModel, /
    ) -> registered_models.RegisteredModelAnswer:
        """Write the description. NotFound."""
        ...

    def rename(
        self, request: registered_models.RenameRegisteredModel, /
    ) -> registered_models.RegisteredModelAnswer:
        """Rename it, and its versions with it. NotFound; AlreadyExists."""
        ...

    def delete(self, request: registered_models.RegisteredModelRef, /) -> Empty:
        """Delete it and all its versions for good. NotFound."""
        ...

    def search(
        self, request: registered_models.SearchRegisteredModels, /
    ) -> registered_models.RegisteredModelPage:
        """Return a page of registered models, without prompts unless the filter asks for them."""
        ...

    def latest_versions(
        self, request: registered_models.GetLatestVersions, /
    ) -> model_versions.ModelVersionList:
        """Return the newest version of each stage. NotFound."""
        ...

    def set_tag(self, request: registered_models.SetRegisteredModelTag, /) -> Empty:
        """Write a tag. NotFound."""
        ...

    def delete_tag(self, request: registered_models.DeleteRegisteredModelTag, /) -> Empty:
        """Remove a tag; harmless if it is not there. NotFound for the model."""
        ...

    def set_alias(self, request: registered_models.SetAlias, /) -> Empty:
        """Point an alias at a version. NotFound."""
        ...

    def delete_alias(self, request: registered_models.AliasRef, /) -> Empty:
        """Remove an alias; harmless if it is not there. NotFound for the model."""
        ...

    def get_by_alias(
        self, request: registered_models.AliasRef, /
    ) -> model_versions.ModelVersionAnswer:
        """Return the version behind an alias, or behind `latest`. InvalidRequest if none."""
        ...


class ModelVersionStore(Protocol):
    """Versions of registered models. A version's number is never given twice."""

    def create(
        self, request: model_versions.CreateModelVersion, /
    ) -> model_versions.ModelVersionAnswer:
        """Make the next version, or `request.version`, which is returned if it is there.

        NotFound for the model or for what `source` names; AlreadyExists for a version that is
        there with another source.
        """
        ...

    def get(self, request: model_versions.ModelVersionRef, /) -> model_versions.ModelVersionAnswer:
        """Return a version. NotFound."""
        ...

    def update(
        self, request: model_versions.UpdateModelVersion, /
    ) -> model_versions.ModelVersionAnswer:
        """Write the description. NotFound."""
        ...

    def delete(self, request: model_versions.ModelVersionRef, /) -> Empty:
        """Delete a version and its aliases. NotFound."""
        ...

    def search(
        self, request: model_versions.SearchModelVersions, /
    ) -> model_versions.ModelVersionPage:
        """Return a page of versions."""
        ...

    def download_uri(
        self, request: model_versions.ModelVersionRef, /
    ) -> model_versions.DownloadUri:
        """Return where a version's files lie. NotFound."""
        ...

    def transition_stage(
        self, request: model_versions.TransitionStage, /
    ) -> model_versions.ModelVersionAnswer:
        """Move a version to a stage, archiving others if asked. NotFound."""
        ...

    def set_tag(self, request: model_versions.SetModelVersionTag, /) -> Empty:
        """Write a tag. NotFound."""
        ...

    def delete_tag(self, request: model_versions.DeleteModelVersionTag, /) -> Empty:
        """Remove a tag; harmless if it is not there. NotFound for the version."""
        ...


@dataclass(frozen=True)
class Store:
    """All that is tracked. `close` waits for writes under way, then lets go of everything.

    A database also knows who may use a server on it; a server does not hand that out.
    """

    experiments: ExperimentStore
    runs: RunStore
    metrics: MetricStore
    datasets: DatasetStore
    logged_models: LoggedModelStore
    registered_models: RegisteredModelStore
    model_versions: ModelVersionStore
    close: Callable[[], None]
    users: UserStore | None = None
