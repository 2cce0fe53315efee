"""From a log to a store: in order, in few requests, twice without harm, past what is refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.client import entries
from headrace.client.delivery import Delivery, NotThereYet
from headrace.client.entries import ArtifactLogged, Logged, RunCreated, RunUpdated, Series
from headrace.client.ledger import Ledger
from headrace.errors import Unavailable
from headrace.journal.segment import Record
from headrace.protocol import limits
from headrace.protocol.experiments import CreateExperiment, ExperimentByName, ExperimentRef
from headrace.protocol.metrics import GetMetricHistory
from headrace.protocol.names import is_key
from headrace.protocol.runs import CreateRun, LogBatch, RunRef, RunStatus, SearchRuns, UpdateRun
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.store.open import open_store

WRITER = "host-1-abc"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real database; each test uses runs of its own."""
    folder = tmp_path_factory.mktemp("store")
    made = open_store(f"sqlite:///{folder}/headrace.db", artifact_root=str(folder))
    yield made
    made.close()


class Watched:
    """Passes everything on to the store's runs; remembers each batch, and can be away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.batches: list[LogBatch] = []
        self.calls_until_away = -1

    def __getattr__(self, name: str) -> Any:
        return self if name == "runs" else getattr(self._store, name)

    def log_batch(self, request: LogBatch) -> object:
        if self.calls_until_away == 0:
            raise Unavailable("The server is away.")
        self.calls_until_away -= 1
        self.batches.append(request)
        return self._store.runs.log_batch(request)

    def get(self, request: RunRef) -> object:
        return self._store.runs.get(request)

    def create(self, request: CreateRun) -> object:
        return self._store.runs.create(request)

    def update(self, request: UpdateRun) -> object:
        return self._store.runs.update(request)

    def search(self, request: SearchRuns) -> object:
        return self._store.runs.search(request)


class Courier:
    """A delivery with its ledger, and the log that it delivers."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.watched = Watched(store)
        self.ledger = Ledger(folder)
        self.is_settled = True
        self.log: list[Record] = []
        self.renew()

    def renew(self) -> None:
        """As another sender that goes on."""
        self.delivery = Delivery(
            self.watched,  # type: ignore[arg-type]  # passes everything on
            self.ledger,
            keeps_ids=lambda: True,
            is_settled=lambda _: self.is_settled,
        )

    def run(self, **fields: Any) -> str:
        """The id of a run whose creation is the next entry of the log."""
        run_id = os.urandom(16).hex()
        experiment_name = fields.pop("experiment_name", None)
        request = CreateRun(experiment_id="0", run_id=run_id, start_time=1, **fields)
        self.add(RunCreated(request, experiment_name))
        return run_id

    def add(self, entry: entries.Entry) -> None:
        self.add_body(entries.encode(entry))

    def add_body(self, body: bytes, name: bytes = b"") -> None:
        end = (self.log[-1].end if self.log else 16) + 12 + len(body)
        self.log.append(Record(end, name, body))

    def point(self, run_id: str, key: str, value: float, step: int) -> None:
        name = entries.spell_series((run_id, key))
        self.add_body(entries.POINT.pack(value, 1000 + step, step), name)

    def log_values(self, run_id: str, **batch: Any) -> None:
        self.add(Logged(LogBatch(run_id=run_id, **batch)))

    def deliver(self, begin: int = 0, end: int | None = None) -> None:
        """Deliver a part of the log, what must wait for it at its end."""
        part = self.log[begin:end]
        start = self.log[begin - 1].end if begin else 16
        for each in self.delivery.deliver(WRITER, part, start):
            if isinstance(each.entry, RunUpdated):
                self.delivery.apply(WRITER, each.entry)

    def refused(self) -> list[str]:
        return [each.what for each in self.ledger.refusals()]

    def found(self, run_id: str, keys: str = "ab") -> dict[str, Any]:
        """All that the store has of a run."""
        run = self.store.runs.get(RunRef(run_id=run_id)).run
        histories = {
            key: [
                (point.timestamp, point.step, str(float(point.value)))
                for point in self.store.metrics.history(
                    GetMetricHistory(run_id=run_id, metric_key=key)
                ).metrics
            ]
            for key in keys
        }
        return {
            "info": (run.info.status, run.info.end_time, run.info.run_name),
            "params": {param.key: param.value for param in run.data.params},
            "tags": {tag.key: tag.value for tag in run.data.tags},
            "latest": {metric.key: str(float(metric.value)) for metric in run.data.metrics},
            "histories": histories,
        }


