"""The data to evaluate on: what the model gets, the truth, and columns by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.evaluation.values import array_of, column, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.options import Options

    Array = NDArray[Any]


@dataclass
class Rows:
    """`table` is a DataFrame of pandas or Polars, or an array; `features` is what the model gets.

    `dataset` is what the run notes. `predictions` is what the caller says that a model predicted.
    """

    table: Any
    features: Any
    dataset: Any
    targets: Array | None
    targets_name: str | None
    predictions: Any
    predictions_name: str | None
    probabilities: Any
    weights: Array | None
    feature_names: list[str]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def columns(self) -> list[str]:
        """The columns that slices and metrics can name."""
        return list(self.table.columns) if is_frame(self.table) else self.feature_names

    def column(self, name: str) -> Array:
        """The values of a column, missing ones included. InvalidRequest for a name that is none."""
        if name not in self.columns:
            shown = ", ".join(repr(known) for known in self.columns[:20])
            raise InvalidRequest(f"There is no column {name!r} in the data. There are: {shown}.")
        if is_frame(self.table):
            return array_of(self.table[name], name)
        values: Array = self.table[:, self.columns.index(name)]
        return values

    def part(self, chosen: Array) -> Rows:
        """Some rows by their numbers, of what the model gets alone."""
        taken = (
            self.features.iloc[chosen]
            if _is_a(self.features, "pandas")
            else (self.features[chosen])
        )
        return replace(self, table=taken, features=taken)

    def shuffled(self, feature: int, order: Array) -> Rows:
        """The same with the values of one feature in another order."""
        features = self.features
        if _is_a(features, "pandas"):
            features = features.copy(deep=False)
            features.isetitem(feature, features.iloc[order, feature].array)
        elif is_frame(features):
            series = features[features.columns[feature]]
            features = features.with_columns(series.gather(order))
        else:
            features = features.copy()
            features[:, feature] = features[order, feature]
        return replace(self, table=features, features=features)


@dataclass(frozen=True)
class Roles:
    """What in the data is what, as the caller says: columns by name, or arrays."""

    targets: Any = None
    predictions: Any = None
    feature_names: Sequence[str] | None = None
    dataset_path: str | None = None
    has_model: bool = True
    probabilities: Any = None


def is_frame(value: Any) -> bool:
    """Whether this is a DataFrame of pandas or Polars; neither is imported to find out."""
    return _is_a(value, "pandas") or _is_a(value, "polars")


def rows_of(data: Any, roles: Roles, options: Options) -> Rows:
    """The data in whatever form, checked. InvalidRequest."""
    if data is None:
        raise InvalidRequest("'data' is missing: expected a DataFrame, an array, or a data set.")
    given = data if hasattr(data, "digest") and hasattr(data, "source") else None
    if given is not None:
        data, roles = _taken_from(given, roles)
    roles = replace(
        roles,
        targets=options.column(roles.targets),
        predictions=options.column(roles.predictions),
    )
    if roles.targets is None and options.model_type is not None:
        raise InvalidRequest(
            "'targets' is missing: expected the name of a column of the data, or an array."
        )
    table = _table(data)
    if len(table) == 0:
        raise InvalidRequest("'data' has no rows: there is nothing to evaluate on.")
    names, targets, predictions = [], roles.targets, None
    targets_name = targets if isinstance(targets, str) else None
    if targets is not None:
        values = _named(table, targets, "targets") if targets_name else targets
        targets = column(values, "targets", len(table))
        names = [targets_name] if targets_name else []
    predictions_name = roles.predictions if isinstance(roles.predictions, str) else None
    if roles.predictions is not None and not roles.has_model:
        predictions = roles.predictions
        if predictions_name is not None:
            predictions = _named(table, predictions_name, "predictions")
            names.append(predictions_name)
    weights = None
    if options.sample_weights is not None:
        weights = _weights(table, options.sample_weights)
        names += [options.sample_weights] if isinstance(options.sample_weights, str) else []
    probabilities, probability_names = _probabilities(table, roles.probabilities)
    names += probability_names
    features, feature_names = _features(table, names, roles.feature_names)
    dataset = given if given is not None else _dataset(table, targets, targets_name, roles)
    return Rows(
        table,
        features,
        dataset,
        targets,
        targets_name,
        predictions,
        predictions_name,
        probabilities,
        weights,
        feature_names,
    )


def _taken_from(dataset: Any, roles: Roles) -> tuple[Any, Roles]:
    """The data in a data set, ours or MLflow's, and what it says about its columns."""
    own = getattr(dataset, "targets", None)
    if own is not None and roles.targets is not None:
        raise InvalidRequest(
            "The data set says what its targets are: leave 'targets' out, or give the data itself."
        )
    predictions = getattr(dataset, "predictions", None)
    if predictions is None or roles.predictions is not None:
        predictions = roles.predictions
    data = getattr(dataset, "df", None)
    if data is None:
        data = getattr(dataset, "features", None)
    if data is None:
        raise InvalidRequest(
            f"The data set is a {type(dataset).__name__}, which holds no rows: expected one made "
            "by from_pandas, from_polars or from_numpy."
        )
    targets = roles.targets if own is None else own
    return data, replace(roles, targets=targets, predictions=predictions)


