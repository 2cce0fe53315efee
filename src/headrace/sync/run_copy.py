"""One run to the destination: its facts, its points, its files, and last its mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from headrace.errors import HeadraceError, InvalidRequest
from headrace.protocol import datasets, limits, runs
from headrace.protocol.metrics import Metric
from headrace.protocol.wire import Param, Tag
from headrace.sync import marks
from headrace.sync.destination import Destination
from headrace.sync.files import FileCopier
from headrace.sync.ids import Ids
from headrace.sync.outcome import FATAL, Outcome
from headrace.sync.plan import PlannedRun
from headrace.sync.source import ShowsRunsInPart, Source

Item = Param | Tag | Metric

_MLFLOW_PARAM_LENGTH: Final = 6000
_MLFLOW_TAG_LENGTH: Final = 8000
_SOURCE_ONLY: Final = frozenset({runs.RUN_NAME_TAG, *marks.OWN_TAGS})


class RunCopier:
    """Copies runs, each from its start to its mark; several threads may do so at once."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        ids: Ids,
        outcome: Outcome,
        files: FileCopier | None,
    ) -> None:
        self._source = source
        self._destination = destination
        self._runs = destination.store.runs
        self._ids = ids
        self._outcome = outcome
        self._files = files

    def make(self, run: runs.Run, experiment_id: str) -> runs.Run:
        """The run at the destination, empty; one that has its id already is that one."""
        origin = marks.run_origin(run)
        keeps = self._destination.keeps_ids
        made = self._runs.create(
            runs.CreateRun(
                experiment_id=experiment_id,
                user_id=run.info.user_id or None,
                run_name=run.info.run_name or None,
                start_time=run.info.start_time,
                tags=[] if keeps else [Tag(runs.RUN_ID_TAG, origin)],
                run_id=origin if keeps else None,
            )
        ).run
        self._ids.note_run(run.info.run_id, made.info.run_id)
        return made

    def copy(
        self,
        run: runs.Run,
        planned: PlannedRun,
        experiment_id: str,
        more_points: Sequence[Metric] = (),
    ) -> bool:
        """Copy a run; whether all of it is there now.

        `more_points` are points of it that only a logged model knows of. What is refused becomes
        a problem, and the run gets no mark.
        """
        if planned.run_id is None:
            there = self.make(run, experiment_id)
        else:
            there = self._destination.run(planned.run_id)
        news: list[Tag] = []
        complete = not planned.facts or self._facts(self._whole(run), there, more_points)
        if complete:
            news.append(Tag(marks.STATE_TAG, marks.run_state(run)))
        if self._files is not None:
            uris = (run.info.artifact_uri, there.info.artifact_uri)
            files = self._files.copy(*uris, named(run))
            complete = complete and files is not None
            news.append(Tag(marks.FILES_TAG, files or marks.NO_FILES))
        known = {tag.key: tag.value for tag in there.data.tags}
        news = [tag for tag in news if known.get(tag.key, "") != tag.value]
        if news:
            self._runs.log_batch(runs.LogBatch(run_id=there.info.run_id, tags=news))
        if planned.delete:
            self._runs.delete(runs.RunRef(there.info.run_id))
        how = "new" if planned.is_new else "updated"
        self._outcome.count("runs", how if complete else "incomplete")
        return complete

    def log_points(self, run_id: str, points: Iterable[Metric], what: str) -> bool:
        """Send points to the run `run_id` of the destination; whether all were taken."""
        results = [
            self._send(run_id, batch, what) for batch in _batches((), (), self._linked(points))
        ]
        return all(results)

    def _whole(self, run: runs.Run) -> runs.Run:
        return self._source.whole_run(run) if isinstance(self._source, ShowsRunsInPart) else run

    def _facts(self, run: runs.Run, there: runs.Run, more_points: Sequence[Metric]) -> bool:
        """Everything but the files; whether all of it was taken."""
        what = named(run)
        run_id = there.info.run_id
        complete = self._agrees_on_params(run, there, what)
        if not self._destination.keeps_ids:
            self._tell_what_is_cut(run)
        points = self._linked(self._points(run, more_points))
        known = {param.key for param in there.data.params}
        params = [param for param in run.data.params if param.key not in known]
        for batch in _batches(params, self._new_tags(run, there), points):
            complete = self._send(run_id, batch, what) and complete
        for note in (self._inputs, self._outputs):
            done = self._outcome.attempt(what, partial(note, run, run_id))
            complete = done is not None and complete
        done = self._outcome.attempt(what, partial(self._end, run, there))
        return done is not None and complete

    def _agrees_on_params(self, run: runs.Run, there: runs.Run, what: str) -> bool:
        """Whether no parameter has another value at the destination; those that do are problems."""
        known = {param.key: param.value for param in there.data.params}
        differing = [p for p in run.data.params if known.get(p.key, p.value) != p.value]
        for param in differing:
            self._outcome.problem(
                f"the parameter '{param.key}' of {what}",
                f"it is {_short(known[param.key])} at the destination already and cannot become "
                f"{_short(param.value)}: a parameter is written once.",
            )
        return not differing

    def _tell_what_is_cut(self, run: runs.Run) -> None:
        """MLflow's server takes texts of any length and keeps their beginning."""
        for pairs, limit in (
            (run.data.params, _MLFLOW_PARAM_LENGTH),
            (run.data.tags, _MLFLOW_TAG_LENGTH),
        ):
            for pair in pairs:
                if len(pair.value) > limit:
                    self._outcome.note(
                        f"MLflow's server keeps {limit:,} characters of {_kind(pair)} of "
                        f"{named(run)}, which has {len(pair.value):,}."
                    )

    def _new_tags(self, run: runs.Run, there: runs.Run) -> list[Tag]:
        known = {tag.key: tag.value for tag in there.data.tags}
        tags = [
            self._ids.tag(tag, run.info.run_id)
            for tag in run.data.tags
            if tag.key not in _SOURCE_ONLY
        ]
        return [tag for tag in tags if known.get(tag.key) != tag.value]

    def _points(self, run: runs.Run, more_points: Sequence[Metric]) -> Iterator[Metric]:
        for latest in run.data.metrics:
            yield from self._source.history(run.info.run_id, latest.key)
        yield from more_points

    def _linked(self, points: Iterable[Metric]) -> Iterator[Metric]:
        """Points with the ids of models as they are at the destination."""
        for point in points:
            if point.run_id is None and point.model_id is None:
                yield point
                continue
            yield Metric(
                point.key,
                point.value,
                point.timestamp,
                point.step,
                model_id=self._ids.model_there(point.model_id),
                dataset_name=point.dataset_name,
                dataset_digest=point.dataset_digest,
            )

    def _inputs(self, run: runs.Run, run_id: str) -> bool:
        if run.inputs.dataset_inputs or run.inputs.model_inputs:
            models = [
                datasets.ModelInput(self._ids.model(used.model_id))
                for used in run.inputs.model_inputs
            ]
            request = datasets.LogInputs(run_id, run.inputs.dataset_inputs, models)
            self._destination.store.datasets.log_inputs(request)
        return True

    def _outputs(self, run: runs.Run, run_id: str) -> bool:
        if run.outputs and run.outputs.model_outputs:
            models = [
                datasets.ModelOutput(self._ids.model(made.model_id), made.step)
                for made in run.outputs.model_outputs
            ]
            self._destination.store.datasets.log_outputs(datasets.LogOutputs(run_id, models))
        return True

    def _end(self, run: runs.Run, there: runs.Run) -> bool:
        """Status, end and name, if they differ."""
        wanted, found = run.info, there.info
        name = wanted.run_name or found.run_name
        if (wanted.status, wanted.end_time, name) != (found.status, found.end_time, found.run_name):
            self._runs.update(
                runs.UpdateRun(
                    run_id=found.run_id,
                    status=wanted.status,
                    end_time=wanted.end_time,
                    run_name=name,
                )
            )
        return True

    def _send(self, run_id: str, items: Sequence[Item], what: str) -> bool:
        """Write items to a run; whether all were taken. What is refused is found by halving."""
        try:
            self._runs.log_batch(_batch(run_id, items))
            self._outcome.sent(points=sum(isinstance(item, Metric) for item in items))
            return True
        except FATAL:
            raise
        except InvalidRequest as error:
            if len(items) == 1:
                self._outcome.problem(f"{_kind(items[0])} of {what}", error.message)
                return False
            middle = len(items) // 2
            first = self._send(run_id, items[:middle], what)
            return self._send(run_id, items[middle:], what) and first
        except HeadraceError as error:
            self._outcome.problem(what, error.message)
            return False


