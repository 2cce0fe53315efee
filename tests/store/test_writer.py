"""The one writer: groups, failures inside them, closing, forks."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from headrace.errors import InvalidRequest, NotFound, Unavailable
from headrace.protocol import runs
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.store.sql.database import Database
from headrace.store.sql.open import open_database, sql_store
from headrace.store.sql.transaction import Transaction
from headrace.testing.store_builders import as_dict, get_run, new_run


@dataclass
class Opened:
    """A store and the database under it."""

    database: Database
    store: Store


@pytest.fixture
def opened(database_uri: str) -> Iterator[Opened]:
    database = open_database(database_uri, "mlflow-artifacts:")
    yield Opened(database, sql_store(database))
    database.close()


def apply_set_tag(opened: Opened, transaction: Transaction, request: runs.SetTag) -> None:
    """What the writer does with a tag, inside a transaction that a test has in hand."""
    set_tag: Any = opened.store.runs.set_tag
    set_tag._apply(transaction, request)


@dataclass
class Answers:
    """What the calls of one group were answered, by the name of the call."""

    calls: dict[str, list[tuple[Any, BaseException | None]]] = field(default_factory=dict)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def expect(self, name: str) -> Callable[[Any, BaseException | None], None]:
        """What to give as `done`."""
        self.calls[name] = []

        def done(answer: Any, error: BaseException | None) -> None:
            self.calls[name].append((answer, error))
            self.arrived.release()

        return done

    def wait(self) -> dict[str, BaseException | None]:
        """The error of each call, when all are answered: each exactly once."""
        for _ in self.calls:
            assert self.arrived.acquire(timeout=30), "a call was never answered"
        assert all(len(answers) == 1 for answers in self.calls.values()), self.calls
        return {name: answers[0][1] for name, answers in self.calls.items()}


@contextmanager
def one_group(database: Database) -> Iterator[Answers]:
    """What is submitted in this block is applied in one transaction, when the block ends."""
    answers, gate = Answers(), threading.Event()
    busy = threading.Event()

    def hold(_transaction: Transaction, _request: object) -> None:
        busy.set()
        assert gate.wait(30)

    database.writer.submit(hold, None, answers.expect("holder"))
    assert busy.wait(30)
    try:
        yield answers
    finally:
        gate.set()


def submit_tag(opened: Opened, answers: Answers, run_id: str, key: str) -> None:
    set_tag: Any = opened.store.runs.set_tag
    set_tag.submit(runs.SetTag(run_id=run_id, key=key, value="v"), answers.expect(key))


def tags_of(store: Store, run_id: str) -> set[str]:
    return set(as_dict(get_run(store, run_id).data.tags)) - {"mlflow.runName"}


def test_what_waits_is_committed_together(opened: Opened) -> None:
    run_id = new_run(opened.store)
    seen: list[Transaction] = []

    def look(transaction: Transaction, _request: object) -> None:
        seen.append(transaction)

    with one_group(opened.database) as answers:
        opened.database.writer.submit(look, None, answers.expect("first"))
        for i in range(20):
            submit_tag(opened, answers, run_id, f"t{i}")
        opened.database.writer.submit(look, None, answers.expect("last"))
    assert set(answers.wait().values()) == {None}
    assert seen[0] is seen[1]
    assert tags_of(opened.store, run_id) == {f"t{i}" for i in range(20)}


def test_a_refused_request_fails_alone(opened: Opened) -> None:
    run_id = new_run(opened.store)
    opened.store.runs.log_param(runs.LogParam(run_id=run_id, key="p", value="1"))
    submit: Any = opened.store.runs.log_param
    with one_group(opened.database) as answers:
        submit_tag(opened, answers, run_id, "before")
        changed = runs.LogParam(run_id=run_id, key="p", value="2")
        submit.submit(changed, answers.expect("changed"))
        submit_tag(opened, answers, "0" * 32, "unknown")
        submit_tag(opened, answers, run_id, "after")
    errors = answers.wait()
    assert isinstance(errors["changed"], InvalidRequest)
    assert isinstance(errors["unknown"], NotFound)
    assert (errors["before"], errors["after"]) == (None, None)
    assert tags_of(opened.store, run_id) == {"before", "after"}
    assert as_dict(get_run(opened.store, run_id).data.params) == {"p": "1"}


@pytest.mark.parametrize("error", [InvalidRequest("no"), RuntimeError("a bug")])
def test_a_request_that_fails_after_writing_spoils_nothing(
    opened: Opened, error: Exception
) -> None:
    run_id = new_run(opened.store)

    def write_and_fail(transaction: Transaction, _request: object) -> None:
        half = runs.SetTag(run_id=run_id, key="half", value="v")
        apply_set_tag(opened, transaction, half)
        raise error

    with one_group(opened.database) as answers:
        submit_tag(opened, answers, run_id, "before")
        opened.database.writer.submit(write_and_fail, None, answers.expect("failing"))
        submit_tag(opened, answers, run_id, "after")
    assert answers.wait() == {"holder": None, "before": None, "failing": error, "after": None}
    assert tags_of(opened.store, run_id) == {"before", "after"}


def test_keys_made_by_a_failed_request_are_made_again(opened: Opened) -> None:
    run_id = new_run(opened.store)
    opened.store.runs.log_param(runs.LogParam(run_id=run_id, key="p", value="1"))
    bad = runs.LogBatch(run_id=run_id, params=[Param("new", "1"), Param("p", "2")])
    with pytest.raises(InvalidRequest):
        opened.store.runs.log_batch(bad)
    tags = [Tag("new", "v")]
    opened.store.runs.log_batch(runs.LogBatch(run_id=run_id, tags=tags))
    assert tags_of(opened.store, run_id) == {"new"}
    assert as_dict(get_run(opened.store, run_id).data.params) == {"p": "1"}


def test_a_failed_commit_is_everybodys_answer(opened: Opened) -> None:
    run_id = new_run(opened.store)

    def break_commit(transaction: Transaction, _request: object) -> None:
        cursor = transaction.connection.cursor
        if transaction.dialect.name == "sqlite":
            cursor.execute("PRAGMA defer_foreign_keys = ON")
            cursor.execute("INSERT INTO experiment_tags VALUES (987654, 'k', 'v')")
            return
        cursor.execute("SELECT pg_backend_pid()")
        uri = opened.database.url.set(drivername="postgresql").render_as_string(False)
        with psycopg.connect(uri) as other:
            other.execute("SELECT pg_terminate_backend(%s)", cursor.fetchone())

    with one_group(opened.database) as answers:
        submit_tag(opened, answers, run_id, "lost")
        opened.database.writer.submit(break_commit, None, answers.expect("breaking"))
    errors = answers.wait()
    assert errors["holder"] is None
    assert errors["lost"] is not None
    assert errors["breaking"] is not None
    assert tags_of(opened.store, run_id) == set()
    opened.store.runs.set_tag(runs.SetTag(run_id=run_id, key="next", value="v"))
    assert tags_of(opened.store, run_id) == {"next"}


def test_a_caller_that_fails_does_not_stop_the_writer(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = new_run(opened.store)

    def failing(_answer: object, _error: object) -> None:
        raise RuntimeError("the client has gone")

    with one_group(opened.database) as answers:
        set_tag: Any = opened.store.runs.set_tag
        set_tag.submit(runs.SetTag(run_id=run_id, key="gone", value="v"), failing)
        submit_tag(opened, answers, run_id, "after")
    assert answers.wait()["after"] is None
    assert tags_of(opened.store, run_id) == {"gone", "after"}
    assert "could not be handed to its caller" in caplog.text


def test_closing_commits_what_is_queued(opened: Opened, database_uri: str) -> None:
    run_id = new_run(opened.store)
    closing = threading.Thread(target=opened.store.close)
    with one_group(opened.database) as answers:
        for i in range(20):
            submit_tag(opened, answers, run_id, f"t{i}")
        closing.start()
    assert set(answers.wait().values()) == {None}
    closing.join(30)
    assert not closing.is_alive()
    with pytest.raises(Unavailable, match="closed"):
        opened.store.runs.set_tag(runs.SetTag(run_id=run_id, key="late", value="v"))
    again = open_store(database_uri)
    assert tags_of(again, run_id) == {f"t{i}" for i in range(20)}
    again.close()


def test_a_store_that_was_never_used_closes(database_uri: str) -> None:
    store = open_store(database_uri)
    store.close()
    store.close()


_FORK = """
import os, sys
from headrace.protocol import runs
from headrace.store.open import open_store

