"""`headrace.evaluate`: a model, data, and what came of it in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.client.active_model import get_active_model_id
from headrace.errors import InvalidRequest
from headrace.evaluation.assessment import Assessment, classifier_assessment, regressor_assessment
from headrace.evaluation.custom_artifacts import checked_functions
from headrace.evaluation.evaluation import Evaluation
from headrace.evaluation.extra_metrics import checked_metrics
from headrace.evaluation.options import Options, options_of
from headrace.evaluation.outputs import single_output
from headrace.evaluation.report import Report, run_of_evaluation
from headrace.evaluation.result import EvaluationResult
from headrace.evaluation.rows import Roles, Rows, rows_of
from headrace.evaluation.slices import slices_of
from headrace.evaluation.subject import Subject, subject_of
from headrace.evaluation.thresholds import MetricThreshold, absolute_thresholds


def evaluate(  # noqa: PLR0913 - MLflow's signature
    model: Any = None,
    data: Any = None,
    *,
    model_type: str | None = None,
    targets: Any = None,
    predictions: Any = None,
    dataset_path: str | None = None,
    feature_names: Sequence[str] | None = None,
    evaluators: str | Sequence[str] | None = None,
    evaluator_config: Mapping[str, Any] | None = None,
    extra_metrics: Sequence[Any] | None = None,
    custom_artifacts: Sequence[Callable[..., Any]] | None = None,
    env_manager: str | None = "local",
    model_config: Mapping[str, Any] | None = None,
    inference_params: Mapping[str, Any] | None = None,
    model_id: str | None = None,
    probabilities: Any = None,
    slices: Any = None,
    thresholds: Mapping[str, MetricThreshold | str] | None = None,
    trust: bool = False,
) -> EvaluationResult:
    """Measure how well a model does, and log it to the active run, or to one of its own.

    `model` is a model's URI, a PyFuncModel, an object with `predict`, a function, or None where
    `predictions` has what it said. `data` is a table of pandas or Polars, an array, a list of
    dictionaries, or a data set; `targets`, and `predictions` without a model, are columns of it by
    name, or arrays. With a model, `predictions` names the output to judge among several. Without
    `model_type` ("classifier" or "regressor") `extra_metrics` alone are computed.

    Of Headrace's own: `probabilities` (columns by name, or an array) where the model gives none;
    `slices`, columns by whose values the data is also measured apart, or dictionaries of a `name`
    and `where`; `thresholds`, by metric, a MetricThreshold or a text such as ">= 0.9", on which
    the result has a verdict; `trust`, to load a model that may run code of somebody else's.

    The model predicts once. Metrics are linked to the model and the data set. A metric that cannot
    be computed is named, with the reason, in the result's `missing`. InvalidRequest for what makes
    no sense, before the model is run; and for a model that fails.
    """
    options = options_of(model_type, evaluators, evaluator_config)
    wanted = absolute_thresholds(thresholds)
    metrics, makers = checked_metrics(extra_metrics), checked_functions(custom_artifacts)
    _check_calling(model, model_type, env_manager, predictions, metrics)
    has_model = model is not None
    roles = Roles(targets, predictions, feature_names, dataset_path, has_model, probabilities)
    rows = rows_of(data, roles, options)
    parts = slices_of(slices, rows)
    subject = subject_of(model, model_config, inference_params, trust) if has_model else None
    said = _predicted(subject, rows)
    assessment = _assessed(subject, rows, said, options)
    of_model = _model_id(model_id, subject)
    with run_of_evaluation() as run_id:
        report = Report(run_id, options.metric_prefix, options.figures)
        evaluation = Evaluation(rows, options, report, assessment, subject)
        evaluation.measure(metrics, said, parts)
        evaluation.make_files(makers)
        return evaluation.conclude(wanted, of_model)


def _check_calling(
    model: Any,
    model_type: str | None,
    env_manager: str | None,
    predictions: Any,
    metrics: Sequence[Any],
) -> None:
    if env_manager not in (None, "local"):
        raise InvalidRequest(
            f"Invalid value {env_manager!r} for 'env_manager': models are evaluated in this "
            "environment, expected 'local'. 'headrace models predict' runs one in its own."
        )
    if model_type is None and not metrics:
        raise InvalidRequest(
            "Without 'model_type' only 'extra_metrics' are computed, and there are none: say "
            "'classifier' or 'regressor', or give metrics."
        )
    if model is not None and predictions is not None and not isinstance(predictions, str):
        raise InvalidRequest(
            "'predictions' are given beside a 'model': expected one of the two, or the name of "
            "the model's output that is to be judged."
        )


def _predicted(subject: Subject | None, rows: Rows) -> Any:
    if subject is None:
        if rows.predictions is None and rows.probabilities is None:
            raise InvalidRequest(
                "There is neither a 'model' nor 'predictions': expected one of them."
            )
        return rows.predictions
    said = subject.predictions(rows)
    return single_output(said, rows.predictions_name, subject.name, len(rows))


def _assessed(
    subject: Subject | None, rows: Rows, said: Any, options: Options
) -> Assessment | None:
    if options.model_type is None:
        return None
    if options.model_type == "regressor":
        return regressor_assessment(rows, said)
    given, classes = rows.probabilities, None
    if given is None and subject is not None:
        given, classes = subject.probabilities(rows), subject.classes
    return classifier_assessment(rows, said, given, classes, options)


def _model_id(given: str | None, subject: Subject | None) -> str | None:
    of_model = None if subject is None else subject.model_id
    if given is not None and of_model is not None and given != of_model:
        raise InvalidRequest(
            f"'model_id' is {given!r}, but the model is {of_model!r}: leave 'model_id' out."
        )
    return given or of_model or get_active_model_id()
