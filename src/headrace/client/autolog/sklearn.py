"""Autologging of scikit-learn: every estimator's fit, and the metrics computed after it.

Not the classes that there are now are observed, but every class as it is made: nothing of
scikit-learn has to be imported for it, and estimators of other packages and of the user's own are
seen as well. Where scikit-learn itself calls `fit`, as `cross_val_score` does, nothing is logged.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog import scope
from headrace.client.autolog import sklearn_evaluation as evaluation
from headrace.client.autolog.by_id import ById
from headrace.client.autolog.classes import methods_of, observe_subclasses
from headrace.client.autolog.datasets import dataset_of
from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.patching import Call, patch
from headrace.client.autolog.recording import Recorder
from headrace.client.autolog.replacement import Around
from headrace.client.autolog.sklearn_evaluation import Evaluation, Prediction
from headrace.errors import InvalidRequest

FITS: Final = ("fit", "fit_transform", "fit_predict")
PREDICTIONS: Final = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"),
)
_PREPARATION: Final = (
    "sklearn.preprocessing",
    "sklearn.impute",
    "sklearn.feature_extraction",
    "sklearn.feature_selection",
    "sklearn.compose._column_transformer",
)
"""Modules whose estimators prepare data: their fits are no training, as for MLflow."""
_WITH_THEIR_OWN: Final = ("xgboost", "lightgbm")
"""Packages whose estimators are left to the autologging that they have themselves."""
_NOT_METRICS: Final = ("get_scorer", "get_scorer_names", "make_scorer", "check_scoring")
_MAX_HTML: Final = 5_000_000


@dataclass(frozen=True, kw_only=True)
class SklearnOptions(Options):
    """See `autolog`."""

    max_tuning_runs: int | None = 5
    log_post_training_metrics: bool = True
    serialization_format: str = "cloudpickle"
    pos_label: Any = None


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    max_tuning_runs: int | None = 5,
    log_post_training_metrics: bool = True,
    serialization_format: str = "cloudpickle",
    registered_model_name: str | None = None,
    pos_label: Any = None,
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have every `fit` of a scikit-learn estimator log itself; `disable` takes it back.

    A search logs child runs for its `max_tuning_runs` best candidates (None: for all).
    `log_post_training_metrics` is about calls of `score` and of `sklearn.metrics` after a fit.
    With `pos_label`, precision, recall and F1 are those of that class, else weighted averages.
    Models are kept in a form that is safe to load where there is one; `serialization_format` may
    be "pickle". Raises
    InvalidRequest for a negative `max_tuning_runs`.
    """
    options = SklearnOptions(**locals())
    if max_tuning_runs is not None and max_tuning_runs < 0:
        raise InvalidRequest(
            f"'max_tuning_runs' is {max_tuning_runs}; expected 0 or more, or None for all."
        )
    LIBRARY.switch(options)


def _observe_classes(base: ModuleType) -> None:
    """Observe all estimators: those that there are, and each that will be."""
    from sklearn.utils._set_output import _SetOutputMixin

    # The mixin wraps methods when a class is made: ours go around its wrappers, not under them.
    observe_subclasses(LIBRARY, base.BaseEstimator, _observe_class, also=(_SetOutputMixin,))


def _observe_class(estimator: type) -> None:
    """Observe the methods of a class, those of its bases and mixins included."""
    if estimator.__module__.partition(".")[0] in _WITH_THEIR_OWN:
        return
    for owner, name in methods_of(estimator, (*FITS, *PREDICTIONS, "score")):
        if name in FITS:
            patch(LIBRARY, owner, name, _fit, when=_is_training)
        elif name == "score":
            patch(LIBRARY, owner, name, _score, run=False, when=_is_of_a_fitted)
        else:
            patch(LIBRARY, owner, name, _predict, run=False, when=_is_of_a_fitted)


def _observe_metrics(metrics: ModuleType) -> None:
    for name in metrics.__all__:
        function = getattr(metrics, name)
        if callable(function) and not isinstance(function, type) and name not in _NOT_METRICS:
            patch(LIBRARY, metrics, name, _metric, run=False, when=_is_evaluation)


def _observe_scorers(scorers: ModuleType) -> None:
    patch(LIBRARY, scorers._BaseScorer, "__call__", _scorer, run=False, when=_is_evaluation)


class _CarryingMark(Around):
    """Has the tasks of `joblib.Parallel` know that they belong to an observed call."""

    def __call__(self, original: Any, /, *args: Any, **kwargs: Any) -> Any:
        parallel, tasks, *more = args
        return original(parallel, scope.carry_into_threads(tasks), *more, **kwargs)


def _observe_threads(joblib: ModuleType) -> None:
    LIBRARY.replace(joblib.Parallel, "__call__", _CarryingMark())


