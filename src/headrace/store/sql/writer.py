"""The one writer of a database: many requests, one transaction, one fsync.

Every write goes on a queue. A single thread takes all that has arrived, applies it in one
transaction, commits, and then answers all of it. So each answer means that its write is on
disk, and the cost of the disk is shared by everyone who waits for it.

A request that fails must fail alone. Writes check before they change anything, so a request
that is refused has touched nothing, and the others go on. If one fails after it has changed
something (or the database itself refuses), the transaction is rolled back and every request of
the group is applied again, each in a transaction of its own. What failed while committing is
not tried again: nobody can know whether it arrived.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Generic, Protocol, TypeVar, overload

from headrace.errors import HeadraceError, Unavailable
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.statistics import Statistics
from headrace.store.sql.transaction import Transaction, find_or_insert_key

Req = TypeVar("Req")
Ans = TypeVar("Ans")
Done = Callable[[Any, BaseException | None], None]
Apply = Callable[[Transaction, Any], Any]

MAX_GROUP = 256
"""Requests in one transaction: bounds how long the first of them waits for the last."""

CONFLICT_ATTEMPTS = 10
"""How often a request is applied that another server's transaction got in the way of."""

_log = logging.getLogger("headrace.store")


@dataclass(slots=True)
class _Call:
    apply: Apply
    request: Any
    done: Done
    answer: Any = None
    error: BaseException | None = None

    def finish(self) -> None:
        try:
            self.done(self.answer, self.error)
        except Exception:  # noqa: BLE001 - a caller that went away must not stop the writer
            _log.exception("a finished write could not be handed to its caller")


class _Spoilt(Exception):
    """The transaction of a group can't be kept: one request failed after it had written."""