def named(run: runs.Run) -> str:
    """A run, for messages."""
    return f"the run '{run.info.run_name}' ({run.info.run_id})"


def _batches(
    params: Sequence[Param], tags: Sequence[Tag], points: Iterator[Metric]
) -> Iterator[list[Item]]:
    """All of it in as few batches as may be sent."""
    at = 0
    while True:
        some: list[Item] = list(params[at : at + limits.MAX_PARAMS_PER_BATCH])
        some += tags[at : at + limits.MAX_TAGS_PER_BATCH]
        room = min(limits.MAX_METRICS_PER_BATCH, limits.MAX_ENTITIES_PER_BATCH - len(some))
        some += islice(points, room)
        if not some:
            return
        yield some
        at += limits.MAX_PARAMS_PER_BATCH


def _batch(run_id: str, items: Sequence[Item]) -> runs.LogBatch:
    return runs.LogBatch(
        run_id=run_id,
        metrics=[item for item in items if isinstance(item, Metric)],
        params=[item for item in items if isinstance(item, Param)],
        tags=[item for item in items if isinstance(item, Tag)],
    )


def _kind(item: Item) -> str:
    if isinstance(item, Metric):
        return f"the metric '{item.key}'"
    return f"the {'parameter' if isinstance(item, Param) else 'tag'} '{item.key}'"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