LIBRARY: Final = Library(
    "sklearn",
    {
        "sklearn.base": _observe_classes,
        "sklearn.metrics": _observe_metrics,
        "sklearn.metrics._scorer": _observe_scorers,
        "joblib.parallel": _observe_threads,
    },
    SklearnOptions(),
    versions=("1.4", "1.10"),
)
_evaluations: Final[ById[Evaluation]] = ById()
_predictions: Final[ById[Prediction]] = ById()


def _is_training(call: Call) -> bool:
    """Whether this fit trains something: not one that prepares data, nor sklearn's own call."""
    kind = type(call.instance)
    if kind.__module__.startswith(_PREPARATION) or scope.called_from("sklearn"):
        return False
    if kind.__module__.partition(".")[0] in ("sklearn", *_WITH_THEIR_OWN):
        return kind.__module__.startswith("sklearn.")
    return any(hasattr(kind, name) for name in ("predict", "fit_predict", "score", "score_samples"))


def _is_evaluation(_call: Call) -> bool:
    return LIBRARY.options.log_post_training_metrics and not scope.called_from("sklearn")


def _is_of_a_fitted(call: Call) -> bool:
    """Whether this is a prediction or score of an estimator whose fit was logged."""
    return _evaluations.get(call.instance) is not None and _is_evaluation(call)


def _fit(call: Call) -> Generator[None, Any, None]:
    from headrace.client.autolog.sklearn_search import is_search
    from headrace.client.autolog.sklearn_training import training_of

    estimator, log = call.instance, call.log
    params: dict[str, Any] = {}
    with LIBRARY.guard("the parameters of an estimator"):
        params = estimator.get_params(deep=not is_search(estimator))
        log.params(params)
    log.tags(_tags_of(estimator))
    training = training_of(call.function, call.args, call.kwargs)
    dataset = None
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the training data as a data set"):
            dataset = dataset_of(training.features, training.targets)
            if dataset is not None:
                log.dataset(dataset, "train")
    if any(name.rpartition("__")[2].startswith("copy") and not params[name] for name in params):
        training = copy.deepcopy(training.sample())  # the fit may write over its data
    yield
    evaluation_of_fit = Evaluation(log)
    if LIBRARY.options.log_post_training_metrics:
        _evaluations.put(estimator, evaluation_of_fit)
    if not is_search(estimator) or hasattr(estimator, "best_estimator_"):
        _log_training(log, estimator, training, dataset)
        evaluation_of_fit.model_id = _log_models(log, estimator, training)
    with LIBRARY.guard("the HTML of an estimator"):
        _log_html(log, estimator)
    if is_search(estimator):
        _log_search(log, estimator, dataset, evaluation_of_fit.model_id)


def _log_training(log: Recorder, estimator: Any, training: Any, dataset: Any) -> None:
    from sklearn.base import is_classifier, is_regressor

    from headrace.client.autolog.sklearn_training import (
        MAX_ROWS,
        predictions_of,
        training_metrics,
        training_score,
    )

    if training.targets is None:
        return
    if (sampled := training.sample()) is not training:
        log.tags({"headrace.autolog.training_rows": MAX_ROWS})
    metrics: dict[str, float] = {}
    if (is_classifier(estimator) or is_regressor(estimator)) and hasattr(estimator, "predict"):
        with LIBRARY.guard("the training metrics"):
            predictions = predictions_of(estimator, sampled)
            label = LIBRARY.options.pos_label
            metrics = training_metrics(estimator, sampled, predictions, label, LIBRARY.guard)
            if is_classifier(estimator):
                _log_plots(log, estimator, sampled, predictions)
    if hasattr(estimator, "score"):
        with LIBRARY.guard("the metric training_score"):
            metrics["training_score"] = training_score(estimator, sampled, metrics)
    log.metrics(metrics, dataset=dataset)


def _log_models(log: Recorder, estimator: Any, training: Any) -> str | None:
    """Log what was fitted, and the best estimator of a search by itself as well; the first's id."""
    from headrace.client.autolog.models import first_rows, log_model

    signature = None
    if not hasattr(estimator, "predict") and hasattr(estimator, "transform"):
        with LIBRARY.guard("the signature of the model"):
            rows = first_rows(training.features)
            signature = None if rows is None else _signature_of_transform(estimator, rows)
    # "cloudpickle" is the default of MLflow's signature; the flavor chooses what is safe to load.
    form = LIBRARY.options.serialization_format
    asked = None if form == "cloudpickle" else form
    made: str | None = None
    for name, model in (
        ("best_estimator", getattr(estimator, "best_estimator_", None)),
        ("model", estimator),
    ):
        if model is not None:
            made = log_model(
                log,
                LIBRARY,
                model,
                "sklearn",
                data=training.features,
                signature=signature,
                name=name,
                register=name == "model",
                serialization_format=asked,
            )
    return made