@pytest.fixture
def courier(store: Store, tmp_path: Path) -> Courier:
    return Courier(store, tmp_path)


def test_a_log_arrives_in_few_requests_within_the_limits(courier: Courier) -> None:
    run_id = courier.run()
    for number in range(250):
        courier.log_values(run_id, params=[Param(f"p{number}", "v")])
    for number in range(250):
        courier.log_values(run_id, tags=[Tag(f"t{number}", "v")])
    for step in range(2500):
        courier.point(run_id, "a", step / 2, step)
    courier.deliver()
    for batch in courier.watched.batches:
        assert len(batch.params) <= limits.MAX_PARAMS_PER_BATCH
        assert len(batch.tags) <= limits.MAX_TAGS_PER_BATCH
        count = len(batch.params) + len(batch.tags) + len(batch.metrics)
        assert count <= limits.MAX_ENTITIES_PER_BATCH
    assert len(courier.watched.batches) <= 8
    found = courier.found(run_id)
    assert (len(found["params"]), len(found["tags"])) == (250, 250 + 1)
    assert [step for _, step, _ in found["histories"]["a"]] == list(range(2500))
    assert (courier.delivery.runs, courier.delivery.points) == (1, 2500)


def test_runs_share_a_delivery_and_keep_their_own(courier: Courier) -> None:
    runs = [courier.run() for _ in range(5)]
    for step, run_id in itertools.product(range(20), runs):
        courier.point(run_id, "a", float(runs.index(run_id)), step)
    courier.deliver()
    assert len(courier.watched.batches) == 5
    for number, run_id in enumerate(runs):
        history = courier.found(run_id)["histories"]["a"]
        assert [(step, value) for _, step, value in history] == [
            (step, f"{number}.0") for step in range(20)
        ]


def test_the_last_tag_and_the_first_parameter_hold(courier: Courier) -> None:
    run_id = courier.run()
    for value in ("1", "2", "3"):
        courier.log_values(run_id, tags=[Tag("t", value)], params=[Param("p", value)])
    courier.log_values(run_id, params=[Param("q", "kept")])
    courier.deliver()
    found = courier.found(run_id)
    assert found["tags"]["t"] == "3"
    assert found["params"] == {"p": "1", "q": "kept"}
    assert courier.refused() == ["parameter 'p'", "parameter 'p'"]


def test_a_batch_is_split_until_the_offender_stands_alone(courier: Courier) -> None:
    run_id = courier.run()
    courier.log_values(run_id, params=[Param("p3", "set by another process")])
    courier.deliver()
    begin = len(courier.log)
    courier.log_values(run_id, params=[Param(f"p{n}", "mine") for n in range(60)])
    courier.log_values(run_id, tags=[Tag(f"t{n}", "mine") for n in range(60)])
    for step in range(500):
        courier.point(run_id, "a", 1.0, step)
    courier.deliver(begin)
    found = courier.found(run_id)
    assert found["params"]["p3"] == "set by another process"
    assert sum(value == "mine" for value in found["params"].values()) == 59
    assert sum(value == "mine" for value in found["tags"].values()) == 60
    assert len(found["histories"]["a"]) == 500
    (refusal,) = courier.ledger.refusals()
    assert (refusal.run_id, refusal.what) == (run_id, "parameter 'p3'")
    assert "p3" in refusal.reason
    # By halves: not by trying every one of 620.
    assert len(courier.watched.batches) < 30


