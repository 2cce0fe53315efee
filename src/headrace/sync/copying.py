"""The copy as a whole: plan, then experiments, logged models, runs, and what is registered.

Things are made before what names them, and marked when all of them is there (`marks.py`), so a
copy may be killed at any point: the next one does what is missing. Nothing is deleted at the
destination but what this copy made there for something that is deleted at the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from headrace.errors import NotFound
from headrace.protocol import experiments
from headrace.protocol.logged_models import LoggedModel
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.runs import Run
from headrace.protocol.wire import Tag
from headrace.sync import marks
from headrace.sync.destination import Destination
from headrace.sync.files import FileCopier
from headrace.sync.ids import Ids
from headrace.sync.model_copy import ModelCopier, named_model
from headrace.sync.outcome import Outcome, Problem
from headrace.sync.plan import (
    ACTIVE,
    Choice,
    PlannedExperiment,
    PlannedModel,
    PlannedRun,
    Planner,
)
from headrace.sync.registry_copy import RegistryCopier, Wanted
from headrace.sync.run_copy import RunCopier, named
from headrace.sync.source import Source

T = TypeVar("T")

RUNS_AT_ONCE: Final = 8
FILES_AT_ONCE: Final = 4

Report = Callable[[int, int], None]
"""Called with the runs and logged models that are done, and how many there are to do."""


def copy(
    source: Source,
    destination: Destination,
    choice: Choice,
    *,
    dry: bool = False,
    report: Report = lambda _done, _total: None,
) -> Outcome:
    """Copy what `choice` names; with `dry` only say what would be done.

    What is refused is in the outcome, and the rest is copied. Raises what stops everything:
    Unavailable, Unauthenticated, PermissionDenied, TooManyRequests; NotFound for an experiment
    that was named in vain.
    """
    outcome = Outcome()
    with _pool(RUNS_AT_ONCE, "runs") as at_once, _pool(FILES_AT_ONCE, "files") as files_at_once:
        copying = _Copying(source, destination, choice, outcome, at_once, files_at_once)
        copying.work(dry=dry, report=report)
    # First, because what else is missing may follow from it.
    outcome.problems[:0] = [Problem(source.name, complaint) for complaint in source.complaints]
    for note in source.notes:
        outcome.note(note)
    return outcome


class _Copying:
    """One copy, step by step."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        choice: Choice,
        outcome: Outcome,
        at_once: ThreadPoolExecutor,
        files_at_once: ThreadPoolExecutor,
    ) -> None:
        self._source = source
        self._destination = destination
        self._choice = choice
        self._outcome = outcome
        self._at_once = at_once
        self._ids = Ids()
        self._planner = Planner(source, destination, self._ids, outcome, files_at_once)
        files = FileCopier(source, destination, outcome, files_at_once) if choice.files else None
        self._runs = RunCopier(source, destination, self._ids, outcome, files)
        self._models = ModelCopier(destination, self._ids, outcome, files)
        self._model_points: dict[str, list[Metric]] = {}
        self._done = 0
        self._total = 0
        self._report: Report = lambda _done, _total: None

    def work(self, *, dry: bool, report: Report) -> None:
        """All of it."""
        self._report = report
        planned = self._planner.plan(self._choice)
        self._total = sum(len(entry.runs) + len(entry.models) for entry in planned)
        there: list[PlannedExperiment] = []
        if dry:
            self._count(planned)
        else:
            there = [entry for entry in planned if self._make_experiment(entry)]
            for entry in there:
                self._make_runs(entry)
            for entry in there:
                self._make_models(entry)
            for entry in there:
                self._copy_runs(entry)
            self._log_points_left()
            for entry in there:
                self._fill_models(entry)
        registry = RegistryCopier(
            self._source, self._destination, self._ids, self._outcome, dry=dry
        )
        registry.copy(self._wanted(planned))
        for entry in there:
            what = f"the experiment '{entry.source.name}'"
            self._outcome.attempt(what, partial(self._finish_experiment, entry))

    def _count(self, planned: list[PlannedExperiment]) -> None:
        """What a dry run would have done."""
        for entry in planned:
            for run in entry.runs.values():
                self._outcome.count("runs", "new" if run.is_new else "updated")
            for model in entry.models.values():
                self._outcome.count("logged_models", "new" if model.is_new else "updated")

    def _make_experiment(self, planned: PlannedExperiment) -> bool:
        """The experiment at the destination; whether it is there."""
        if planned.there is not None:
            return True
        found = planned.source
        keeps = self._destination.keeps_ids
        tags = marks.copied_tags(found.tags)
        if planned.to_be_deleted:
            tags.append(Tag(marks.STATE_TAG, marks.WITH_DELETION))
        request = experiments.CreateExperiment(
            found.name,
            tags=tags,
            creation_time=found.creation_time if keeps else None,
            last_update_time=found.last_update_time if keeps else None,
        )
        made = self._outcome.attempt(
            f"the experiment '{found.name}'",
            partial(self._destination.store.experiments.create, request),
        )
        planned.experiment_id = made.experiment_id if made else ""
        return made is not None

    def _make_runs(self, planned: PlannedExperiment) -> None:
        """Where ids are the destination's own: make the runs first, so that all ids are known."""
        if self._destination.keeps_ids:
            return
        for run, todo in self._planned_runs(planned):
            if todo.run_id is None:
                make = partial(self._runs.make, run, planned.experiment_id)
                made = self._outcome.attempt(named(run), make)
                if made is not None:
                    todo.run_id = made.info.run_id

    def _make_models(self, planned: PlannedExperiment) -> None:
        for model, todo in self._planned_models(planned):
            if todo.is_new:
                if self._models.is_deleted_there(model):
                    self._deleted_there(planned, model)
                    continue
                make = partial(self._models.make, model, planned.experiment_id)
                if self._outcome.attempt(named_model(model), make) is None:
                    del planned.models[marks.model_origin(model)]
                    planned.complete = False
                    self._outcome.count("logged_models", "incomplete")
                    continue
            for run_id, point in self._models.points(model) if todo.facts else ():
                self._model_points.setdefault(run_id, []).append(point)

    def _deleted_there(self, planned: PlannedExperiment, model: LoggedModel) -> None:
        del planned.models[marks.model_origin(model)]
        self._outcome.count("logged_models", "unchanged")
        self._outcome.note(
            "Logged models that were deleted at the destination stay deleted there, whatever the "
            "source has of them."
        )

    def _copy_runs(self, planned: PlannedExperiment) -> None:
        def work(item: tuple[Run, PlannedRun]) -> None:
            run, todo = item
            points = self._model_points.pop(run.info.run_id, []) if todo.facts else []
            copy_run = partial(self._runs.copy, run, todo, planned.experiment_id, points)
            done = self._outcome.attempt(named(run), copy_run)
            planned.complete = planned.complete and bool(done)
            if done is None:
                self._outcome.count("runs", "incomplete")

        for todo in planned.runs.values():
            # The deletion of its experiment takes it along, and its restoration back.
            todo.delete = todo.delete and not planned.to_be_deleted
        for _ in self._each(work, self._planned_runs(planned)):
            self._advance()

    def _log_points_left(self) -> None:
        """Points of logged models whose runs have not changed otherwise."""
        for run_id, points in self._model_points.items():
            here = self._ids.run(run_id)
            try:
                info = self._destination.run(here).info
            except NotFound:
                continue  # a run of an experiment that was not asked for
            if info.lifecycle_stage == ACTIVE:
                self._runs.log_points(here, points, f"the run '{info.run_name}' ({run_id})")

    def _fill_models(self, planned: PlannedExperiment) -> None:
        def work(item: tuple[LoggedModel, PlannedModel]) -> None:
            model, todo = item
            fill = partial(self._models.fill, model, todo)
            done = self._outcome.attempt(named_model(model), fill)
            planned.complete = planned.complete and bool(done)
            if done is None:
                self._outcome.count("logged_models", "incomplete")

        for _ in self._each(work, self._planned_models(planned)):
            self._advance()

    def _finish_experiment(self, planned: PlannedExperiment) -> None:
        """Its tags and its mark; or its deletion, when nothing in it is missing."""
        found, there = planned.source, planned.there
        store = self._destination.store.experiments
        number = planned.experiment_id
        if planned.to_be_deleted:
            if planned.complete:
                store.delete_tag(experiments.DeleteExperimentTag(number, marks.STATE_TAG))
                store.delete(experiments.ExperimentRef(number))
            return
        mark = Tag(marks.STATE_TAG, marks.experiment_state(found))
        tags = marks.copied_tags(found.tags)
        known = {tag.key: tag.value for tag in (there.tags if there else tags)}
        if known.get(mark.key) == mark.value:
            return
        for tag in (*tags, mark):
            if known.get(tag.key) != tag.value:
                store.set_tag(experiments.SetExperimentTag(number, tag.key, tag.value))

    def _planned_runs(self, planned: PlannedExperiment) -> Iterator[tuple[Run, PlannedRun]]:
        """The runs to be copied, as the source shows them now, each once."""
        left = dict(planned.runs)
        if not left:
            return
        for run in self._source.runs(planned.source.experiment_id):
            todo = left.pop(marks.run_origin(run), None)
            if todo is not None:
                yield run, todo

    def _planned_models(
        self, planned: PlannedExperiment
    ) -> Iterator[tuple[LoggedModel, PlannedModel]]:
        left = dict(planned.models)
        if not left:
            return
        for model in self._source.logged_models(planned.source.experiment_id):
            todo = left.pop(marks.model_origin(model), None)
            if todo is not None:
                yield model, todo

    def _wanted(self, planned: list[PlannedExperiment]) -> Wanted | None:
        """Which versions of registered models belong to the experiments that were asked for."""
        if not self._choice.experiments:
            return None
        chosen: set[str] = set().union(*(entry.ids for entry in planned))

        def wanted(version: ModelVersion) -> bool:
            return version.run_id in chosen or version.model_id in chosen

        return wanted

    def _each(self, work: Callable[[T], None], items: Iterable[T]) -> Iterator[None]:
        """Do `work` on all items, some at once, and tell of each when it is done."""
        pending: set[Future[None]] = set()
        for item in items:
            if len(pending) >= 2 * RUNS_AT_ONCE:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
            pending.add(self._at_once.submit(work, item))
        for future in as_completed(pending):
            yield future.result()

    def _advance(self) -> None:
        self._done += 1
        self._report(self._done, self._total)


@contextmanager
def _pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that, when the block raises, take up nothing more."""
    pool = ThreadPoolExecutor(threads, f"headrace-sync-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
