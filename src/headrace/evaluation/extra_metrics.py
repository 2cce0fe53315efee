"""Metrics of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.evaluation.measured import Measured
from headrace.evaluation.values import array_of
from headrace.protocol.names import check_key

if TYPE_CHECKING:
    from headrace.evaluation.options import Options
    from headrace.evaluation.rows import Rows

_TAKEN: Final = frozenset({"predictions", "targets", "metrics"})
_NOT_THERE: Final = object()


@dataclass
class MetricValue:
    """What a metric came to: a score for each row, a text for each, and aggregates by name.

    Without `aggregate_results`, numeric scores get their mean, variance and 90th percentile.
    """

    scores: list[Any] | None = None
    justifications: list[str | None] | None = None
    aggregate_results: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.aggregate_results is None and self.scores and all(map(_is_number, self.scores)):
            import numpy as np

            self.aggregate_results = {
                "mean": float(np.mean(self.scores)),
                "variance": float(np.var(self.scores)),
                "p90": float(np.percentile(self.scores, 90)),
            }


@dataclass(frozen=True)
class EvaluationMetric:
    """A metric of one's own: a function, and what it is called. `make_metric` makes one."""

    eval_fn: Callable[..., Any]
    name: str
    greater_is_better: bool
    long_name: str | None = None
    version: str | None = None
    metric_details: str | None = None
    metric_metadata: Mapping[str, Any] | None = field(default=None, hash=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function says."""
        return self.eval_fn(*args, **kwargs)


def make_metric(
    *,
    eval_fn: Callable[..., Any],
    greater_is_better: bool,
    name: str | None = None,
    long_name: str | None = None,
    version: str | None = None,
    metric_details: str | None = None,
    metric_metadata: Mapping[str, Any] | None = None,
    genai_metric_args: Mapping[str, Any] | None = None,
) -> EvaluationMetric:
    """A metric for `extra_metrics`.

    `eval_fn` gives a number or a MetricValue. It is given what its parameters name: `predictions`
    and `targets`, `metrics` (those computed so far), a column of the data, an entry of
    `evaluator_config`, another metric. A function with two parameters of other names is given a
    table with the columns `prediction` and `target`, and the metrics as numbers. The name is the
    function's, unless given. InvalidRequest.
    """
    if genai_metric_args is not None:
        raise InvalidRequest(
            "'genai_metric_args' is for metrics by language models, which Headrace does not have."
        )
    if not callable(eval_fn):
        raise InvalidRequest(f"'eval_fn' is of type {type(eval_fn).__name__}: expected a function.")
    given = name or getattr(eval_fn, "__name__", None)
    if given is None or given == "<lambda>":
        raise InvalidRequest("'name' is missing: 'eval_fn' has no name of its own.")
    if "/" in given:
        raise InvalidRequest(f"Invalid value {given!r} for 'name': it may hold no slash (/).")
    check_key("name", given)
    return EvaluationMetric(
        eval_fn,
        given,
        greater_is_better,
        long_name or given,
        version,
        metric_details,
        metric_metadata,
    )


def checked_metrics(given: Any) -> list[EvaluationMetric]:
    """`extra_metrics` as metrics; plain functions are taken by their names. InvalidRequest."""
    found: list[EvaluationMetric] = []
    if given is not None and not isinstance(given, list | tuple):
        given = [given]
    for place, metric in enumerate(given or ()):
        if hasattr(metric, "eval_fn") and hasattr(metric, "greater_is_better"):
            found.append(metric)  # MLflow's own too
        elif callable(metric):
            found.append(make_metric(eval_fn=metric, greater_is_better=True))
        else:
            raise InvalidRequest(
                f"'extra_metrics' has a {type(metric).__name__} at place {place}: expected what "
                "make_metric gives, or a function."
            )
    return found


@dataclass
class Given:
    """What functions of the user are given: the rows, what was predicted, what was measured."""

    rows: Rows
    predictions: Any
    options: Options
    metrics: dict[str, float]
    own: dict[str, MetricValue] = field(default_factory=dict)

    def table(self) -> Any:
        """The columns `prediction` and `target`, as a DataFrame. InvalidRequest without pandas."""
        from headrace.client.frames import pandas_library

        columns = {"prediction": self.predictions}
        if self.rows.targets is not None:
            columns["target"] = self.rows.targets
        return pandas_library().DataFrame(columns)

    def metric_values(self) -> dict[str, MetricValue]:
        """All metrics so far, each as a MetricValue."""
        plain = {k: MetricValue(aggregate_results={k: v}) for k, v in self.metrics.items()}
        return plain | self.own


def measure(metrics: list[EvaluationMetric], given: Given) -> Measured:
    """The metrics, in whatever order they need each other.

    One that fails is among the missing, with its error; the others are computed.
    """
    measured = Measured()
    waiting = list(metrics)
    while waiting:
        later: list[tuple[EvaluationMetric, str]] = []
        for metric in waiting:
            found = _arguments(metric, given)
            if isinstance(found, str):
                later.append((metric, found))
                continue
            _evaluate(metric, found, given, measured)
        if len(later) == len(waiting):
            for metric, reason in later:
                measured.lacks(reason, metric.name)
            break
        waiting = [metric for metric, _ in later]
    return measured


def scores_of(given: Given) -> bytes | None:
    """The rows with what metrics say of each, as a table in JSON; None where none says anything."""
    from headrace.client.tables import dump, table_of

    own = {name: value for name, value in given.own.items() if value.scores}
    if not own:
        return None
    columns: dict[str, Any] = {name: given.rows.column(name) for name in given.rows.columns}
    if given.rows.targets is not None:
        columns[given.rows.targets_name or "target"] = given.rows.targets
    columns[given.rows.predictions_name or "outputs"] = given.predictions
    for name, value in own.items():
        columns[f"{name}/score"] = value.scores
        if value.justifications:
            columns[f"{name}/justification"] = value.justifications
    plain = {str(name): list(values) for name, values in columns.items()}
    return dump(table_of(plain, str), "eval_results_table.json")


def _evaluate(
    metric: EvaluationMetric, arguments: list[Any], given: Given, measured: Measured
) -> None:
    name = f"{metric.name}/{metric.version}" if metric.version else metric.name
    try:
        value = metric.eval_fn(*arguments)
        found = _as_value(metric.name, value)
    except Exception as error:  # noqa: BLE001 - one metric's failure must not lose the others
        measured.lacks(f"it raised {type(error).__name__}: {error}", name)
        return
    given.own[name] = found
    for part, number in (found.aggregate_results or {}).items():
        if number is not None:
            key = name if part == metric.name else f"{name}/{part}"
            measured.values[key] = given.metrics[key] = number


def _as_value(name: str, value: Any) -> MetricValue:
    if hasattr(value, "aggregate_results"):
        return MetricValue(value.scores, value.justifications, value.aggregate_results)
    if value is None:
        raise TypeError("it gave None; expected a number or a MetricValue")
    return MetricValue(aggregate_results={name: float(value)})


def _arguments(metric: EvaluationMetric, given: Given) -> list[Any] | str:
    """What the function is called with; or, in words, what there is not (yet)."""
    try:
        parameters = dict(inspect.signature(metric.eval_fn).parameters)
    except (TypeError, ValueError):
        parameters = {}  # a builtin or a ufunc does not say
    names = [name for name, parameter in parameters.items() if parameter.kind.value < 4]
    if not parameters:
        return [_series(given.predictions), _series(given.rows.targets)]
    if len(names) == 2 and not _TAKEN & set(names) and not _all_known(names, given):
        return [given.table(), dict(given.metrics)]
    found = []
    for name in names:
        parameter = parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = _argument(given.options.col_mapping.get(name, name), given)
        if value is _NOT_THERE:
            if parameter.default is parameter.empty:
                return f"it needs {name!r}, which is no column, option or metric"
            value = parameter.default
        found.append(value)
    return found


def _all_known(names: list[str], given: Given) -> bool:
    return all(
        _argument(given.options.col_mapping.get(n, n), given) is not _NOT_THERE for n in names
    )


def _argument(name: Any, given: Given) -> Any:
    rows = given.rows
    if not isinstance(name, str):
        return name  # 'col_mapping' may give the values themselves
    if name in ("predictions", rows.predictions_name):
        return _series(given.predictions)
    if name in ("targets", rows.targets_name):
        return _NOT_THERE if rows.targets is None else _series(rows.targets)
    if name == "metrics":
        return given.metric_values()
    if name in rows.columns:
        return _series(rows.column(name))
    if name in given.options.others:
        return given.options.others[name]
    values = given.metric_values()
    return next((value for key, value in values.items() if key.split("/")[0] == name), _NOT_THERE)


def _series(values: Any) -> Any:
    """A pandas Series, which metrics written for MLflow expect; an array where there is none."""
    if values is None:
        return None
    array = array_of(values, "values")
    try:
        import pandas as pd
    except ImportError:
        return array.copy()
    return pd.Series(array.copy()) if array.ndim == 1 else array.copy()


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str)