class Writer:
    """Applies writes in the order in which they were submitted, in groups."""

    def __init__(self, connect: Callable[[], Connection], dialect: Dialect) -> None:
        self._connect = connect
        self._dialect = dialect
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: Connection | None = None
        self._side_connection: Connection | None = None
        self._key_ids: dict[str, int] = {}
        self._statistics = Statistics(self._connect, self._dialect)

    def submit(self, apply: Apply, request: Any, done: Done) -> None:
        """Queue a write; `done` is called after its commit, from the writer's thread."""
        if self._pid != os.getpid():
            # The thread and the connection stayed with the process that we were forked from.
            self._start_over()
        if self._closed:
            raise Unavailable("The store is closed; nothing can be written to it any more.")
        self._queue.put(_Call(apply, request, done))
        if self._thread is None:
            self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="headrace-writer", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Commit and answer what is queued, then stop."""
        self._closed = True
        if self._pid != os.getpid():
            return
        with self._closing:
            while self._thread is not None:
                self._queue.put(None)
                self._thread.join()
                self._thread = None
                if not self._queue.empty():
                    # A thread that saw the store open a moment ago waits for its answer.
                    self._start_thread()
            self._statistics.close()

    def _work(self) -> None:
        open_for_more = True
        while open_for_more:
            first = self._queue.get()
            if first is None:
                break
            group = [first]
            while len(group) < MAX_GROUP:
                try:
                    call = self._queue.get_nowait()
                except queue.Empty:
                    break
                if call is None:
                    open_for_more = False
                    break
                group.append(call)
            self._apply_group(group)
            for call in group:
                call.finish()
        self._drop_connection()

    def _apply_group(self, group: list[_Call]) -> None:
        if not self._try_together(group):
            for call in group:
                self._try_alone(call)

    def _try_together(self, group: list[_Call]) -> bool:
        """Apply all in one transaction; False if each must be tried alone instead."""
        transaction: Transaction | None = None
        try:
            transaction = self._begin()
            if len(group) > 1:
                transaction.expect_runs(_run_ids(group))
            for call in group:
                _apply_one(transaction, call)
            transaction.flush()
        except Exception as error:  # noqa: BLE001 - the group is split below, and each one gets its own answer
            self._roll_back(transaction)
            return self._fail_all(group, error) if transaction is None else False
        return self._commit(transaction, group)

    def _try_alone(self, call: _Call) -> None:
        for attempts_left in reversed(range(CONFLICT_ATTEMPTS)):
            call.answer, call.error = None, None
            transaction: Transaction | None = None
            try:
                transaction = self._begin()
                call.answer = call.apply(transaction, call.request)
                transaction.flush()
            except Exception as error:  # noqa: BLE001 - becomes this call's answer
                self._roll_back(transaction)
                if attempts_left and self._dialect.is_conflict(getattr(error, "orig", error)):
                    continue
                self._fail_all([call], error)
                return
            self._commit(transaction, [call])
            return

    def _begin(self) -> Transaction:
        if self._connection is not None:
            try:
                self._dialect.begin_write(self._connection.cursor)
                return Transaction(self._connection, self._key_ids, self._intern)
            except Exception as error:  # noqa: BLE001 - see whether a new connection can
                _log.warning("the database connection failed (%s); opening a new one", error)
                self._drop_connection()
        self._connection = self._connect()
        self._dialect.begin_write(self._connection.cursor)
        return Transaction(self._connection, self._key_ids, self._intern)

    def _intern(self, transaction: Transaction, name: str) -> int:
        """The number of a key; where others write beside us, made and committed on the side.

        Two transactions that each made keys the other needs would wait for each other.
        """
        if self._dialect.one_writer:
            return find_or_insert_key(transaction, name)
        if self._side_connection is not None:
            try:
                return find_or_insert_key(self._side_connection, name)
            except Exception as error:  # noqa: BLE001 - see whether a new connection can
                _log.warning("the database connection failed (%s); opening a new one", error)
                self._side_connection.close()
                self._side_connection = None
        self._side_connection = self._connect()
        return find_or_insert_key(self._side_connection, name)

    def _commit(self, transaction: Transaction, group: list[_Call]) -> bool:
        try:
            transaction.connection.cursor.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - becomes the answer of the whole group
            self._roll_back(transaction)
            return self._fail_all(group, error)
        self._statistics.note(len(group))
        return True

    def _roll_back(self, transaction: Transaction | None) -> None:
        # Ids of keys that were made in this transaction are gone with it.
        self._key_ids.clear()
        if transaction is None:
            self._drop_connection()
            return
        try:
            # A request that reads what it wrote may have noted their names.
            transaction.connection.forget_key_names()
            transaction.connection.cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - whatever the driver says, this connection is no good
            self._drop_connection()

    def _drop_connection(self) -> None:
        for connection in (self._connection, self._side_connection):
            if connection is not None:
                connection.close()
        self._connection = self._side_connection = None

    def _fail_all(self, group: list[_Call], error: BaseException) -> bool:
        original = getattr(error, "orig", None) or error
        known = error if isinstance(error, HeadraceError) else self._dialect.translate(original)
        for call in group:
            if call.error is None:
                call.answer, call.error = None, known or error
        return True


def _apply_one(transaction: Transaction, call: _Call) -> None:
    """Apply one request of a group; a clean refusal is its answer, any other failure spoils."""
    mark = transaction.mark()
    try:
        call.answer, call.error = call.apply(transaction, call.request), None
    except HeadraceError as error:
        if not transaction.untouched_since(mark):
            raise _Spoilt from error
        call.error = error


def _run_ids(group: list[_Call]) -> list[str]:
    """The runs that the requests of a group name."""
    named = {getattr(call.request, "run_id", None) for call in group}
    return [run_id for run_id in named if run_id]


class _HasWriter(Protocol):
    @property
    def writer(self) -> Writer: ...


class BoundWrite(Generic[Req, Ans]):
    """A write method of one store: call it to wait for the commit, or submit it."""

    __slots__ = ("_apply", "_writer")

    def __init__(self, writer: Writer, apply: Apply) -> None:
        self._writer = writer
        self._apply = apply

    def __call__(self, request: Req, /) -> Ans:
        """Apply `request`, wait until it is on disk, return the answer."""
        outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._writer.submit(self._apply, request, lambda *pair: outcome.put(pair))
        answer, error = outcome.get()
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]  # what `_apply` returns is an Ans

    def submit(self, request: Req, done: Done) -> None:
        """Queue `request`; `done(answer, error)` is called from another thread."""
        self._writer.submit(self._apply, request, done)


class write(Generic[Req, Ans]):  # noqa: N801 - used as a decorator, like property
    """Makes a method `(self, transaction, request)` a write that goes through the writer."""

    def __init__(self, method: Callable[[Any, Transaction, Req], Ans]) -> None:
        self._method = method
        update_wrapper(self, method)  # type: ignore[arg-type]  # a descriptor carries the docs

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, store: None, owner: type) -> write[Req, Ans]: ...
    @overload
    def __get__(self, store: _HasWriter, owner: type) -> BoundWrite[Req, Ans]: ...
    def __get__(self, store: Any, owner: type) -> Any:
        if store is None:
            return self
        bound = BoundWrite[Req, Ans](store.writer, self._method.__get__(store, owner))
        store.__dict__[self._name] = bound
        return bound