def test_what_goes_to_a_deleted_run_is_set_aside_and_the_rest_arrives(courier: Courier) -> None:
    gone, other = courier.run(), courier.run()
    courier.deliver()
    courier.store.runs.delete(RunRef(run_id=gone))
    begin = len(courier.log)
    for run_id in (gone, other):
        courier.log_values(run_id, params=[Param("p", "1")])
        for step in range(300):
            courier.point(run_id, "a", 1.0, step)
        courier.add(RunUpdated(UpdateRun(run_id=run_id, status=RunStatus.FINISHED, end_time=5)))
    courier.deliver(begin)
    refused = list(courier.ledger.refusals())
    assert {each.run_id for each in refused} == {gone}
    assert refused[0].what == "metric 'a' (300 values); parameter 'p'"
    assert len(courier.watched.batches) == 2  # nothing of it was tried in pieces
    found = courier.found(other)
    assert (len(found["histories"]["a"]), found["params"]) == (300, {"p": "1"})
    assert found["info"][0] == "FINISHED"
    courier.store.runs.restore(RunRef(run_id=gone))
    courier.log_values(gone, params=[Param("later", "1")])
    courier.deliver(len(courier.log) - 1)
    assert courier.found(gone)["params"] == {"later": "1"}  # nothing is held against it


def test_a_run_that_is_not_there_may_be_in_another_log(courier: Courier) -> None:
    run_id = os.urandom(16).hex()
    courier.point(run_id, "a", 1.0, 1)
    courier.is_settled = False
    with pytest.raises(NotThereYet) as caught:
        courier.deliver()
    assert caught.value.run_id == run_id
    assert courier.refused() == []
    courier.store.runs.create(CreateRun(experiment_id="0", run_id=run_id))
    courier.deliver()
    assert len(courier.found(run_id)["histories"]["a"]) == 1


def test_a_run_that_nobody_creates_is_set_aside_in_the_end(courier: Courier) -> None:
    courier.point(os.urandom(16).hex(), "a", 1.0, 1)
    courier.deliver()
    assert courier.refused() == ["metric 'a'"]


def test_a_server_that_is_away_raises_and_all_is_sent_later(courier: Courier) -> None:
    run_id = courier.run()
    for step in range(3000):
        courier.point(run_id, "a", 1.0, step)
    courier.watched.calls_until_away = 2
    with pytest.raises(Unavailable):
        courier.deliver()
    courier.watched.calls_until_away = -1
    courier.renew()
    courier.deliver()
    assert len(courier.found(run_id)["histories"]["a"]) == 3000
    assert courier.refused() == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"", b"not JSON"),
        (b"", b'{"type": "from_the_future", "request": {}}'),
        (b"", b'{"type": "log_batch", "request": {"run_id": 5}}'),
        (b"", b"\xff\xfe"),
        (b"not JSON", bytes(24)),
        (b'["run", "a", "b", "c", "d", "e"]', bytes(24)),
        (b'{"run": "a"}', bytes(24)),
        (b'["run", "a"]', b"short"),
    ],
)
def test_a_record_that_cannot_be_read_stops_no_other(
    courier: Courier, name: bytes, body: bytes
) -> None:
    run_id = courier.run()
    courier.point(run_id, "a", 1.0, 1)
    courier.add_body(body, name)
    courier.point(run_id, "a", 2.0, 2)
    courier.deliver()
    assert len(courier.found(run_id)["histories"]["a"]) == 2
    (refusal,) = courier.ledger.refusals()
    assert (refusal.what, refusal.error_code) == ("a record", "UNREADABLE")


def test_an_experiment_is_found_by_name_or_made(courier: Courier) -> None:
    name = f"experiment {os.urandom(4).hex()}"
    first = courier.run(experiment_name=name)
    second = courier.run(experiment_name=name)
    courier.deliver()
    made = courier.store.experiments.get_by_name(ExperimentByName(experiment_name=name)).experiment
    for run_id in (first, second):
        info = courier.store.runs.get(RunRef(run_id=run_id)).run.info
        assert info.experiment_id == made.experiment_id
    there = f"experiment {os.urandom(4).hex()}"
    known = courier.store.experiments.create(CreateExperiment(name=there)).experiment_id
    third = courier.run(experiment_name=there)
    courier.renew()
    courier.deliver(2)
    assert courier.store.runs.get(RunRef(run_id=third)).run.info.experiment_id == known