store = open_store(sys.argv[1])
run_id = store.runs.create(runs.CreateRun()).run.info.run_id

def note(key):
    store.runs.set_tag(runs.SetTag(run_id=run_id, key=key, value="v"))
    return {tag.key for tag in store.runs.get(runs.RunRef(run_id)).run.data.tags}

note("parent-before")
child = os.fork()
if child == 0:
    found = {"parent-before", "child"} <= note("child")
    store.close()
    os._exit(0 if found else 1)
note("parent-beside")
_, status = os.waitpid(child, 0)
assert status == 0, status
assert {"parent-before", "parent-beside", "child", "parent-after"} <= note("parent-after")
store.close()
"""


def test_a_forked_child_has_a_writer_of_its_own(database_uri: str) -> None:
    subprocess.run([sys.executable, "-c", _FORK, database_uri], check=True, timeout=60)


_FORK_OF_A_READER = """
import gc, os, sys
from headrace.protocol import runs
from headrace.store.sql.open import open_database, sql_store

database = open_database(sys.argv[1], "mlflow-artifacts:")
store = sql_store(database)
run_id = store.runs.create(runs.CreateRun()).run.info.run_id

def servers_process():
    with database.reading() as connection:
        connection.cursor.execute("SELECT pg_backend_pid()")
        return connection.cursor.fetchone()

