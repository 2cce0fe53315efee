"""What a copy has to do: what is at the source, compared with what is at the destination."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from headrace.errors import NotFound
from headrace.protocol.experiments import Experiment
from headrace.protocol.runs import Run
from headrace.sync import marks
from headrace.sync.destination import Destination, KnownRun
from headrace.sync.files import listing
from headrace.sync.ids import Ids
from headrace.sync.outcome import Outcome
from headrace.sync.source import Source

ACTIVE: Final = "active"
_LISTED_AT_ONCE: Final = 256
_DELETED_THERE: Final = (
    "Runs that were deleted at the destination stay deleted there, whatever the source has of them."
)
_DELETED_AT_SOURCE: Final = (
    "Runs that are deleted at the source, but were copied before or restored since, stay at the "
    "destination."
)


@dataclass(frozen=True)
class Choice:
    """What a person wants to be copied: the experiments of these names, or all."""

    experiments: Sequence[str] = ()
    files: bool = True


@dataclass
class PlannedRun:
    """A run to be copied: its facts, or only the files that have changed."""

    run_id: str | None
    """Its id at the destination, once it is there."""
    is_new: bool
    facts: bool = True
    delete: bool = False


@dataclass
class PlannedModel:
    """A logged model to be copied: its facts, or only the files that have changed."""

    is_new: bool
    facts: bool = True


@dataclass
class PlannedExperiment:
    """An experiment, and what of it is to be copied, by the ids that things had where made."""

    source: Experiment
    there: Experiment | None
    experiment_id: str = ""
    """The id at the destination."""
    runs: dict[str, PlannedRun] = field(default_factory=dict)
    models: dict[str, PlannedModel] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    """The ids at the source of all its runs and models, where only some experiments are copied."""
    complete: bool = True
    """Whether all that was tried so far is there."""

    @property
    def to_be_deleted(self) -> bool:
        """Whether it is at the destination only because of this copy, and deleted in the end."""
        if self.source.lifecycle_stage == ACTIVE:
            return False
        there = self.there
        return there is None or marks.value_of(there.tags, marks.STATE_TAG) == marks.WITH_DELETION


class Planner:
    """Compares, page by page; only what has to be done is kept."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        ids: Ids,
        outcome: Outcome,
        at_once: Executor,
    ) -> None:
        self._source = source
        self._destination = destination
        self._ids = ids
        self._outcome = outcome
        self._at_once = at_once

    def plan(self, choice: Choice) -> list[PlannedExperiment]:
        """All that has to be done. Raises NotFound for an experiment that was named in vain."""
        planned = []
        for experiment in self._chosen(choice):
            found = self._outcome.attempt(
                f"the experiment '{experiment.name}'",
                partial(self._whole, experiment, choice),
            )
            if found is not None:
                planned.append(found)
        return planned

    def _chosen(self, choice: Choice) -> list[Experiment]:
        found = sorted(self._source.experiments(), key=lambda e: int_or_zero(e.experiment_id))
        missing = set(choice.experiments) - {experiment.name for experiment in found}
        if missing:
            names = ", ".join(repr(experiment.name) for experiment in found[:20])
            raise NotFound(
                f"{self._source.name} has no experiment named "
                f"{', '.join(map(repr, sorted(missing)))}. It has: {names or 'none'}."
            )
        return [e for e in found if not choice.experiments or e.name in choice.experiments]

    def _whole(self, experiment: Experiment, choice: Choice) -> PlannedExperiment | None:
        planned = self._experiment(experiment)
        if planned is not None:
            self._runs(planned, choice)
            self._models(planned, choice)
        return planned

    def _experiment(self, experiment: Experiment) -> PlannedExperiment | None:
        there = self._destination.experiment(experiment.name)
        planned = PlannedExperiment(experiment, there)
        if there is None:
            self._outcome.count("experiments", "new")
            return planned
        planned.experiment_id = there.experiment_id
        if there.lifecycle_stage != ACTIVE:
            if experiment.lifecycle_stage == ACTIVE:
                self._outcome.count("experiments", "incomplete")
                self._outcome.problem(
                    f"the experiment '{experiment.name}'",
                    "it is deleted at the destination. Restore it there, or delete it at the "
                    "source too.",
                )
            else:
                self._outcome.count("experiments", "unchanged")
            return None
        state = marks.value_of(there.tags, marks.STATE_TAG)
        same = state in (marks.experiment_state(experiment), marks.WITH_DELETION)
        if not state:
            found = {(tag.key, tag.value) for tag in there.tags}
            copied = marks.copied_tags(experiment.tags)
            same = all((tag.key, tag.value) in found for tag in copied)
        self._outcome.count("experiments", "unchanged" if same else "updated")
        if experiment.lifecycle_stage != ACTIVE and not planned.to_be_deleted:
            self._outcome.note(
                f"The experiment '{experiment.name}' is deleted at the source and stays at the "
                "destination."
            )
        return planned

    def _runs(self, planned: PlannedExperiment, choice: Choice) -> None:
        known = self._destination.known_runs(planned.experiment_id) if planned.there else {}
        same: list[tuple[Run, KnownRun]] = []
        for run in self._source.runs(planned.source.experiment_id):
            origin = marks.run_origin(run)
            if origin in planned.runs:
                continue
            if choice.experiments:
                planned.ids.add(run.info.run_id)
            there = known.get(origin)
            self._ids.note_run(run.info.run_id, there.run_id if there else origin)
            if self._plan_run(planned, run, there):
                continue
            if choice.files and there is not None and not there.deleted:
                same.append((run, there))
            else:
                self._outcome.count("runs", "unchanged")
            if len(same) >= _LISTED_AT_ONCE:
                self._runs_of_other_files(planned, same)
        self._runs_of_other_files(planned, same)

    def _plan_run(self, planned: PlannedExperiment, run: Run, there: KnownRun | None) -> bool:
        """Whether the run has to be copied; then it is in the plan."""
        gone = run.info.lifecycle_stage != ACTIVE
        origin = marks.run_origin(run)
        if there is None:
            planned.runs[origin] = PlannedRun(None, is_new=True, delete=gone)
            return True
        if there.deleted:
            if not gone:
                self._outcome.note(_DELETED_THERE)
            return False
        if gone and there.state and not planned.to_be_deleted:
            self._outcome.note(_DELETED_AT_SOURCE)
        if there.state == marks.run_state(run):
            return False
        delete = gone and not there.state
        planned.runs[origin] = PlannedRun(there.run_id, is_new=False, delete=delete)
        return True

    def _runs_of_other_files(
        self, planned: PlannedExperiment, same: list[tuple[Run, KnownRun]]
    ) -> None:
        """Plan those of the runs whose facts are the same that have other files; empty the list."""
        states = self._at_once.map(self._files_state, [run.info.artifact_uri for run, _ in same])
        for (run, there), state in zip(same, states, strict=True):
            if state is None or state != there.files:
                planned.runs[marks.run_origin(run)] = PlannedRun(
                    there.run_id, is_new=False, facts=False
                )
            else:
                self._outcome.count("runs", "unchanged")
        same.clear()

    def _models(self, planned: PlannedExperiment, choice: Choice) -> None:
        known = self._destination.known_models(planned.experiment_id) if planned.there else {}
        for model in self._source.logged_models(planned.source.experiment_id):
            origin = marks.model_origin(model)
            if choice.experiments:
                planned.ids.add(model.info.model_id)
            there = known.get(origin)
            self._ids.note_model(model.info.model_id, there.model_id if there else origin)
            if there is None or there.state != marks.model_state(model):
                planned.models[origin] = PlannedModel(is_new=there is None)
            elif choice.files and self._files_state(model.info.artifact_uri) != there.files:
                planned.models[origin] = PlannedModel(is_new=False, facts=False)
            else:
                self._outcome.count("logged_models", "unchanged")

    def _files_state(self, uri: str) -> str | None:
        """The digest of the files behind an artifact URI; None if they cannot be listed."""

        def state() -> str | None:
            files = self._source.artifacts(uri)
            return None if files is None else marks.files_state(listing(files))

        return self._outcome.attempt(f"the files at {uri}", state)


def int_or_zero(text: str) -> int:
    """The number in a text; 0 if there is none, which sorts it first."""
    return int(text) if text.isdecimal() else 0