def _signature_of_transform(estimator: Any, rows: Any) -> Any:
    """What goes into an estimator that cannot predict, and what comes out."""
    from headrace.models.signature import infer_signature

    return infer_signature(rows, estimator.transform(rows))


def _log_plots(log: Recorder, estimator: Any, training: Any, predictions: Any) -> None:
    import numpy as np

    from headrace.client.autolog import sklearn_plots as plots

    if np.ndim(training.targets) != 1 or not plots.can_draw():
        return
    with LIBRARY.guard("the confusion matrix"):
        labels = getattr(estimator, "classes_", None)
        matrix = plots.confusion_matrix(training, predictions, labels)
        if matrix is not None:
            log.figure(matrix, "training_confusion_matrix.png")
    classes = np.unique(training.targets)
    if len(classes) != 2:
        return
    scores = None
    with LIBRARY.guard("the curves"):
        if predictions.probabilities is not None:
            scores = predictions.probabilities[:, 1]
        elif hasattr(estimator, "decision_function"):
            scores = estimator.decision_function(training.features)
        if scores is None:
            return
        positive = classes[1]
        log.figure(plots.roc_curve(training, scores, positive), "training_roc_curve.png")
        curve = plots.precision_recall_curve(training, scores, positive)
        log.figure(curve, "training_precision_recall_curve.png")


def _log_html(log: Recorder, estimator: Any) -> None:
    from sklearn.utils import estimator_html_repr

    shown = estimator_html_repr(estimator)
    if len(shown) <= _MAX_HTML:
        head = '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"></head><body>'
        log.text(f"{head}{shown}</body></html>", "estimator.html")


def _log_search(log: Recorder, search: Any, dataset: Any, model_id: str | None) -> None:
    from headrace.client.autolog import sklearn_search

    with LIBRARY.guard("the best candidate of a search"):
        params, metrics = sklearn_search.best_of(search)
        log.params(params)
        log.metrics(metrics, model_id=model_id)
    if not hasattr(search, "cv_results_"):
        return
    with LIBRARY.guard("the results of a search"):
        log.text(sklearn_search.results_as_csv(search.cv_results_), "cv_results.csv")
    with LIBRARY.guard("the candidates of a search"):
        tags = {**(LIBRARY.options.extra_tags or {}), **_tags_of(search.estimator)}
        sklearn_search.log_candidates(log, search, LIBRARY.options.max_tuning_runs, tags, dataset)


def _tags_of(estimator: Any) -> dict[str, str]:
    kind = type(estimator)
    return {
        "estimator_name": kind.__name__,
        "estimator_class": f"{kind.__module__}.{kind.__name__}",
    }


def _predict(call: Call) -> Generator[None, Any, None]:
    known = _evaluations.get(call.instance)
    if known is None:
        return
    data = next(iter(call.arguments.values()), None)
    prediction = Prediction(known, data)
    result = yield
    _predictions.put(result, prediction)


def _score(call: Call) -> Generator[None, Any, None]:
    known = _evaluations.get(call.instance)
    if known is None:
        return
    data = next(iter(call.arguments.values()), None)
    name = f"{type(call.instance).__name__}_score"
    command = evaluation.command_of(
        f"{type(call.instance).__name__}.score", call.function, call.args[1:], call.kwargs
    )
    prediction = Prediction(known, data)
    result = yield
    _log_metric(prediction, name, result, command)


def _metric(call: Call) -> Generator[None, Any, None]:
    arguments = [*call.args, *call.kwargs.values()]
    found = (_predictions.get(argument) for argument in arguments)
    prediction = next((each for each in found if each is not None), None)
    if prediction is None:
        return
    name = call.function.__name__
    command = evaluation.command_of(name, call.function, call.args, call.kwargs)
    result = yield
    _log_metric(prediction, name, result, command)


def _scorer(call: Call) -> Generator[None, Any, None]:
    arguments = list(call.arguments.values())
    known = _evaluations.get(arguments[0]) if len(arguments) > 1 else None
    if known is None:
        return
    name = call.instance._score_func.__name__
    command = evaluation.command_of(name, call.function, call.args[1:], call.kwargs)
    prediction = Prediction(known, arguments[1])
    result = yield
    _log_metric(prediction, name, result, command)


def _log_metric(prediction: Prediction, name: str, value: Any, command: str) -> None:
    import numpy as np

    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return
    known = prediction.evaluation
    known.log_metric(name, prediction.data_name, float(value), command)
    data = prediction.data
    if LIBRARY.options.log_datasets and data is not None and known.first_use(data):
        dataset = dataset_of(data)
        if dataset is not None:
            known.log.dataset(dataset, "eval")
