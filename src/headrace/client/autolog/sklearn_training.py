"""How well a fitted estimator does on the data it was fitted to, under MLflow's names.

The names and averages are those of MLflow's `mlflow.sklearn.autolog`, so that runs of both can be
compared: precision, recall and F1 are weighted by class unless `pos_label` is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

Guard = Callable[[str], AbstractContextManager[None]]

MAX_ROWS: Final = 100_000
"""Training data of more rows is measured on this many of them, evenly spaced."""


@dataclass(frozen=True)
class Training:
    """What `fit` was given: features, targets and weights, None where there are none."""

    features: Any
    targets: Any = None
    weights: Any = None

    @property
    def rows(self) -> int | None:
        """How many rows there are; None where the data does not say."""
        shape = getattr(self.features, "shape", None)
        if shape:
            return int(shape[0])
        return len(self.features) if hasattr(self.features, "__len__") else None

    def sample(self) -> Training:
        """At most `MAX_ROWS` of the rows, evenly spaced; all of them where there are no more."""
        rows = self.rows
        if rows is None or rows <= MAX_ROWS:
            return self
        import numpy as np
        from sklearn.utils import _safe_indexing

        kept = np.linspace(0, rows - 1, MAX_ROWS).astype(int)
        parts = (self.features, self.targets, self.weights)
        return Training(*(None if part is None else _safe_indexing(part, kept) for part in parts))


@dataclass(frozen=True)
class Predictions:
    """What an estimator says about its training data; computed once, used by metrics and plots."""

    classes: Any
    probabilities: Any = None


def training_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Training:
    """What a call of `fit`, `fit_transform` or `fit_predict` was given.

    The first two parameters are features and targets, whatever they are called.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    positional = [
        name
        for name, parameter in list(bound.signature.parameters.items())[1:3]
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name != "sample_weight"
    ]
    given = [bound.arguments.get(name) for name in positional]
    features, targets = [*given, None, None][:2]
    return Training(features, targets, bound.arguments.get("sample_weight"))


def predictions_of(estimator: Any, training: Training) -> Predictions:
    """What the estimator says about its training data."""
    from sklearn.base import is_classifier

    predicted = estimator.predict(training.features)
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        return Predictions(predicted, estimator.predict_proba(training.features))
    return Predictions(predicted)


def training_metrics(
    estimator: Any, training: Training, predictions: Predictions, pos_label: Any, guard: Guard
) -> dict[str, float]:
    """The metrics of a classifier or a regressor; none for any other estimator.

    A metric that cannot be computed is left out, with a warning by `guard`.
    """
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        wanted = _classifier_metrics(training, predictions, pos_label)
    elif is_regressor(estimator):
        wanted = _regressor_metrics(training, predictions)
    else:
        wanted = {}
    found: dict[str, float] = {}
    for name, compute in wanted.items():
        with guard(f"the metric training_{name}"):
            found[f"training_{name}"] = compute()
    return found


def training_score(estimator: Any, training: Training, metrics: Mapping[str, float]) -> Any:
    """What `estimator.score` gives; where that is a metric that is there already, that one."""
    from sklearn.base import ClassifierMixin, RegressorMixin

    known = {
        inspect.unwrap(ClassifierMixin.score): "training_accuracy_score",
        inspect.unwrap(RegressorMixin.score): "training_r2_score",
    }
    plain = getattr(type(estimator), "score", None)
    name = known.get(inspect.unwrap(plain)) if inspect.isfunction(plain) else None
    if name is not None and name in metrics:
        return metrics[name]
    weighted = "sample_weight" in inspect.signature(estimator.score).parameters
    arguments = {"sample_weight": training.weights} if weighted else {}
    return estimator.score(training.features, training.targets, **arguments)


def _classifier_metrics(
    training: Training, predictions: Predictions, pos_label: Any
) -> dict[str, Callable[[], float]]:
    from sklearn import metrics

    weights: dict[str, Any] = {"sample_weight": training.weights}
    # Of a class that is never predicted there is no precision: 0, without sklearn's warning.
    by_class: dict[str, Any] = {
        **weights,
        "pos_label": pos_label,
        "average": "weighted" if pos_label is None else "binary",
        "zero_division": 0,
    }
    both = (training.targets, predictions.classes)
    wanted = {
        "precision_score": lambda: metrics.precision_score(*both, **by_class),
        "recall_score": lambda: metrics.recall_score(*both, **by_class),
        "f1_score": lambda: metrics.f1_score(*both, **by_class),
        "accuracy_score": lambda: metrics.accuracy_score(*both, **weights),
    }
    if predictions.probabilities is not None:
        likely = predictions.probabilities
        wanted["log_loss"] = lambda: metrics.log_loss(training.targets, likely, **weights)
        wanted["roc_auc"] = lambda: metrics.roc_auc_score(
            training.targets, scores_of(likely), average="weighted", multi_class="ovo", **weights
        )
    return wanted


def scores_of(probabilities: Any) -> Any:
    """Of two classes the probability of the second, which is what curves are drawn of."""
    return probabilities[:, 1] if len(probabilities[0]) == 2 else probabilities


def _regressor_metrics(
    training: Training, predictions: Predictions
) -> dict[str, Callable[[], float]]:
    from sklearn import metrics

    both = (training.targets, predictions.classes)
    weights: dict[str, Any] = {"sample_weight": training.weights}
    return {
        "mean_squared_error": lambda: metrics.mean_squared_error(*both, **weights),
        "mean_absolute_error": lambda: metrics.mean_absolute_error(*both, **weights),
        "r2_score": lambda: metrics.r2_score(*both, **weights),
        "root_mean_squared_error": lambda: metrics.mean_squared_error(*both, **weights) ** 0.5,
    }
