"""What a logging call with `synchronous=` gives back, and the run that starting one gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from headrace import settings
from headrace.client.outbox import Outbox
from headrace.errors import InvalidRequest, Unavailable
from headrace.protocol.runs import RunInfo


class LogOperation:
    """What a logging call with `synchronous=False` gives back."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def wait(self) -> None:
        """Return when what was logged is stored.

        Raises Unavailable when that takes longer than the setting FLUSH_TIMEOUT, InvalidRequest
        when the server refused something that this process logged.
        """
        stored = self._outbox.flush(patient=True)
        refused = self._outbox.refusals()
        if refused:
            raise InvalidRequest(" ".join(refused))
        if not stored:
            raise Unavailable(self._outbox.leftover() or "It is not stored yet.")


def operation(outbox: Outbox, synchronous: bool | None) -> LogOperation | None:
    """What a logging call gives back, by its `synchronous`; True waits until it is stored.

    For None the setting ASYNC_LOGGING says whether there is something to wait for.
    """
    if synchronous is None:
        return LogOperation(outbox) if settings.ASYNC_LOGGING.get_bool(False) else None
    made = LogOperation(outbox)
    if synchronous:
        made.wait()
        return None
    return made


_UNKNOWN: Final = ""
_ASKED_FOR: Final = frozenset({"artifact_uri", "experiment_id"})
_resolvers: dict[str, Callable[[], RunInfo]] = {}
_MOST: Final = 10_000


class StartedRunInfo(RunInfo, kw_only=True):
    """The facts of a run that was just begun, without having asked the server.

    Where its artifacts go, and the id of an experiment that is known by name, are asked for when
    they are read; that raises Unavailable without a server.
    """

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in _ASKED_FOR and value == _UNKNOWN:
            resolve = _resolvers.pop(super().__getattribute__("run_id"), None)
            if resolve is not None:
                _complete(self, resolve)
                return super().__getattribute__(name)
        return value


def started_run_info(known: RunInfo, resolve: Callable[[], RunInfo]) -> StartedRunInfo:
    """`known`, in which empty fields are filled in by `resolve` when they are read."""
    while len(_resolvers) >= _MOST:
        _resolvers.pop(next(iter(_resolvers)))
    _resolvers[known.run_id] = resolve
    fields = {name: getattr(known, name) for name in RunInfo.__struct_fields__}
    return StartedRunInfo(**fields)


def _complete(info: StartedRunInfo, resolve: Callable[[], RunInfo]) -> None:
    try:
        found = resolve()
    except BaseException:
        _resolvers[info.run_id] = resolve  # it may be known later
        raise
    info.experiment_id, info.artifact_uri = found.experiment_id, found.artifact_uri