def _table(data: Any) -> Any:
    import numpy as np

    if is_frame(data):
        if hasattr(data, "collect"):
            raise InvalidRequest("'data' is a LazyFrame: collect() it first.")
        return data
    if _is_a(data, "polars", "LazyFrame"):
        raise InvalidRequest("'data' is a LazyFrame: collect() it first.")
    if isinstance(data, list | tuple) and data and isinstance(data[0], dict):
        return _frame_of(list(data))
    if isinstance(data, dict):
        return _frame_of(data)
    array = array_of(data, "data") if not isinstance(data, np.ndarray) else data
    if array.ndim == 0 or array.dtype.kind == "O":
        raise InvalidRequest(
            f"'data' is of type {type(data).__name__}: expected a DataFrame of pandas or Polars, "
            "a NumPy array, a list of dictionaries, or a data set of headrace.data."
        )
    return array[:, None] if array.ndim == 1 else array


def _frame_of(records: Any) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise InvalidRequest(
            "'data' of dictionaries needs pandas, which is not installed: pip install pandas."
        ) from None
    try:
        return pd.DataFrame(records)
    except ValueError as error:
        raise InvalidRequest(f"'data' cannot be read as a table: {error}.") from None


def _named(table: Any, name: str, role: str) -> Any:
    if not is_frame(table):
        raise InvalidRequest(
            f"'{role}' is {name!r}, but the data is an array, whose columns have no names: give "
            f"'{role}' as an array, or the data as a DataFrame."
        )
    if name not in table.columns:
        shown = ", ".join(repr(known) for known in list(table.columns)[:20])
        raise InvalidRequest(f"'{role}' is {name!r}, which is no column. There are: {shown}.")
    return table[name]


def _weights(table: Any, given: Any) -> Array:
    values = _named(table, given, "sample_weights") if isinstance(given, str) else given
    weights = numbers(column(values, "sample_weights", len(table)), "sample_weights")
    if (weights < 0).any() or weights.sum() == 0:
        raise InvalidRequest("'sample_weights' has negative values, or only zeros.")
    return weights


def _probabilities(table: Any, given: Any) -> tuple[Any, list[str]]:
    """The probabilities as an array, and the names of their columns where they are in the table."""
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return given, []
    import numpy as np

    columns = [array_of(_named(table, name, "probabilities"), name) for name in names]
    return (columns[0] if len(columns) == 1 else np.column_stack(columns)), list(names)


def _features(
    table: Any, taken: list[str], feature_names: Sequence[str] | None
) -> tuple[Any, list[str]]:
    names = None if feature_names is None else list(feature_names)
    if names is not None and len(set(names)) < len(names):
        raise InvalidRequest("'feature_names' names a feature twice.")
    if is_frame(table):
        if names is None:
            names = [name for name in table.columns if name not in taken]
        for name in names:
            _named(table, name, "feature_names")
        same = list(table.columns) == names
        return (table if same else table[names]), [str(name) for name in names]
    width = table.shape[1] if table.ndim == 2 else 1
    if names is not None and len(names) != width:
        raise InvalidRequest(
            f"'feature_names' has {len(names)} names, the data {width} columns: expected as many."
        )
    return table, names or [f"feature_{number + 1}" for number in range(width)]


def _dataset(table: Any, targets: Any, targets_name: str | None, roles: Roles) -> Any:
    """What the run notes: the table, with the targets beside it where they came apart."""
    from headrace import data

    path = roles.dataset_path
    if not is_frame(table):
        return data.from_numpy(table, source=path, targets=targets)
    if targets is not None and targets_name is None:
        targets_name = _free_name(table.columns)
        if _is_a(table, "pandas"):
            table = table.assign(**{targets_name: targets})
        else:
            polars: Any = sys.modules["polars"]
            table = table.with_columns(polars.Series(targets_name, targets))
    made = data.from_pandas if _is_a(table, "pandas") else data.from_polars
    return made(table, source=path, targets=targets_name)


def _free_name(columns: Any) -> str:
    name = "target"
    while name in columns:
        name += "_"
    return name


def _is_a(value: Any, library: str, name: str = "DataFrame") -> bool:
    loaded: Any = sys.modules.get(library)
    return loaded is not None and isinstance(value, getattr(loaded, name))
