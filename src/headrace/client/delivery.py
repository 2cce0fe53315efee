"""From what runs logged, in the order they logged it, to a store: how a journal is delivered.

Sending twice changes nothing: points are kept once, parameters may be repeated, tags are written
over, a run is created under the id that it already has. So whatever may not have arrived is sent
again, and a sender that dies loses nothing and doubles nothing.

A fault that passes (no connection, a server that is busy or wants other credentials) raises; the
caller tries again later. What a store refuses for good is set aside in the ledger, and nothing
else with it: a batch is split until the offender stands alone.

A plain MLflow server gives runs ids of its own. There each run is created with the tag
`headrace.runId`, by which it is found again if the answer got lost, and the ledger keeps the map.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from headrace.client import entries
from headrace.client.entries import Logged, RunCreated
from headrace.client.ledger import Ledger, refusal
from headrace.errors import (
    AlreadyExists,
    EndpointNotFound,
    HeadraceError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    is_servers_fault,
)
from headrace.journal.segment import Record
from headrace.protocol import limits
from headrace.protocol.experiments import CreateExperiment, ExperimentByName
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import (
    PARENT_RUN_TAG,
    RUN_ID_TAG,
    CreateRun,
    LogBatch,
    RunRef,
    SearchRuns,
)
from headrace.protocol.wire import Param, Tag, ViewType
from headrace.store.base import Store

_MOST_RUNS: Final = 10_000


def is_passing(error: HeadraceError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, Unauthenticated) or is_servers_fault(error)


class NotThereYet(Exception):
    """A run is not there; another process may have created it in a log not yet delivered."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class Deferred(NamedTuple):
    """An entry that must wait for others; `start` is the position before it in its log."""

    start: int
    entry: entries.Entry


