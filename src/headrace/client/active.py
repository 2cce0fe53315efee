"""The fluent API: starting and ending runs, and which one is active.

Each thread has a stack of active runs of its own. Runs that are still open when the program ends
are ended: FINISHED, or FAILED after an uncaught exception, or KILLED after Ctrl-C or SIGTERM.
A forked child inherits its parent's open runs and may log to them, but does not end them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any, Final, Self

from headrace import settings
from headrace.client import capture, tracking
from headrace.client.artifact_calls import forget_tables
from headrace.client.client import Client, current_client
from headrace.client.context import context_tags
from headrace.client.entities import Run, RunData
from headrace.client.experiment import current_choice
from headrace.client.outbox import flush_at_exit
from headrace.client.run import started_run_info
from headrace.client.values import mapping
from headrace.errors import HeadraceError, InvalidRequest, NotFound, is_servers_fault
from headrace.protocol.runs import NOTE_TAG, PARENT_RUN_TAG, RunInfo, RunStatus
from headrace.protocol.wire import Tag

_log: Final = logging.getLogger("headrace")
LAST_WORDS_SECONDS: Final = 5.0
"""How long a program that was told to stop by SIGTERM may take to end its runs."""
LOCK_SECONDS: Final = 0.5
"""How long such a program stands still until its runs are ended."""
RESUME_SECONDS: Final = 3.0
"""How long a run that is not there is waited for when it is to be resumed."""


class ActiveRun(Run):
    """A run that is being written; as a context manager it ends the run.

    It is FAILED when an exception leaves the block, else FINISHED.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack = _active.stack
        if all(entry.run.info.run_id != self.info.run_id for entry in stack):
            return
        status = RunStatus.FINISHED if kind is None else RunStatus.FAILED
        while stack[-1].run.info.run_id != self.info.run_id:
            _end(stack.pop(), status)
        _end(stack.pop(), status, error)


class _Entry:
    """An active run, the client that started it, and the process that did."""

    def __init__(self, run: ActiveRun, client: Client) -> None:
        self.run = run
        self.client = client
        self.pid = os.getpid()


class _Active(threading.local):
    """Each thread's own stack of active runs, and the last of them."""

    def __init__(self) -> None:
        self.stack: list[_Entry] = []


_active = _Active()


class _Process:
    """What all threads share: the runs to end at exit, and the last run of all."""

    def __init__(self) -> None:
        self.open: dict[str, _Entry] = {}
        self.last_run: tuple[Client, str] | None = None
        self.ends_at_exit = False
        self.ends_at_sigterm = False


_process = _Process()


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Begin a run, or resume the one with `run_id`, and make it this thread's active run.

    A new run has its id at once, with or without a server. While a run is active another one needs
    `nested=True`; it then notes its parent. Without `experiment_id` the run goes to the experiment
    of `set_experiment`. `log_system_metrics` overrides its setting. Raises InvalidRequest for a
    combination that makes no sense, or a deleted run; NotFound.
    """
    stack = _active.stack
    if stack and not nested:
        raise InvalidRequest(
            f"The run '{stack[-1].run.info.run_id}' is active already. End it with end_run(), or "
            "say start_run(nested=True) for a run inside it."
        )
    client = current_client()
    all_tags = dict(mapping("tags", tags))
    if description is not None:
        if NOTE_TAG in all_tags:
            raise InvalidRequest(f"Give either 'description' or the tag '{NOTE_TAG}', not both.")
        all_tags[NOTE_TAG] = description
    resumed = run_id or _run_id_from_environment()
    if resumed:
        run = _resume(client, resumed, experiment_id, all_tags)
    else:
        parent = parent_run_id or (stack[-1].run.info.run_id if stack else None)
        if parent_run_id is not None:
            _check_parent(client, parent_run_id)
        if parent is not None:
            all_tags[PARENT_RUN_TAG] = parent
        tags_of_new = {**context_tags(), **all_tags}
        if experiment_id is None:
            run = client._create_run_in(current_choice(), tags_of_new, run_name)
        else:
            run = client.create_run(experiment_id, tags=tags_of_new, run_name=run_name)
    _hook_process_end()
    entry = _Entry(ActiveRun(run.info, run.data, run.inputs, run.outputs), client)
    stack.append(entry)
    _process.open[run.info.run_id] = entry
    capture.begin(client, run.info.run_id, log_system_metrics, resumed=bool(resumed))
    return entry.run


def end_run(status: str = "FINISHED") -> None:
    """End this thread's active run, and make the one around it active again, if there is one."""
    if _active.stack:
        _end(_active.stack.pop(), status)


def active_run() -> ActiveRun | None:
    """This thread's active run, as it was when it began; None when there is none."""
    return _active.stack[-1].run if _active.stack else None


def last_active_run() -> Run | None:
    """The active run, or the one that ended last in any thread, as it is now; None for none."""
    if _active.stack:
        entry = _active.stack[-1]
        return entry.client.get_run(entry.run.info.run_id)
    if _process.last_run is None:
        return None
    client, run_id = _process.last_run
    return client.get_run(run_id)


def active_or_new_run() -> tuple[Client, str]:
    """The client and id of this thread's active run; one is started when there is none."""
    if not _active.stack:
        start_run()
    entry = _active.stack[-1]
    return entry.client, entry.run.info.run_id


def _run_id_from_environment() -> str | None:
    """The run that whoever started this program wants it to go on with; asked for once."""
    found = settings.RUN_ID.get()
    for name in settings.RUN_ID.names:
        os.environ.pop(name, None)
    return found