def test_a_run_of_a_deleted_experiment_is_set_aside(courier: Courier) -> None:
    name = f"experiment {os.urandom(4).hex()}"
    experiment_id = courier.store.experiments.create(CreateExperiment(name=name)).experiment_id
    courier.store.experiments.delete(ExperimentRef(experiment_id=experiment_id))
    run_id = courier.run(experiment_name=name)
    courier.point(run_id, "a", 1.0, 1)
    courier.deliver()
    assert courier.refused() == ["the run itself", "metric 'a'"]


def test_what_must_wait_comes_back_with_the_place_before_it(courier: Courier) -> None:
    run_id = courier.run()
    artifact = ArtifactLogged(run_id, "a.txt", "files/1")
    ended = RunUpdated(UpdateRun(run_id=run_id, status=RunStatus.FINISHED, end_time=5))
    courier.add(artifact)
    courier.point(run_id, "a", 1.0, 1)
    courier.add(ended)
    deferred = courier.delivery.deliver(WRITER, courier.log, 16)
    assert [(each.start, each.entry) for each in deferred] == [
        (courier.log[0].end, artifact),
        (courier.log[2].end, ended),
    ]
    found = courier.found(run_id)
    assert found["info"][0] == "RUNNING"
    assert len(found["histories"]["a"]) == 1


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["point", "point", "param", "tag", "end"]),
        st.integers(0, 1),
        st.sampled_from("ab"),
        st.sampled_from([0.0, -1.5, 1e308, float("inf"), float("nan")]),
        st.integers(-2, 3),
    ),
    min_size=1,
    max_size=25,
)
STEPS = st.lists(st.tuples(st.integers(0, 26), st.integers(1, 26), st.booleans()), max_size=8)


@settings(max_examples=40)
@given(ENTRIES, STEPS)
def test_any_pieces_with_any_repetitions_give_the_same_store(
    store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    given_entries: list[tuple[str, int, str, float, int]],
    steps: list[tuple[int, int, bool]],
) -> None:
    results = []
    for pieces in ([], steps):
        courier = Courier(store, tmp_path_factory.mktemp("ledger"))
        runs = [courier.run(run_name="one"), courier.run(run_name="two")]
        for kind, run, key, value, step in given_entries:
            add(courier, kind, runs[run], key, value, step)
        position = 0
        for begin, length, dies in pieces:
            # Reading goes on where it stood, or is thrown back: it never leaves anything out.
            start = min(begin, position)
            position = min(start + length, len(courier.log))
            courier.deliver(start, position)
            if dies:
                courier.renew()
        courier.deliver(position)
        found: list[Any] = [courier.found(run_id) for run_id in runs]
        refused = sorted((runs.index(r.run_id), r.what) for r in courier.ledger.refusals())
        results.append((found, refused))
    assert results[0] == results[1]


def add(courier: Courier, kind: str, run_id: str, key: str, value: float, step: int) -> None:
    if kind == "point":
        courier.point(run_id, key, value, step)
    elif kind == "param":
        courier.log_values(run_id, params=[Param(key, str(step))])
    elif kind == "tag":
        courier.log_values(run_id, tags=[Tag(key, str(value))])
    else:
        status = RunStatus.FINISHED if step > 0 else RunStatus.FAILED
        courier.add(RunUpdated(UpdateRun(run_id=run_id, status=status, end_time=1000 + step)))


KEYS = st.text("abc /_.:-", min_size=1, max_size=250).filter(is_key)
TEXTS = st.none() | st.text(min_size=1, max_size=30).filter(str.isprintable)


@given(KEYS, TEXTS, TEXTS, TEXTS)
def test_a_series_is_read_as_it_was_spelled(
    key: str, model: str | None, name: str | None, digest: str | None
) -> None:
    plain = ("run", key)
    assert entries.read_series(entries.spell_series(plain)) == Series(*plain)
    linked = Series("run", key, model, name, digest)
    assert entries.read_series(entries.spell_series(linked)) == linked