before = servers_process()
child = os.fork()
if child == 0:
    if sys.argv[2] == "closes":
        database.close()
    elif sys.argv[2] == "reads":
        store.runs.get(runs.RunRef(run_id))
    elif sys.argv[2] == "writes":
        store.runs.set_tag(runs.SetTag(run_id=run_id, key="child", value="v"))
    gc.collect()
    if sys.argv[2] == "ends":
        sys.exit(0)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert servers_process() == before
store.runs.set_tag(runs.SetTag(run_id=run_id, key="parent", value="v"))
store.close()
database.close()
"""


@pytest.mark.parametrize("child", ["closes", "reads", "writes", "ends"])
def test_a_forked_child_leaves_its_parents_connections_alone(postgres_uri: str, child: str) -> None:
    fork = (sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK_OF_A_READER)
    ended = subprocess.run(
        [*fork, postgres_uri, child],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_connection_that_makes_keys_is_replaced_when_it_is_lost(postgres_uri: str) -> None:
    database = open_database(postgres_uri, "mlflow-artifacts:")
    store = sql_store(database)
    run_id = new_run(store)

    def lose_all_others(transaction: Transaction, _request: object) -> None:
        transaction.connection.cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    answers = Answers()
    database.writer.submit(lose_all_others, None, answers.expect("losing"))
    assert answers.wait() == {"losing": None}
    store.runs.set_tag(runs.SetTag(run_id=run_id, key="new", value="v"))
    assert tags_of(store, run_id) == {"new"}
    database.close()


def test_the_name_of_a_key_that_was_rolled_back_is_forgotten(opened: Opened) -> None:
    run_id = new_run(opened.store)

    def fail(transaction: Transaction, _request: object) -> None:
        # As when the disk is full: whatever the group has written is gone.
        transaction.connection.cursor.execute("SELECT nothing FROM nowhere")

    create: Any = opened.store.runs.create
    set_tag: Any = opened.store.runs.set_tag
    ghost = runs.SetTag(run_id=run_id, key="ghost", value="v")

    def refused_alone(transaction: Transaction, request: runs.SetTag) -> None:
        if refusals:
            raise InvalidRequest("not a second time")
        refusals.append(request)
        apply_set_tag(opened, transaction, request)

    refusals: list[runs.SetTag] = []
    with one_group(opened.database) as answers:
        opened.database.writer.submit(refused_alone, ghost, answers.expect("ghost"))
        create.submit(runs.CreateRun(run_id=run_id), answers.expect("reader"))
        opened.database.writer.submit(fail, None, answers.expect("failing"))
    assert answers.wait()["reader"] is None
    set_tag(runs.SetTag(run_id=run_id, key="real", value="v"))
    assert tags_of(opened.store, run_id) == {"real"}


def test_more_keys_than_are_remembered_keep_their_names(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.store.sql.connection.MAX_KEY_NAMES", 2)
    run_id = new_run(opened.store)
    known: set[str] = set()
    for i in range(8):
        key = f"t{i}"
        opened.store.runs.set_tag(runs.SetTag(run_id=run_id, key=key, value="v"))
        known.add(key)
        assert tags_of(opened.store, run_id) == known


def test_a_write_that_arrives_while_the_store_is_closed_is_answered(opened: Opened) -> None:
    run_id = new_run(opened.store)
    writer = opened.database.writer
    closing = threading.Thread(target=writer.close)

    def arrive_late(_transaction: Transaction, _request: object) -> None:
        # As a thread that asked whether the store is open just before it was closed.
        closing.start()
        while writer._queue.empty():
            closing.join(0.01)
        writer._closed = False
        submit_tag(opened, answers, run_id, "late")
        writer._closed = True

    answers = Answers()
    answers.expect("late")
    writer.submit(arrive_late, None, answers.expect("closing"))
    assert answers.wait() == {"late": None, "closing": None}
    closing.join(30)
    assert not closing.is_alive()


def test_the_writer_remembers_only_so_many_keys(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.store.sql.transaction.MAX_KEY_IDS", 3)
    run_id = new_run(opened.store)
    tags = [Tag(f"t{i}", "v") for i in range(10)]
    opened.store.runs.log_batch(runs.LogBatch(run_id=run_id, tags=tags))
    assert tags_of(opened.store, run_id) == {tag.key for tag in tags}
    assert len(opened.database.writer._key_ids) <= 3
