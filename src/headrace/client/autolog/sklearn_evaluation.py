"""Metrics that the user computes after a fit: whose predictions they are about, and their names.

A prediction of a fitted estimator is remembered, by identity, for as long as it lives. A call of
`sklearn.metrics` with it is logged to the run of the fit as `METRIC_DATA`, as MLflow does it:
`accuracy_score_X_test`, the second call `accuracy_score-2_X_test`, and for another object of the
same name `accuracy_score_X_test-2`. Nothing here keeps a model or data alive.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final

from headrace.client.autolog import scope
from headrace.client.autolog.by_id import ById
from headrace.client.autolog.recording import Recorder
from headrace.forks import undivided

INFO_FILE: Final = "metric_info.json"
MAX_CALLS: Final = 1000
"""Metrics of one run that are logged; a loop that computes more is not followed further."""


class Evaluation:
    """The metrics after one fit: the run, and the names that have been given in it."""

    def __init__(self, log: Recorder) -> None:
        self.log = log
        self.model_id: str | None = None
        """The logged model that the fit made: these metrics are its own."""
        self._names: ById[str] = ById()
        self._uses: dict[str, int] = {}
        self._calls: dict[str, list[tuple[str, str]]] = {}
        self._noted: ById[bool] = ById()

    def name_of(self, data: Any) -> str:
        """The name of a data set: its variable's, and a number from the second on."""
        with undivided():
            known = self._names.get(data)
            if known is None:
                plain = variable_of(data) or "unknown_dataset"
                count = self._uses[plain] = self._uses.get(plain, 0) + 1
                known = _numbered(plain, count)
                self._names.put(data, known)
            return known

    def log_metric(self, metric: str, data_name: str, value: float, command: str) -> None:
        """Log a value, under a name that tells it from earlier calls, and how it was computed."""
        with undivided():
            calls = self._calls.setdefault(metric, [])
            if sum(map(len, self._calls.values())) >= MAX_CALLS:
                return
            key = f"{_numbered(metric, len(calls) + 1)}_{data_name}"
            calls.append((key, command))
            info = dict(sorted(call for calls in self._calls.values() for call in calls))
        self.log.metrics({key: value}, model_id=self.model_id)
        self.log.dictionary(info, INFO_FILE)

    def first_use(self, data: Any) -> bool:
        """Whether this data set is evaluated on for the first time."""
        with undivided():
            if self._noted.get(data):
                return False
            self._noted.put(data, True)
            return True


class Prediction:
    """Whose prediction it is, and on what."""

    def __init__(self, evaluation: Evaluation, data: Any) -> None:
        self.evaluation = evaluation
        self.data_name = evaluation.name_of(data)
        try:
            self._data: weakref.ref[Any] | None = weakref.ref(data)
        except TypeError:
            self._data = None

    @property
    def data(self) -> Any | None:
        """What was predicted from; None when it is gone."""
        return None if self._data is None else self._data()


def variable_of(value: Any) -> str | None:
    """The variable that holds `value` where the call came from; None where none does.

    A function that was given it as an argument only passes it on: its caller is asked first.
    """
    name = None
    frame = scope.caller()
    while frame is not None and (names := _names_in(frame, value)):
        name = names[0]
        code = frame.f_code
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not set(names) & set(arguments):
            break
        frame = frame.f_back
    return name


def _names_in(frame: FrameType, value: Any) -> list[str]:
    """The local variables that hold `value`, else the global ones that the code speaks of."""
    found = [name for name, held in list(frame.f_locals.items()) if held is value]
    if found:
        return found
    spoken = frame.f_code.co_names
    return [name for name in spoken if frame.f_globals.get(name, frame) is value]


def command_of(
    name: str, function: Callable[..., Any], args: Iterable[Any], kwargs: dict[str, Any]
) -> str:
    """The call as text: variables by name, scalars as they are, all else by type."""
    names = [key for key in inspect.signature(function).parameters if key != "self"]
    given = [*zip(names, args, strict=False), *kwargs.items()]
    return f"{name}({', '.join(f'{key}={_shown(value)}' for key, value in given)})"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 32 else value[:32] + "...")
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    return variable_of(value) or f"<{type(value).__name__}>"


def _numbered(name: str, count: int) -> str:
    return name if count == 1 else f"{name}-{count}"