def _resume(client: Client, run_id: str, experiment_id: str | None, tags: Mapping[str, Any]) -> Run:
    try:
        run = _found(client, run_id)
    except HeadraceError as error:
        if not is_servers_fault(error):
            raise
        # It is there, or it will be: what is logged to it is kept until then.
        _log.warning("The run '%s' is resumed unseen: %s", run_id, error)
        client.update_run(run_id, RunStatus.RUNNING.value)
        if tags:
            client.log_batch(run_id, tags=[Tag(key, str(value)) for key, value in tags.items()])
        return _unseen(client, run_id)
    if experiment_id is not None and str(experiment_id) != run.info.experiment_id:
        raise InvalidRequest(
            f"The run '{run_id}' belongs to the experiment '{run.info.experiment_id}', not to "
            f"'{experiment_id}': leave 'experiment_id' out, or give the one it belongs to."
        )
    if run.info.lifecycle_stage != "active":
        raise InvalidRequest(f"The run '{run_id}' is deleted: restore_run('{run_id}') first.")
    client.update_run(run_id, RunStatus.RUNNING.value)
    if tags:
        client.log_batch(run_id, tags=[Tag(key, str(value)) for key, value in tags.items()])
    run.info.status = RunStatus.RUNNING
    run.data.tags.update({key: str(value) for key, value in tags.items()})
    return run


def _found(client: Client, run_id: str) -> Run:
    """A run to resume; one that another process has just begun may take a moment to be there."""
    deadline = time.monotonic() + RESUME_SECONDS
    while True:
        try:
            return client.get_run(run_id)
        except NotFound:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def _unseen(client: Client, run_id: str) -> Run:
    known = RunInfo(
        run_id=run_id,
        run_uuid=run_id,
        experiment_id="",
        run_name="",
        user_id="",
        status=RunStatus.RUNNING,
        start_time=0,
        artifact_uri="",
        lifecycle_stage="active",
    )
    info = started_run_info(known, lambda: client.get_run(run_id).info)
    return Run(info, RunData({}, {}, {}))


def _check_parent(client: Client, parent_run_id: str) -> None:
    if _active.stack and _active.stack[-1].run.info.run_id != parent_run_id:
        raise InvalidRequest(
            f"'parent_run_id' is '{parent_run_id}', but the active run is "
            f"'{_active.stack[-1].run.info.run_id}': end that one first, or leave the "
            "parameter out."
        )
    if parent_run_id in _process.open:
        return
    try:
        parent = client.get_run(parent_run_id)
    except HeadraceError as error:
        if not is_servers_fault(error):
            raise
        return  # it is for the server to say, when it is back
    if parent.info.lifecycle_stage != "active":
        raise InvalidRequest(f"The parent run '{parent_run_id}' is deleted: restore it first.")


def _end(entry: _Entry, status: str, error: BaseException | None = None) -> None:
    run_id = entry.run.info.run_id
    _process.open.pop(run_id, None)
    _process.last_run = (entry.client, run_id)
    capture.end(run_id, error)
    entry.client.set_terminated(run_id, str(status))
    forget_tables(run_id)


def _hook_process_end() -> None:
    if not _process.ends_at_exit:
        _process.ends_at_exit = True
        tracking.before_closing(_end_open_runs_at_exit)
    if _process.ends_at_sigterm:
        return
    _process.ends_at_sigterm = True
    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end_open_runs_at_sigterm)


def _leave_sigterm_to_system() -> None:
    """In a forked child: die of SIGTERM at once, as what its parent terminates must.

    Its parent's runs are not for it to end; it catches the signal when it starts one of its own.
    A handler of Python's waits for the main thread's next step, and one that is just about to read
    from a pipe makes none: `Process.terminate()` and `join()` would wait for ever.
    """
    if signal.getsignal(signal.SIGTERM) is _end_open_runs_at_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _process.ends_at_sigterm = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_sigterm_to_system)


def _end_open_runs_at_exit() -> None:
    failure = getattr(sys, "last_type", None)
    if failure is None:
        _end_open_runs(RunStatus.FINISHED)
    elif issubclass(failure, KeyboardInterrupt):
        _end_open_runs(RunStatus.KILLED)
    else:
        _end_open_runs(RunStatus.FAILED)


def _end_open_runs_at_sigterm(number: int, _frame: FrameType | None) -> None:
    """End the runs as KILLED, then die of the signal as if nobody had caught it.

    In a thread with a time limit: the main thread may have been stopped in the middle of a call
    that holds a lock. Then it has to go on, to let go of the lock, until the thread is done.
    """
    signal.signal(number, signal.SIG_DFL)
    ended = threading.Event()
    threading.Thread(target=_last_words, args=(number, ended), daemon=True).start()
    if ended.wait(LOCK_SECONDS):
        time.sleep(LAST_WORDS_SECONDS)


def _last_words(number: int, ended: threading.Event) -> None:
    limit = threading.Timer(LAST_WORDS_SECONDS, os.kill, (os.getpid(), number))
    limit.daemon = True
    limit.start()
    try:
        _end_open_runs(RunStatus.KILLED)
        ended.set()
        flush_at_exit(LAST_WORDS_SECONDS)
    finally:
        os.kill(os.getpid(), number)


def _end_open_runs(status: RunStatus) -> None:
    entries = [entry for entry in _process.open.values() if entry.pid == os.getpid()]
    for entry in reversed(entries):
        if entry in _active.stack:
            _active.stack.remove(entry)
        try:
            _end(entry, status)
        except HeadraceError as error:
            # The program is over; all that is left to do is to say so.
            _log.warning("The run '%s' could not be ended: %s", entry.run.info.run_id, error)