class _Batch:
    """What a run logged since the last request for it."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}

    def request(self, run_id: str) -> LogBatch:
        return LogBatch(
            run_id=run_id,
            metrics=self.metrics,
            params=[Param(key, value) for key, value in self.params.items()],
            tags=[Tag(key, value) for key, value in self.tags.items()],
        )

    def is_full(self) -> bool:
        return (
            len(self.metrics) + len(self.params) + len(self.tags) >= limits.MAX_ENTITIES_PER_BATCH
            or len(self.params) >= limits.MAX_PARAMS_PER_BATCH
            or len(self.tags) >= limits.MAX_TAGS_PER_BATCH
        )


class Delivery:
    """Delivers entries to `store`; one thread at a time.

    `keeps_ids` tells whether the store creates runs under the ids that we gave them. `is_settled`
    tells of a run that is not there whether no other log can have created it.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        keeps_ids: Callable[[], bool],
        is_settled: Callable[[str], bool],
    ) -> None:
        self.store = store
        self.ledger = ledger
        self._asks_whether_ids_are_kept = keeps_ids
        self._keeps_ids: bool | None = None
        self._is_settled = is_settled
        self._experiments: dict[str, str] = {}
        self._artifact_uris: dict[str, str] = {}
        self._series: dict[bytes, entries.Series] = {}
        self._batches: dict[str, _Batch] = {}
        self._unmade: set[str] = set()
        self._writer = ""
        self.runs = self.points = 0
        """How many were delivered; those that were there already are counted too."""
        self.insists = False
        """Whether an error inside the server counts as a refusal: it has come too often."""

    def deliver(self, writer: str, records: list[Record], start: int) -> list[Deferred]:
        """Deliver what follows `start` in the log of `writer`, all but what must wait.

        Changes of a run's status wait for its values, artifacts take their own way. Raises a
        passing HeadraceError, or NotThereYet; then all of `records` must be delivered again.
        """
        self._writer = writer
        self._batches = {}
        deferred: list[Deferred] = []
        batches, series_of = self._batches, self._series
        for end, name, body in records:
            if name:
                try:
                    series = series_of.get(name) or self._read_series(name)
                    point = entries.read_point(series, body)
                except (msgspec.DecodeError, TypeError, struct.error) as error:
                    self.ledger.note_unreadable(self._writer, name + body, str(error))
                    start = end
                    continue
                batch = batches.get(series.run_id) or self._batch(series.run_id)
                batch.metrics.append(point)
                if batch.is_full():
                    self._send(series.run_id)
            else:
                self._take(body, start, deferred)
            start = end
        for run_id in list(batches):
            self._send(run_id)
        return deferred

    def apply(self, writer: str, entry: entries.Entry) -> None:
        """Deliver one entry now. Raises as `deliver` does."""
        self._writer = writer
        if isinstance(entry, RunCreated):
            self.runs += 1
            self._attempt(entry.request.run_id or "", entry, lambda: self._create(entry))
        elif isinstance(entry, Logged):
            self._log(entry.request)
        elif isinstance(entry, entries.RunUpdated):
            update = entry.request
            theirs = msgspec.structs.replace(update, run_id=self.run_id(update.run_id))
            self._attempt(update.run_id, entry, lambda: self.store.runs.update(theirs))
        elif isinstance(entry, entries.InputsLogged):
            inputs = msgspec.structs.replace(
                entry.request, run_id=self.run_id(entry.request.run_id)
            )
            self._attempt(
                entry.request.run_id, entry, lambda: self.store.datasets.log_inputs(inputs)
            )
        elif isinstance(entry, entries.OutputsLogged):
            made = msgspec.structs.replace(entry.request, run_id=self.run_id(entry.request.run_id))
            self._attempt(
                entry.request.run_id, entry, lambda: self.store.datasets.log_outputs(made)
            )

    def run_id(self, ours: str) -> str:
        """The id under which the store knows a run."""
        return ours if self._keeps_ids else self.ledger.run_id(ours)

    def artifact_uri(self, run_id: str) -> str:
        """Where a run's artifacts go. Raises what the store raises."""
        found = self._artifact_uris.get(run_id)
        if found is None:
            found = self.store.runs.get(RunRef(run_id=self.run_id(run_id))).run.info.artifact_uri
            self._note_artifact_uri(run_id, found)
        return found

    def refuse(self, writer: str, run_id: str, entry: entries.Entry, error: HeadraceError) -> None:
        """Set an entry aside that the store refused."""
        self.ledger.note_refusal(refusal(run_id, entry, error, writer))

    def _read_series(self, name: bytes) -> entries.Series:
        if len(self._series) > _MOST_RUNS:
            self._series.clear()
        series = self._series[name] = entries.read_series(name)
        return series

    def _batch(self, run_id: str) -> _Batch:
        batch = self._batches[run_id] = _Batch()
        return batch

    def _take(self, body: bytes, start: int, deferred: list[Deferred]) -> None:
        try:
            entry = entries.decode(body)
        except (msgspec.DecodeError, InvalidRequest) as error:
            self.ledger.note_unreadable(self._writer, body, str(error))
            return
        if isinstance(entry, Logged):
            self._merge(entry.request)
            return
        if isinstance(entry, entries.RunUpdated | entries.ArtifactLogged):
            deferred.append(Deferred(start, entry))
            return
        if isinstance(entry, entries.InputsLogged | entries.OutputsLogged):
            self._send(entry.request.run_id)
        self.apply(self._writer, entry)

    def _merge(self, request: LogBatch) -> None:
        """Add parameters and tags to what is sent next."""
        run_id = request.run_id
        for param in request.params:
            batch = self._batches.get(run_id) or self._batch(run_id)
            if batch.params.get(param.key, param.value) != param.value:
                # Another value: alone, so that the store's refusal is about this one only.
                self._send(run_id)
                batch = self._batch(run_id)
            batch.params[param.key] = param.value
            if batch.is_full():
                self._send(run_id)
        for tag in request.tags:
            batch = self._batches.get(run_id) or self._batch(run_id)
            batch.tags[tag.key] = tag.value
            if batch.is_full():
                self._send(run_id)
        for metric in request.metrics:
            batch = self._batches.get(run_id) or self._batch(run_id)
            batch.metrics.append(metric)
            if batch.is_full():
                self._send(run_id)

    def _send(self, run_id: str) -> None:
        batch = self._batches.pop(run_id, None)
        if batch is not None:
            self._log(batch.request(run_id))

    def _log(self, request: LogBatch) -> None:
        try:
            self.store.runs.log_batch(
                msgspec.structs.replace(request, run_id=self.run_id(request.run_id))
            )
            self.points += len(request.metrics)
        except HeadraceError as error:
            if self.may_pass(error, request.run_id):
                raise
            self._split(request, error)

    def _split(self, request: LogBatch, error: HeadraceError) -> None:
        """Find what the store refused in a batch: send its halves, and theirs."""
        if self._is_gone(request.run_id):
            self.refuse(self._writer, request.run_id, Logged(request), error)
            return
        things = [*request.params, *request.metrics, *request.tags]
        if len(things) == 1 or isinstance(error, PermissionDenied):
            self.refuse(self._writer, request.run_id, Logged(request), error)
            return
        middle = len(things) // 2
        for half in (things[:middle], things[middle:]):
            self._log(
                LogBatch(
                    run_id=request.run_id,
                    metrics=[thing for thing in half if isinstance(thing, Metric)],
                    params=[thing for thing in half if isinstance(thing, Param)],
                    tags=[thing for thing in half if isinstance(thing, Tag)],
                )
            )

    def _attempt(self, run_id: str, entry: entries.Entry, action: Callable[[], object]) -> None:
        try:
            action()
        except HeadraceError as error:
            if self.may_pass(error, run_id):
                raise
            if isinstance(entry, RunCreated):
                self._note_unmade(run_id)
            else:
                self._is_gone(run_id)
            self.refuse(self._writer, run_id, entry, error)

    def may_pass(self, error: HeadraceError, run_id: str) -> bool:
        """Whether to try again. What fails inside the server, or has no address there, is refused
        only by a server that does answer other questions: else it is the server that is ill.
        """
        if not is_passing(error):
            return False
        if isinstance(error, EndpointNotFound) or (self.insists and type(error) is HeadraceError):
            return not self.answers(run_id)
        return True

    def answers(self, run_id: str) -> bool:
        """Whether the store answers a question about a run as a tracking server does."""
        try:
            self.store.runs.get(RunRef(run_id=self.run_id(run_id)))
        except HeadraceError as error:
            return not is_passing(error)
        return True

    def _is_gone(self, run_id: str) -> bool:
        """Whether a run is deleted or was never there. Raises NotThereYet while that is open."""
        try:
            run = self.store.runs.get(RunRef(run_id=self.run_id(run_id))).run
        except NotFound as error:
            if is_passing(error):
                raise
            if run_id not in self._unmade and not self._is_settled(run_id):
                raise NotThereYet(run_id) from error
            return True
        except HeadraceError as error:
            if is_passing(error):
                raise
            return False
        return run.info.lifecycle_stage != "active"

    def _note_unmade(self, run_id: str) -> None:
        if len(self._unmade) >= _MOST_RUNS:
            self._unmade.clear()
        self._unmade.add(run_id)

    def _create(self, entry: RunCreated) -> None:
        ours = entry.request.run_id or ""
        request = msgspec.structs.replace(entry.request, tags=self._translated(entry.request.tags))
        if entry.experiment_name is not None:
            request.experiment_id = self._experiment_id(entry.experiment_name)
        if self._keeps_ids is None:
            self._keeps_ids = self._asks_whether_ids_are_kept()
        if self._keeps_ids:
            made = self.store.runs.create(request).run
            self._note_artifact_uri(ours, made.info.artifact_uri)
        elif self.ledger.run_id(ours) == ours:
            self._create_elsewhere(ours, request)

    def _create_elsewhere(self, ours: str, request: CreateRun) -> None:
        """Create a run on a server that chooses ids itself: once, whatever happens meanwhile."""
        known = SearchRuns(
            experiment_ids=[request.experiment_id],
            filter=f"tags.`{RUN_ID_TAG}` = '{ours}'",
            run_view_type=ViewType.ALL,
            max_results=1,
        )
        found = self.store.runs.search(known).runs
        if found:
            made = found[0]
        else:
            tags = [*request.tags, Tag(RUN_ID_TAG, ours)]
            made = self.store.runs.create(
                msgspec.structs.replace(request, tags=tags, run_id=None)
            ).run
        self.ledger.note_run_id(ours, made.info.run_id)
        self._note_artifact_uri(ours, made.info.artifact_uri)

    def _translated(self, tags: list[Tag]) -> list[Tag]:
        return [
            Tag(tag.key, self.run_id(tag.value)) if tag.key == PARENT_RUN_TAG else tag
            for tag in tags
        ]

    def _experiment_id(self, name: str) -> str:
        found = self._experiments.get(name)
        if found is None:
            by_name = ExperimentByName(experiment_name=name)
            experiments = self.store.experiments
            try:
                found = experiments.get_by_name(by_name).experiment.experiment_id
            except NotFound:
                try:
                    found = experiments.create(CreateExperiment(name=name)).experiment_id
                except AlreadyExists:  # another sender was faster
                    found = experiments.get_by_name(by_name).experiment.experiment_id
            self._experiments[name] = found
        return found

    def _note_artifact_uri(self, run_id: str, uri: str) -> None:
        if len(self._artifact_uris) > _MOST_RUNS:
            self._artifact_uris.clear()
        self._artifact_uris[run_id] = uri
